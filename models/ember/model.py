"""A Qwen3-architecture decoder in JAX, written for training Ember on a CPU.

Parameter names and shapes are those of the Hugging Face checkpoint (every
matrix is `[out, in]`), so exporting is a plain rename.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Config:
    vocab_size: int
    hidden_size: int = 128
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 32
    intermediate_size: int = 384
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6


def init_params(config: Config, seed: int) -> dict:
    """Random starting weights; the layers' residual outputs start small."""
    rng = np.random.default_rng(seed)
    hidden, ffn = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim

    def matrix(rows, columns, gain=1.0):
        return (rng.standard_normal((rows, columns)) * gain / columns**0.5).astype(np.float32)

    params = {
        "model.embed_tokens.weight": matrix(config.vocab_size, hidden),
        "model.norm.weight": np.ones(hidden, np.float32),
    }
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}."
        params[layer + "input_layernorm.weight"] = np.ones(hidden, np.float32)
        params[layer + "post_attention_layernorm.weight"] = np.ones(hidden, np.float32)
        params[layer + "self_attn.q_proj.weight"] = matrix(queries, hidden)
        params[layer + "self_attn.k_proj.weight"] = matrix(keys, hidden)
        params[layer + "self_attn.v_proj.weight"] = matrix(keys, hidden)
        params[layer + "self_attn.o_proj.weight"] = matrix(hidden, queries, 0.3)
        params[layer + "self_attn.q_norm.weight"] = np.ones(config.head_dim, np.float32)
        params[layer + "self_attn.k_norm.weight"] = np.ones(config.head_dim, np.float32)
        params[layer + "mlp.gate_proj.weight"] = matrix(ffn, hidden)
        params[layer + "mlp.up_proj.weight"] = matrix(ffn, hidden)
        params[layer + "mlp.down_proj.weight"] = matrix(hidden, ffn, 0.3)
    return params


def rms_norm(x, weight, eps):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps) * weight


def rope(x, cos, sin):
    """Rotate the two halves of every head (x is [batch, heads, length, head_dim])."""
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def forward(params: dict, tokens, segments, config: Config):
    """Logits for packed rows; a token sees only earlier tokens of its own segment."""
    batch, length = tokens.shape
    heads, kv_heads, dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    inverse = config.rope_theta ** (-np.arange(0, dim, 2, dtype=np.float32) / dim)
    angles = np.arange(length, dtype=np.float32)[:, None] * inverse
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    causal = np.tril(np.ones((length, length), bool))
    visible = causal & (segments[:, :, None] == segments[:, None, :])
    bias = jnp.where(visible, 0.0, -1e9)[:, None, None]

    def split_heads(x, count):
        return x.reshape(batch, length, count, dim).transpose(0, 2, 1, 3)

    embed = params["model.embed_tokens.weight"]
    x = embed[tokens]
    for i in range(config.num_hidden_layers):
        weight = lambda name: params[f"model.layers.{i}.{name}.weight"]
        h = rms_norm(x, weight("input_layernorm"), config.rms_norm_eps)
        q = split_heads(h @ weight("self_attn.q_proj").T, heads)
        k = split_heads(h @ weight("self_attn.k_proj").T, kv_heads)
        v = split_heads(h @ weight("self_attn.v_proj").T, kv_heads)
        q = rope(rms_norm(q, weight("self_attn.q_norm"), config.rms_norm_eps), cos, sin)
        k = rope(rms_norm(k, weight("self_attn.k_norm"), config.rms_norm_eps), cos, sin)
        q = q.reshape(batch, kv_heads, heads // kv_heads, length, dim) * dim**-0.5
        scores = (q.reshape(batch, kv_heads, -1, dim) @ k.swapaxes(2, 3)).reshape(batch, kv_heads, -1, length, length) + bias
        mixed = jax.nn.softmax(scores, -1).reshape(batch, kv_heads, -1, length) @ v
        mixed = mixed.reshape(batch, heads, length, dim).transpose(0, 2, 1, 3)
        x = x + mixed.reshape(batch, length, heads * dim) @ weight("self_attn.o_proj").T
        h = rms_norm(x, weight("post_attention_layernorm"), config.rms_norm_eps)
        gate, up = h @ weight("mlp.gate_proj").T, h @ weight("mlp.up_proj").T
        x = x + (jax.nn.silu(gate) * up) @ weight("mlp.down_proj").T
    x = rms_norm(x, params["model.norm.weight"], config.rms_norm_eps)
    return x @ embed.T


def loss_fn(params, tokens, segments, weights, config):
    """Cross-entropy summed over the target tokens that carry weight."""
    logits = forward(params, tokens[:, :-1], segments[:, :-1], config)
    chosen = jnp.take_along_axis(logits, tokens[:, 1:, None], -1)[..., 0]
    losses = jax.nn.logsumexp(logits, -1) - chosen
    return (losses * weights[:, 1:]).sum()
