"""What the next turn of a conversation costs, by the length of its history: a section of bench.py.

Seconds to the first token: cold, with the history in memory, and, for Hearth, after a restart; beside mlx_lm.server's own prompt cache.
"""

import asyncio
import statistics
import sys
import tempfile

from client import stream

HISTORIES = (256, 1024, 4096, 8000)  # tokens
NEW = 50  # tokens of the new turn
FOLLOW_UPS = 3

HEAD = (
    "| history | cold | warm | from disk | cold / warm | cold / disk | (warm − attention) / new turn alone | mlx-lm cold | mlx-lm warm | mlx-lm warm / warm |\n"
    "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def turn(server, messages, text):
    """Seconds to the first token of the answer to `text`; the conversation goes on with both."""
    messages.append(dict(role="user", content=text))
    said = []
    first = asyncio.run(stream(server, messages, 4, said=said))[0]
    messages.append(dict(role="assistant", content="".join(said)))
    return first


def bench_conversations(args, folder, env, log, Prompts, Peer, start_server):
    prompts = Prompts(folder)
    with tempfile.TemporaryDirectory() as cache:
        hearth = [args.hearth, "serve", str(folder), "--port", "8184", "--cache-dir", cache, "--cache-memory", "4G"]
        start_ours = lambda: start_server("hearth", hearth, 8184, "default", env, log)
        ours = start_ours()
        theirs = start_server(
            "mlx_lm.server", [sys.executable, "-m", "mlx_lm", "server", "--model", str(folder), "--port", "8185"], 8185, "default_model",
            env | {"LD_PRELOAD": args.openblas}, log)
        device = Peer([args.peer, str(folder)], env)
        lines = [HEAD]
        print(HEAD, flush=True)
        try:
            for history in HISTORIES:
                ours, line = one_history(prompts, device, ours, start_ours, theirs, history)
                print(line, flush=True)
                lines.append(line)
        finally:
            device.close()
            for server in (ours, theirs):
                stop(server)
    return lines


def one_history(prompts, device, ours, start_ours, theirs, history):
    rounds = 3 if history <= 1024 else 1  # a long one takes minutes
    cold, warm, disk, their_cold, their_warm, alone = ([] for _ in range(6))
    for _ in range(rounds):
        text, more = prompts.text(history), [prompts.text(NEW) for _ in range(FOLLOW_UPS)]
        for server, first, next_ones in ((ours, cold, warm), (theirs, their_cold, their_warm)):
            messages = []
            first.append(turn(server, messages, text))
            next_ones += [turn(server, messages, text) for text in more]
            if server is ours:
                conversation = messages
        alone += [turn(ours, [], prompts.text(NEW)) for _ in range(FOLLOW_UPS)]
        stop(ours)
        ours = start_ours()
        disk.append(turn(ours, conversation, prompts.text(NEW)))
    new = len(prompts.tokenizer.encode(f"<|im_end|>\n<|im_start|>user\n{more[0]}<|im_end|>\n<|im_start|>assistant\n").ids)
    seconds = lambda tokens: new / device.rate(f"extend {tokens} {new}")
    attention = statistics.median(seconds(history) for _ in range(rounds)) - statistics.median(seconds(0) for _ in range(3))
    cold, warm, disk, their_cold, their_warm, alone = map(statistics.median, (cold, warm, disk, their_cold, their_warm, alone))
    figures = [cold, warm, disk, cold / warm, cold / disk, (warm - attention) / alone, their_cold, their_warm, their_warm / warm]
    return ours, f"| {history:,} | " + " | ".join(f"{figure:.3g}" for figure in figures) + " |"


def stop(server):
    server.process.terminate()
    server.process.wait(60)
