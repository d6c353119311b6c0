"""mlx-lm in process, driven line by line, with the protocol of Hearth's example `bench` (crates/hearth-mlx/examples/bench.rs).

`python peer.py FOLDER` loads the model and answers each command with `TOKENS SECONDS`:

    prefill TOKENS CHUNK              a prompt, up to its first token (mlx-lm takes its own chunks)
    decode PROMPT TOKENS STREAMS      so many streams decode together after prompts of that length
"""

import sys
import time

import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import BatchGenerator, generate_step


def prompt(length, salt, vocab):
    return [300 + (salt * 7919 + i * 31) % (vocab - 300) for i in range(length)]


def prefill(model, vocab, tokens):
    start = time.perf_counter()
    next(generate_step(mx.array(prompt(tokens, 0, vocab)), model, max_tokens=1))
    return tokens, time.perf_counter() - start


def decode_alone(model, vocab, length, tokens):
    steps = generate_step(mx.array(prompt(length, 0, vocab)), model, max_tokens=tokens + 1)
    next(steps)
    start = time.perf_counter()
    for _ in range(tokens):
        next(steps)
    return tokens, time.perf_counter() - start


def decode_together(model, vocab, length, tokens, streams):
    """From the moment when every stream has a token."""
    batch = BatchGenerator(model, max_tokens=tokens + 2)
    count = dict.fromkeys(batch.insert([prompt(length, salt, vocab) for salt in range(streams)]), 0)

    def until_each_has(least):
        while min(count.values()) < least:
            for response in batch.next_generated():
                count[response.uid] += 1

    until_each_has(1)
    before, start = sum(count.values()), time.perf_counter()
    until_each_has(tokens + 1)
    return sum(count.values()) - before, time.perf_counter() - start


def main():
    model, _ = load(sys.argv[1])
    vocab = model.args.vocab_size
    for line in sys.stdin:
        command, *numbers = line.split()
        numbers = list(map(int, numbers))
        if command == "prefill":
            tokens, seconds = prefill(model, vocab, numbers[0])
        elif numbers[2] == 1:
            tokens, seconds = decode_alone(model, vocab, *numbers[:2])
        else:
            tokens, seconds = decode_together(model, vocab, *numbers)
        mx.clear_cache()
        print(tokens, seconds, flush=True)


if __name__ == "__main__":
    main()
