//! Qwen 3 (<https://arxiv.org/abs/2505.09388>): a Llama with a norm on each head's queries and keys.

use hearth_core::Result;
use serde::Deserialize;

use super::Model as Architecture;
use crate::{
    batch::Batch,
    cache::LayerKind,
    config::Config,
    nn::{Embedding, Heads, Linear, Qkv, RmsNorm, RopeArgs, silu_glu},
    ops::{self, Array},
    weights::Weights,
};

#[derive(Deserialize)]
struct ModelArgs {
    #[serde(flatten)]
    rope: RopeArgs,
    hidden_size: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    rms_norm_eps: f32,
    vocab_size: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    tie_word_embeddings: Option<bool>,
}

struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    heads: Heads,
}

impl Attention {
    fn load(args: &ModelArgs, w: &Weights) -> Result<Self> {
        let (hidden, queries, keys) = (args.hidden_size, args.num_attention_heads, args.num_key_value_heads);
        let dims = args.head_dim;
        Ok(Self {
            q_proj: w.linear("q_proj", queries * dims, hidden)?,
            k_proj: w.linear("k_proj", keys * dims, hidden)?,
            v_proj: w.linear("v_proj", keys * dims, hidden)?,
            o_proj: w.linear("o_proj", hidden, queries * dims)?,
            q_norm: w.rms_norm("q_norm", dims, args.rms_norm_eps)?,
            k_norm: w.rms_norm("k_norm", dims, args.rms_norm_eps)?,
            heads: Heads::new(queries, keys, dims, args.rope.rope(dims, 1_000_000.0)?),
        })
    }

    fn forward(&self, x: &Array, batch: &mut Batch<'_>, layer: usize) -> Result<Array> {
        let q = self.q_norm.forward(&self.heads.split_queries(&self.q_proj.forward(x)?)?)?;
        let k = self.k_norm.forward(&self.heads.split_keys(&self.k_proj.forward(x)?)?)?;
        let v = self.v_proj.forward(x)?;
        self.o_proj.forward(&batch.attend(layer, &self.heads, Qkv { q, k, v })?)
    }
}

struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Mlp {
    fn load(args: &ModelArgs, w: &Weights) -> Result<Self> {
        let (hidden, inner) = (args.hidden_size, args.intermediate_size);
        Ok(Self {
            gate_proj: w.linear("gate_proj", inner, hidden)?,
            up_proj: w.linear("up_proj", inner, hidden)?,
            down_proj: w.linear("down_proj", hidden, inner)?,
        })
    }

    fn forward(&self, x: &Array) -> Result<Array> {
        self.down_proj.forward(&silu_glu(&self.gate_proj.forward(x)?, &self.up_proj.forward(x)?)?)
    }
}

struct Block {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
}

impl Block {
    fn load(args: &ModelArgs, w: &Weights) -> Result<Self> {
        let norm = |name| w.rms_norm(name, args.hidden_size, args.rms_norm_eps);
        Ok(Self {
            self_attn: Attention::load(args, &w.sub("self_attn"))?,
            mlp: Mlp::load(args, &w.sub("mlp"))?,
            input_layernorm: norm("input_layernorm")?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
        })
    }

    fn forward(&self, x: Array, batch: &mut Batch<'_>, layer: usize) -> Result<Array> {
        let r = self.self_attn.forward(&self.input_layernorm.forward(&x)?, batch, layer)?;
        let h = ops::add(&batch.narrow(layer, x)?, &r)?;
        let r = self.mlp.forward(&self.post_attention_layernorm.forward(&h)?)?;
        ops::add(&h, &r)
    }
}

struct Model {
    embed_tokens: Embedding,
    layers: Vec<Block>,
    norm: RmsNorm,
    lm_head: Option<Linear>,
}

pub(super) fn load(config: &Config, w: &Weights) -> Result<Box<dyn Architecture>> {
    let args: ModelArgs = config.args()?;
    let model = w.sub("model");
    let block = |layer| Block::load(&args, &model.sub(format!("layers.{layer}")));
    let tied = args.tie_word_embeddings.unwrap_or(!w.has("lm_head.weight"));
    Ok(Box::new(Model {
        embed_tokens: model.embedding("embed_tokens", args.vocab_size, args.hidden_size)?,
        layers: (0..args.num_hidden_layers).map(block).collect::<Result<_>>()?,
        norm: model.rms_norm("norm", args.hidden_size, args.rms_norm_eps)?,
        lm_head: (!tied).then(|| w.linear("lm_head", args.vocab_size, args.hidden_size)).transpose()?,
    }))
}

impl Architecture for Model {
    fn forward(&self, ids: &Array, batch: &mut Batch<'_>) -> Result<Array> {
        let mut h = self.embed_tokens.forward(ids)?;
        for (layer, block) in self.layers.iter().enumerate() {
            h = block.forward(h, batch, layer)?;
        }
        let h = self.norm.forward(&h)?;
        self.lm_head.as_ref().map_or_else(|| self.embed_tokens.as_linear(&h), |head| head.forward(&h))
    }

    fn caches(&self) -> Vec<LayerKind> {
        self.layers.iter().map(|_| LayerKind::Growing).collect()
    }
}
