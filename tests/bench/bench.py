"""Hearth beside mlx-lm, interleaved in one run; `cargo xtask bench` builds what it needs and calls it.

Every figure is the median of pairs: both sides do the same job in turn (A B A B …), each pair gives one ratio. Both use the same libmlx
with OpenBLAS ahead of it on one thread, the same float32 weights and prompts; servers and peers run on core 0, this client on core 1.
"""

import argparse
import asyncio
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tokenizers import Tokenizer

from client import Server, post, request, seconds_to_quiet, stream
from conversations import bench_conversations
from downloads import bench_downloads

HERE = Path(__file__).parent


class Peer:
    """An engine in a process of its own that answers `TOKENS SECONDS` to each command (peer.py tells which)."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(pinned(command), env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def rate(self, job):
        """Tokens per second."""
        self.process.stdin.write(job + "\n")
        self.process.stdin.flush()
        tokens, seconds = self.process.stdout.readline().split()
        return int(tokens) / float(seconds)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def pinned(command):
    return ["taskset", "-c", "0", *command]


def start_server(name, command, port, model, env, log):
    """Starts a server and waits until it has answered once, so that its model is loaded."""
    process = subprocess.Popen(pinned(command), env=env, stdout=log, stderr=log)
    server = Server(name, port, process, model)
    deadline = time.time() + 60
    while time.time() < deadline:
        try:
            if asyncio.run(stream(server, "Hello", 2)):
                return server
        except (OSError, RuntimeError):
            time.sleep(0.05)
    process.kill()
    sys.exit(f"{name} did not answer within 60 s, see {log.name}")


class Prompts:
    """Texts of a wanted length in tokens, never the same twice, so that no server answers from a cache."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.words = [w.replace("Ġ", " ") for w in self.tokenizer.get_vocab() if w.startswith("Ġ") and w[1:].isalpha() and w[1:].isascii()]
        self.random = random.Random(11)

    def text(self, tokens):
        return "".join(self.random.choices(self.words, k=tokens)).strip()


CHUNK = 256  # tokens of a prompt that Hearth's scheduler feeds at a time where nobody else decodes
LONG = {"tiny": 4000, "medium": 600}  # tokens of an answer that is to be cancelled; a tenth of it is a good while of decoding


def in_process(long):
    """(name, job) with rates long enough to be told apart from noise."""
    return [
        *[(f"prefill, {n} tokens", f"prefill {n} {CHUNK}") for n in (128, 512, 2048)],
        ("decode, alone", f"decode 128 {long // 10} 1"),
        *[(f"decode, {n} streams", f"decode 64 {long // 20} {n}") for n in (2, 4, 8, 16)],
    ]


# Scenarios over HTTP: async (server, prompts) -> figure
async def streams(server, texts):
    """Tokens per second of the whole, prompts of 64 tokens, 32 new ones, from the first request to the last token; and the median
    and the 99th percentile of the time to the first one."""
    start = time.perf_counter()
    done = await asyncio.gather(*(stream(server, text, 32) for text in texts))
    rate = sum(map(len, done)) / (time.perf_counter() - start)
    first = sorted(times[0] for times in done)
    return rate, statistics.median(first), first[math.ceil(0.99 * len(first)) - 1]


async def alone(server, texts):
    return (await stream(server, texts[0], 1))[0]


async def short_beside_long(server, texts):
    """First token of the short prompts, the long one having been sent first."""
    done = await asyncio.gather(*(stream(server, text, 4) for text in texts))
    return statistics.median(times[0] for times in done[1:])


async def running(server, text, pieces):
    """A stream in the background that has begun; `pieces` goes on to get the time of each of its pieces."""
    task = asyncio.create_task(stream(server, text, server.long, times=pieces))
    while len(pieces) < 8:
        await asyncio.sleep(0.005)
    return task


async def second_stream(server, texts):
    other = await running(server, texts[0], [])
    first = await alone(server, texts[1:])
    other.cancel()
    return first


