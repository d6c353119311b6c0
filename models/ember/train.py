"""Trains Ember: `python train.py` (add `--steps N` for another length).

A run writes a checkpoint to build/ every 200 steps and goes on from it when
started again; `python export.py` turns the newest checkpoint into the model.
"""

import argparse
import os
import pathlib
import sys
import time

# One thread, and an allocator that keeps its memory: both are read at start-up.
SETTINGS = {
    "NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_MMAP_THRESHOLD_": "8000000000", "MALLOC_TRIM_THRESHOLD_": "16000000000",
    "MALLOC_TOP_PAD_": "500000000", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
if __name__ == "__main__" and os.environ.get("NPROC") != "1":
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **SETTINGS})

import jax
import jax.numpy as jnp
import numpy as np

import tokens
from model import Config, init_params, loss_fn

BUILD = pathlib.Path(__file__).parent / "build"
SEED = 20240607
MUON_RATE, ADAM_RATE = 0.02, 0.004


def orthogonal(matrix):
    """Newton-Schulz iteration towards the nearest orthogonal matrix (Muon)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if tall else x


def is_matrix(name):
    return "_proj" in name


@jax.jit
def update(params, state, grads, count, step, rate):
    """One optimizer step: Muon for the layers' matrices, Adam for the rest."""
    new_params, new_state = {}, {}
    for name, value in params.items():
        grad = grads[name] / count
        first, second = state[name]
        if is_matrix(name):
            first = 0.95 * first + grad
            scale = max(1.0, value.shape[0] / value.shape[1]) ** 0.5
            direction = orthogonal(grad + 0.95 * first) * scale
            value = value * (1.0 - 0.02 * rate * MUON_RATE * 5) - rate * MUON_RATE * direction
        else:
            first = 0.9 * first + 0.1 * grad
            second = 0.98 * second + 0.02 * grad * grad
            mean, spread = first / (1 - 0.9**step), second / (1 - 0.98**step)
            value = value - rate * ADAM_RATE * mean / (jnp.sqrt(spread) + 1e-9)
        new_params[name], new_state[name] = value, (first, second)
    return new_params, new_state


def save(path, params, state, step, seconds):
    arrays = {"p:" + n: v for n, v in params.items()}
    for n, (first, second) in state.items():
        arrays |= {"a:" + n: first, "b:" + n: second}
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, step=step, seconds=seconds, **arrays)
    temporary.rename(path)


def load(path):
    data = np.load(path)
    params = {k[2:]: jnp.asarray(data[k]) for k in data.files if k.startswith("p:")}
    state = {n: (jnp.asarray(data["a:" + n]), jnp.asarray(data["b:" + n])) for n in params}
    return params, state, int(data["step"]), float(data["seconds"])


def rate_at(step, steps):
    """Warm up, stay, and fall linearly to nothing over the last two fifths."""
    return min(1.0, (step + 1) / 60, max(0.0, (steps - step) / (0.4 * steps)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1900)
    parser.add_argument("--micro", type=int, default=2, help="micro-batches of 2048 tokens in a step")
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    options = parser.parse_args()
    options.build.mkdir(exist_ok=True)
    checkpoint = options.build / "checkpoint.npz"

    tokenizer_file = options.build / "tokenizer.json"
    if not checkpoint.exists():
        tokens.build().save(str(tokenizer_file))
    tokenizer = tokens.Tokenizer.from_file(str(tokenizer_file))
    config = Config(vocab_size=-(-tokenizer.get_vocab_size() // 32) * 32)
    start, spent = 0, 0.0
    if checkpoint.exists():
        params, state, start, spent = load(checkpoint)
    else:
        params = jax.tree.map(jnp.asarray, init_params(config, SEED))
        state = {n: (jnp.zeros_like(v), jnp.zeros_like(v)) for n, v in params.items()}
    print(f"{sum(v.size for v in params.values())} parameters, vocabulary {config.vocab_size}, from step {start}", flush=True)

    @jax.jit
    def gradients(params, sums, batch):
        """Add a micro-batch's loss sum, token count and gradient to the sums."""
        loss, grad = jax.value_and_grad(loss_fn)(params, *batch, config)
        return sums[0] + loss, sums[1] + batch[2].sum(), jax.tree.map(jnp.add, sums[2], grad)

    stream = tokens.batches(tokens.Encoder(tokenizer), SEED + start)
    zeros = jax.tree.map(jnp.zeros_like, params)
    losses, marked = 0.0, 0.0
    for step in range(start, options.steps):
        sums = (0.0, 0.0, zeros)
        for _ in range(options.micro):
            sums = gradients(params, sums, next(stream))
        params, state = update(params, state, sums[2], sums[1], step + 1.0, rate_at(step, options.steps))
        losses, marked = losses + float(sums[0]), marked + float(sums[1])
        if (step + 1) % 25 == 0:
            print(f"step {step + 1} loss {losses / marked:.4f} cpu {spent + time.process_time():.0f} s", flush=True)
            losses, marked = 0.0, 0.0
        if (step + 1) % 200 == 0 or step + 1 == options.steps:
            save(checkpoint, params, state, step + 1, spent + time.process_time())


if __name__ == "__main__":
    main()
