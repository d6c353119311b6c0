"""What a download costs beside curl, from a Hub on the loopback: a section of bench.py.

Both fetch the same gigabyte in turn; Hearth also checks its hash and waits until the disk has it.
"""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

SIZE = 1 << 30  # bytes
REPO = "bench/large"
WEIGHTS = "model.safetensors"


def bench_downloads(args, env):
    os.sched_setaffinity(0, range(os.cpu_count()))  # Hub and client are two, and nothing else runs
    with tempfile.TemporaryDirectory(dir=args.models) as folder:
        folder = Path(folder)
        write_repo(folder / "hub" / REPO)
        hub = subprocess.Popen([args.test_hub, "--root", folder / "hub"], stdout=subprocess.PIPE, text=True)
        try:
            url = hub.stdout.readline().strip()
            env = {**env, "HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "hf"), "HEARTH_HOME": str(folder / "home")}
            run([args.hearth, "list"], env)  # measures this machine's memory, once
            pairs = [one_pair(args, folder, url, env) for _ in range(args.pairs)]
        finally:
            hub.terminate()
            hub.wait(20)
    ratios = [curl / ours for ours, _, curl in pairs]
    ours, memory, curl = (statistics.median(figures) for figures in zip(*pairs))
    lines = [
        "| | Hearth | curl | ratio | min–max | Hearth's memory |\n| --- | ---: | ---: | ---: | ---: | ---: |",
        f"| 1 GiB in one file | {ours:.3g} s | {curl:.3g} s | {statistics.median(ratios):.2f} | {min(ratios):.2f}–{max(ratios):.2f} | {memory / 1e6:.0f} MB |",
    ]
    print("\n".join(lines), flush=True)
    return lines


def one_pair(args, folder, url, env):
    """Seconds and most bytes of memory of `hearth pull`, and seconds of curl."""
    ours, memory = run([args.hearth, "pull", REPO], env)
    curl, _ = run(["curl", "--silent", "--fail", "--location", "--output", folder / "curl", f"{url}/{REPO}/resolve/main/{WEIGHTS}"], env)
    shutil.rmtree(folder / "hf")
    (folder / "curl").unlink()
    return ours, memory, curl


def run(command, env):
    """Seconds to the end, and the most bytes of memory that were seen on the way."""
    start, most = time.perf_counter(), 0
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        # Not `ru_maxrss`: that begins with the memory of this process, which is larger.
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        most = max([most, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))])
        time.sleep(0.01)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]}: {process.stderr.read()}")
    return time.perf_counter() - start, most


def write_repo(folder):
    """A model of one layer that is a gigabyte of noise, so that nothing on the way can make it small."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1}))
    header = {"noise": {"dtype": "U8", "shape": [SIZE], "data_offsets": [0, SIZE]}}
    header = json.dumps(header).encode()
    noise = os.urandom(1 << 20)
    with open(folder / WEIGHTS, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(SIZE // len(noise)):
            file.write(noise)