async def longest_gap(server, texts):
    """The longest time between two pieces of a stream while another prompt is prefilled."""
    pieces = []
    other = await running(server, texts[0], pieces)
    before = len(pieces)
    await alone(server, texts[1:])
    other.cancel()
    around = pieces[before - 1 :]
    return max((b - a for a, b in zip(around, around[1:])), default=float("nan"))


async def cancel_streamed(server, texts):
    await stream(server, texts[0], server.long, stop_after=5)
    return await seconds_to_quiet(server)


async def cancel_plain(server, texts):
    _, writer = await post(server, request(server, texts[0], server.long, False))
    await asyncio.sleep(0.5)
    writer.close()
    return await seconds_to_quiet(server)


HTTP = [
    *[(f"{n} client{'s' * (n > 1)}: all tokens; first token, median; 99th percentile", streams, [64] * n, "tok/s s s") for n in (1, 2, 4, 8, 16)],
    ("first token alone", alone, [64], "s"),
    ("first token of seven 20-token prompts beside one of 500", short_beside_long, [500] + [20] * 7, "s"),
    ("first token while another stream decodes", second_stream, [64, 64], "s"),
    ("longest gap while 1,000 tokens are prefilled", longest_gap, [64, 1000], "s"),
    ("longest gap while 8,000 tokens are prefilled", longest_gap, [64, 8000], "s"),
    ("a client leaves a stream: work goes on for", cancel_streamed, [64], "s"),
    ("a client leaves without stream: work goes on for", cancel_plain, [64], "s"),
]


def table():
    """The lines of an empty table."""
    head = "| | Hearth | mlx-lm | ratio | min–max |\n| --- | ---: | ---: | ---: | ---: |"
    print(head, flush=True)
    return [head]


def row(name, unit, pairs):
    """One line of the table; a ratio over 1 is in Hearth's favour."""
    if unit == "s":  # the kernel counts processor time in hundredths of a second
        pairs = [[max(seconds, 0.01) if "goes on" in name else seconds for seconds in pair] for pair in pairs]
    ratios = [(b / a if unit == "s" else a / b) for a, b in pairs]
    ours, theirs = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    line = f"| {name} | {ours:.4g} {unit} | {theirs:.4g} {unit} | {statistics.median(ratios):.2f} | {min(ratios):.2f}–{max(ratios):.2f} |"
    print(line, flush=True)
    return line


def rows(name, units, pairs):
    """A line for each figure that a scenario gives: `name` is `what: figure; figure`, one for each unit."""
    if " " not in units:
        return [row(name, units, pairs)]
    what, figures = name.split(": ")
    column = lambda place: [[figures[place] for figures in pair] for pair in pairs]
    return [row(f"{what}, {figure}", unit, column(place)) for place, (figure, unit) in enumerate(zip(figures.split("; "), units.split()))]


def bench_in_process(args, folder, env, jobs):
    ours = Peer([args.peer, str(folder)], env)
    theirs = Peer([sys.executable, str(HERE / "peer.py"), str(folder)], env | {"LD_PRELOAD": args.openblas})
    lines = table()
    for name, job in jobs:
        pairs = [[peer.rate(job) for peer in (ours, theirs)] for _ in range(args.pairs + 1)]
        lines.append(row(name, "tok/s", pairs[1:]))  # the first pair warms up
    ours.close(), theirs.close()
    return lines


def bench_http(args, folder, env, log):
    prompts = Prompts(folder)
    ours = start_server("hearth", [args.hearth, "serve", str(folder), "--port", "8180"], 8180, "default", env, log)
    theirs = start_server(
        "mlx_lm.server", [sys.executable, "-m", "mlx_lm", "server", "--model", str(folder), "--port", "8181"], 8181, "default_model",
        env | {"LD_PRELOAD": args.openblas}, log)
    for server in (ours, theirs):
        server.long = LONG[folder.name]
    lines = table()
    try:
        for name, scenario, lengths, units in HTTP:
            if max(lengths) > 1000 and folder.name == "medium":
                continue  # minutes of computing, and the stream beside it ends before
            pairs = []
            for _ in range(args.pairs):
                texts = [prompts.text(n) for n in lengths]
                pair = []
                for server in (ours, theirs):
                    pair.append(asyncio.run(scenario(server, texts)))
                    asyncio.run(seconds_to_quiet(server, 30))
                pairs.append(pair)
            lines += rows(name, units, pairs)
    finally:
        for server in (ours, theirs):
            server.process.terminate()
            server.process.wait(20)
    return lines


