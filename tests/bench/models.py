"""Random Llama models for benchmarks: `python models.py FOLDER` writes tiny and medium (100 M parameters) in float32, and tiny in
bfloat16 and 4 bits.

Rows of the embedding that belong to special tokens, or to tokens that are not whole UTF-8 text, are zero: greedy decoding then never
ends early and every token yields text. Weights are N(0, 0.04) from a fixed seed; the tokenizer is a byte-level BPE trained on Python's
own standard library, which every machine with Python has.
"""

import json
import sys
import sysconfig
from pathlib import Path

import mlx.core as mx
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {
    "tiny": dict(hidden=64, layers=2, heads=4, kv_heads=2, ffn=128, vocab=4096, tied=False),
    "medium": dict(hidden=768, layers=12, heads=12, kv_heads=4, ffn=2048, vocab=32000, tied=True),
}


def train_tokenizer(vocab):
    """A byte-level BPE of `vocab` tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    files = sorted(f for f in Path(sysconfig.get_paths()["stdlib"]).rglob("*.py") if "site-packages" not in f.parts)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator((f.read_text(errors="replace") for f in files), trainer)
    return tokenizer


def silent_rows(tokenizer, vocab):
    """Ids that must never be chosen: special ones, ids without a token, and pieces of characters."""
    def speaks(i):
        token = tokenizer.id_to_token(i)
        return token is not None and token not in SPECIAL and "\ufffd" not in tokenizer.decode([i]) and tokenizer.decode([i]) != ""
    return [i for i in range(vocab) if not speaks(i)]


def random_weights(size, silent):
    """All tensors of a Llama of this size, by their names in a checkpoint."""
    rng = np.random.default_rng(7)
    normal = lambda *shape: rng.normal(0, 0.04, shape).astype(np.float32)
    hidden, ffn = size["hidden"], size["ffn"]
    kv = hidden // size["heads"] * size["kv_heads"]
    weights = {"model.embed_tokens.weight": normal(size["vocab"], hidden), "model.norm.weight": np.ones(hidden, np.float32)}
    head = "model.embed_tokens.weight"
    if not size["tied"]:
        head = "lm_head.weight"
        weights[head] = normal(size["vocab"], hidden)
    weights[head][silent] = 0
    shapes = {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
              "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (ffn, hidden), "mlp.up_proj": (ffn, hidden), "mlp.down_proj": (hidden, ffn)}
    for layer in range(size["layers"]):
        prefix = f"model.layers.{layer}."
        weights |= {prefix + name + ".weight": normal(*shape) for name, shape in shapes.items()}
        weights |= {prefix + name + ".weight": np.ones(hidden, np.float32) for name in ("input_layernorm", "post_attention_layernorm")}
    return weights


def config(size):
    return dict(
        model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=size["hidden"], num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"], num_key_value_heads=size["kv_heads"], head_dim=size["hidden"] // size["heads"],
        intermediate_size=size["ffn"], vocab_size=size["vocab"], rms_norm_eps=1e-5, rope_theta=10000.0, max_position_embeddings=16384,
        tie_word_embeddings=size["tied"], torch_dtype="float32", eos_token_id=2, bos_token_id=0,
    )


def bfloat16(weights):
    return {name: value.astype(mx.bfloat16) for name, value in weights.items()}, {"torch_dtype": "bfloat16"}


def four_bit(weights):
    """As mlx-lm converts a model: matrices in groups of 64, everything else in bfloat16."""
    packed = {}
    for name, value in bfloat16(weights)[0].items():
        if value.ndim == 1:
            packed[name] = value
            continue
        stem = name.removesuffix("weight")
        packed[name], packed[stem + "scales"], packed[stem + "biases"] = mx.quantize(value, group_size=64, bits=4)
    return packed, {"torch_dtype": "bfloat16", "quantization": dict(group_size=64, bits=4)}


FORMATS = {"tiny": ("tiny", None), "medium": ("medium", None), "tiny-bf16": ("tiny", bfloat16), "tiny-4bit": ("tiny", four_bit)}


def write(folder, size, convert):
    """One model folder, as a repository on the Hub has it; a folder that is whole is left alone."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(size["vocab"])
    tokenizer.save(str(folder / "tokenizer.json"))
    silent = silent_rows(tokenizer, size["vocab"])
    weights, more = {name: mx.array(value) for name, value in random_weights(size, silent).items()}, {}
    if convert:
        weights, more = convert(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    for name, value in {
        "config.json": config(size) | more,
        "generation_config.json": dict(do_sample=False, temperature=0.0, eos_token_id=[2]),
        "tokenizer_config.json": dict(tokenizer_class="PreTrainedTokenizerFast", eos_token="<|im_end|>", chat_template=TEMPLATE),
    }.items():
        (folder / name).write_text(json.dumps(value, indent=2) + "\n")
    (folder / "done").touch()


if __name__ == "__main__":
    for name, (size, convert) in FORMATS.items():
        write(Path(sys.argv[1]) / name, SIZES[size], convert)
