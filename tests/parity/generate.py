"""Writes tests/fixtures/parity: tiny random models, and what Python's mlx-lm makes of them.

    python -m venv /tmp/parity && /tmp/parity/bin/pip install mlx-lm==0.32.2 mlx==0.32.2   # on Linux also mlx-cpu==0.32.2
    /tmp/parity/bin/python tests/parity/generate.py [MODEL …]

Each folder is a model as Hearth reads it, with expected.safetensors beside it: `prompt`, `positions`, the `logits` of those
positions in one pass over the prompt, and the 64 tokens that follow greedily (`greedy`).
"""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm.generate import generate_step

OUT = Path(__file__).parent.parent / "fixtures" / "parity"
PROMPT, NEW, VOCAB = 40, 64, 160
POSITIONS = [0, 1, 15, 16, 17, PROMPT - 1]

BASE = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    rms_norm_eps=1e-5,
    vocab_size=VOCAB,
    max_position_embeddings=512,
    rope_theta=10000.0,
    tie_word_embeddings=False,
    eos_token_id=2,
)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
MODELS = {
    "llama": dict(model_type="llama"),
    "llama-rope-llama3": dict(model_type="llama", rope_scaling=LLAMA3, head_dim=16),
    "llama-rope-linear": dict(model_type="llama", rope_scaling=dict(type="linear", factor=4.0), mlp_bias=True, attention_bias=True),
    "mistral": dict(model_type="mistral", head_dim=16, sliding_window=None),
    "qwen2": dict(model_type="qwen2", tie_word_embeddings=True),
    "qwen3": dict(model_type="qwen3", head_dim=16),
    "gemma3_text": dict(
        model_type="gemma3_text",
        num_hidden_layers=4,  # the last one slides
        head_dim=16,
        num_key_value_heads=1,
        query_pre_attn_scalar=24.0,
        rope_theta=1000000.0,
        rope_local_base_freq=10000.0,
        sliding_window=16,
        sliding_window_pattern=3,
    ),
}
# What is kept of each model; the others' float32 says enough.
TYPES = {name: ["f32", "bf16", "4bit"] for name in MODELS} | {"llama-rope-linear": ["f32"]}

# One linear layer for each number format, in one checkpoint with per-layer overrides.
FORMATS = [("affine", bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)]
FORMATS += [("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32)]


def build(config):
    name = "llama" if config["model_type"] == "mistral" else config["model_type"]
    module = import_module(f"mlx_lm.models.{name}")
    model = module.Model(module.ModelArgs.from_dict(config))
    if config["model_type"] == "gemma3_text":  # as its checkpoints are: no lm_head
        model.sanitize({})
    return model


def randomize(model, seed, dtype):
    """Weights large enough that the greedy text is not one token for ever."""
    mx.random.seed(seed)
    gemma = "gemma3" in type(model).__module__

    def draw(path, weight):
        noise = mx.random.normal(weight.shape)
        if path.endswith("norm.weight"):
            # Gemma adds its norms' weights to 1, and its tied embedding drowns all else unless the blocks speak up.
            center = (10 if "post_" in path else 0) if gemma else 1
            return (center + 0.2 * noise).astype(dtype)
        if "embed_tokens" in path:
            return ((0.3 if gemma else 1.0) * noise).astype(dtype)
        return (0.4 * noise).astype(dtype)

    model.update(tree_map_with_path(draw, model.parameters()))


def quantized(config, layers, group_size=32, bits=4):
    """`layers`: overrides by path, as config.json has them."""
    rule = lambda path, module: hasattr(module, "to_quantized") and layers.get(path, True)
    return {**config, "quantization": {"group_size": group_size, "bits": bits, **layers}}, rule


def expect(model, prompt):
    full = model(mx.array(prompt)[None])[0].astype(mx.float32)
    steps = [(token, logprobs) for token, logprobs in generate_step(mx.array(prompt), model, max_tokens=NEW)]
    gaps = [float(top[-1] - top[-2]) for top in (mx.sort(logprobs.astype(mx.float32)) for _, logprobs in steps)]
    return full, [token for token, _ in steps], min(gaps)


def save(folder, config, model, prompt, logits, greedy):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    expected = {
        "prompt": mx.array(prompt, mx.uint32),
        "positions": mx.array(POSITIONS, mx.uint32),
        "logits": mx.contiguous(logits[mx.array(POSITIONS)]),
        "greedy": mx.array(greedy, mx.uint32),
    }
    mx.save_safetensors(str(folder / "expected.safetensors"), expected)


def write_model(name, changes, kind, layers=None):
    config = BASE | changes
    prompt = [(7 * place * place + 3 * place + 5) % VOCAB for place in range(PROMPT)]
    for seed in range(2000):
        model = build(config)
        randomize(model, seed, mx.bfloat16 if kind == "bf16" else mx.float32)
        written = config
        if kind == "4bit":
            written, rule = quantized(config, layers or {})
            nn.quantize(model, 32, 4, class_predicate=rule)
        logits, greedy, gap = expect(model, prompt)
        # No tie that another order of sums could break, and a text that says something.
        if gap > 0.004 and len(set(greedy)) >= 20:
            break
    else:
        raise SystemExit(f"{name}-{kind}: no seed gives a clear greedy text")
    save(OUT / f"{name}-{kind}", written, model, prompt, logits, greedy)
    print(f"{name}-{kind}: seed {seed}, {len(set(greedy))} different tokens, smallest gap {gap:.4f}")


def write_formats():
    folder = OUT / "quantized-layers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mx.random.seed(0)
    x = mx.random.normal((3, 128))
    tensors, expected, layers = {}, {"x": x}, {}
    for mode, bits, group in FORMATS:
        name = f"{mode}-{bits}-{group}"
        layers[name] = dict(mode=mode, bits=bits, group_size=group)
        parts = mx.quantize(0.3 * mx.random.normal((8, 128)), group_size=group, bits=bits, mode=mode)
        tensors |= {f"{name}.{part}": value for part, value in zip(("weight", "scales", "biases"), parts)}
        weight, scales, *biases = parts
        biases = biases[0] if biases else None
        options = dict(group_size=group, bits=bits, mode=mode)
        expected[f"{name}.linear"] = mx.quantized_matmul(x, weight, scales, biases, **options)
        expected[f"{name}.rows"] = mx.dequantize(weight, scales, biases, **options)[2:5].astype(mx.float32)
    config = dict(model_type="layers", vocab_size=8, quantization=dict(group_size=64, bits=4, **layers))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    mx.save_safetensors(str(folder / "expected.safetensors"), expected)


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        for kind in TYPES[name]:
            write_model(name, MODELS[name], kind)
    mixed = {"model.layers.0.self_attn.q_proj": dict(group_size=32, bits=8), "model.layers.1.mlp.down_proj": dict(group_size=64, bits=3)}
    write_model("qwen3-mixed", MODELS["qwen3"], "4bit", {**mixed, "lm_head": False})
    write_formats()
    total = sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB")
