"""Writes the newest checkpoint beside this file as an MLX model folder,
quantized to 8 bits: `python export.py [--build DIR] [--out DIR] [--bits N]`."""

import argparse
import json
import pathlib
import shutil

import mlx.core as mx
import numpy as np

from model import Config

HERE = pathlib.Path(__file__).parent
CONTEXT = 2048


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def export(build, out, bits, group):
    data = np.load(build / "checkpoint.npz")
    weights = {}
    for key in data.files:
        if not key.startswith("p:"):
            continue
        name, value = key[2:], mx.array(data[key])
        if value.ndim == 1:
            weights[name] = value
            continue
        packed, scales, biases = mx.quantize(value, group_size=group, bits=bits)
        stem = name.removesuffix("weight")
        weights |= {name: packed, stem + "scales": scales, stem + "biases": biases}
    out.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(out / "model.safetensors"), weights, {"format": "mlx"})

    tokenizer = json.loads((build / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    ends = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    shape = Config(vocab_size=data["p:model.embed_tokens.weight"].shape[0])
    quantization = {"group_size": group, "bits": bits, "mode": "affine"}
    write_json(out / "config.json", {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        **vars(shape),
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": True,
        "max_position_embeddings": CONTEXT,
        "rope_scaling": None,
        "bos_token_id": None,
        "eos_token_id": ends[0],
        "torch_dtype": "float32",
        "quantization": quantization,
        "quantization_config": quantization,
    })
    write_json(out / "generation_config.json", {
        "do_sample": False, "temperature": 0.0, "eos_token_id": ends, "pad_token_id": ends[1]})
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "model_max_length": CONTEXT,
    })
    shutil.copyfile(build / "tokenizer.json", out / "tokenizer.json")
    if out != HERE:
        shutil.copyfile(HERE / "chat_template.jinja", out / "chat_template.jinja")
    size = sum(path.stat().st_size for path in out.iterdir() if path.suffix in {".json", ".jinja", ".safetensors"})
    print(f"step {int(data['step'])}, {float(data['seconds']):.0f} s of CPU, {size} bytes in {out.name}/")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=HERE / "build")
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--group", type=int, default=64)
    options = parser.parse_args()
    export(options.build, options.out, options.bits, options.group)