def start_to_listening(args, env):
    """Seconds from the start of the process to the first answer of /health."""
    start = time.perf_counter()
    process = subprocess.Popen([args.hearth, "serve", "--port", "8182"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen("http://127.0.0.1:8182/healthz", timeout=1).read()
                return time.perf_counter() - start
            except OSError:
                time.sleep(0.001)
    finally:
        process.terminate()
        process.wait(20)


def server_cost(args, env):
    """Microseconds of processor time a streamed token costs the server process when a fake model answers at once."""
    process = subprocess.Popen([args.fake_server], env=env, stdout=subprocess.PIPE, text=True)
    try:
        server = Server("fake", int(process.stdout.readline()), process, "default")
        costs = []
        for _ in range(args.pairs):
            before = server.cpu_seconds()
            tokens = len(asyncio.run(stream(server, "Hello", 20000)))
            costs.append((server.cpu_seconds() - before) / tokens * 1e6)
        return statistics.median(costs)
    finally:
        process.terminate()
        process.wait(20)


def idle(args, folder, env):
    """Processor seconds that a server with a loaded model uses in ten seconds without a request."""
    with open(os.devnull, "w") as log:
        server = start_server("hearth", [args.hearth, "serve", str(folder), "--port", "8183"], 8183, "default", env, log)
        time.sleep(1)
        before = server.cpu_seconds()
        time.sleep(10)
        used = server.cpu_seconds() - before
        server.process.terminate()
        server.process.wait(20)
    return used


def sections_of(args, env, log):
    """(title, what fills its table)"""
    for size in ("tiny", "medium"):
        folder = args.models / size
        yield f"{size}, in process", lambda: bench_in_process(args, folder, env, in_process(LONG[size]))
        yield f"{size}, over HTTP", lambda: bench_http(args, folder, env, log)
    yield "medium, conversations", lambda: bench_conversations(args, args.models / "medium", env, log, Prompts, Peer, start_server)
    for size in ("tiny-bf16", "tiny-4bit"):
        folder = args.models / size
        yield f"{size}, in process", lambda: bench_in_process(args, folder, env, in_process(1000)[1:4:2])
    yield "downloads", lambda: bench_downloads(args, env)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hearth", required=True, help="the release binary")
    parser.add_argument("--peer", required=True, help="hearth-mlx's example `bench`, built for release")
    parser.add_argument("--fake-server", required=True, help="the example `fake_server`, built for release")
    parser.add_argument("--test-hub", required=True, help="the program `test_hub`, built for release")
    parser.add_argument("--models", type=Path, required=True, help="folder of tiny/ and medium/, as models.py writes them")
    parser.add_argument("--openblas", required=True, help="libopenblas, given to Python ahead of the wheel's BLAS")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", help="part of the title of the sections to run")
    parser.add_argument("--out", type=Path, help="write the tables into this file too")
    args = parser.parse_args()
    os.sched_setaffinity(0, {1 % os.cpu_count()})
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    sections = {}
    with open(args.models / "servers.log", "w") as log:
        for title, run in sections_of(args, env, log):
            if args.only in title:
                print(f"\n### {title}", flush=True)
                sections[title] = run()
    if args.only in "alone":
        listening = statistics.median(start_to_listening(args, env) for _ in range(args.pairs))
        sections["alone"] = [
            f"- start to listening: {listening * 1e3:.0f} ms",
            f"- server's own cost per streamed token: {server_cost(args, env):.1f} µs of processor time",
            f"- idle for 10 s with a model loaded: {idle(args, args.models / 'tiny', env):.2f} s of processor time",
        ]
        print("\n".join(sections["alone"]))
    if args.out:
        args.out.write_text("\n\n".join(f"### {title}\n\n" + "\n".join(lines) for title, lines in sections.items()) + "\n")


if __name__ == "__main__":
    main()
