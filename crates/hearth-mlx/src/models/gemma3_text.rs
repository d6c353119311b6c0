//! Gemma 3, text only (<https://arxiv.org/abs/2503.19786>): most layers see a sliding window, every sixth sees all.

use hearth_core::Result;
use serde::Deserialize;

use super::Model as Architecture;
use crate::{
    batch::Batch,
    cache::LayerKind,
    config::Config,
    nn::{Embedding, Heads, Linear, Qkv, RmsNorm, Rope, RopeScaling, gelu_glu},
    ops::{self, Array, Dtype},
    weights::Weights,
};

#[derive(Deserialize)]
#[serde(default)]
struct ModelArgs {
    hidden_size: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    head_dim: usize,
    rms_norm_eps: f32,
    vocab_size: usize,
    num_key_value_heads: usize,
    rope_theta: f32,
    rope_local_base_freq: f32,
    query_pre_attn_scalar: f32,
    sliding_window: i32,
    sliding_window_pattern: usize,
    rope_scaling: Option<RopeScaling>,
}

/// Checkpoints leave out what is as in the 1B model.
impl Default for ModelArgs {
    fn default() -> Self {
        Self {
            hidden_size: 1152,
            num_hidden_layers: 26,
            intermediate_size: 6912,
            num_attention_heads: 4,
            head_dim: 256,
            rms_norm_eps: 1e-6,
            vocab_size: 262_144,
            num_key_value_heads: 1,
            rope_theta: 1_000_000.0,
            rope_local_base_freq: 10_000.0,
            query_pre_attn_scalar: 256.0,
            sliding_window: 512,
            sliding_window_pattern: 6,
            rope_scaling: None,
        }
    }
}

impl ModelArgs {
    fn slides(&self, layer: usize) -> bool {
        !(layer + 1).is_multiple_of(self.sliding_window_pattern)
    }
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
    fn load(args: &ModelArgs, w: &Weights, layer: usize) -> Result<Self> {
        let (hidden, dims) = (args.hidden_size, args.head_dim);
        let (queries, keys) = (args.num_attention_heads, args.num_key_value_heads);
        let rope = match args.slides(layer) {
            true => Rope::new(dims, args.rope_local_base_freq, false, None),
            false => Rope::new(dims, args.rope_theta, false, args.rope_scaling.as_ref()),
        };
        Ok(Self {
            q_proj: w.linear("q_proj", queries * dims, hidden)?,
            k_proj: w.linear("k_proj", keys * dims, hidden)?,
            v_proj: w.linear("v_proj", keys * dims, hidden)?,
            o_proj: w.linear("o_proj", hidden, queries * dims)?,
            q_norm: norm(w, "q_norm", dims, args)?,
            k_norm: norm(w, "k_norm", dims, args)?,
            heads: Heads { scale: args.query_pre_attn_scalar.sqrt().recip(), ..Heads::new(queries, keys, dims, rope?) },
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
        self.down_proj.forward(&gelu_glu(&self.gate_proj.forward(x)?, &self.up_proj.forward(x)?)?)
    }
}

struct Block {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    post_feedforward_layernorm: RmsNorm,
}

impl Block {
    fn load(args: &ModelArgs, w: &Weights, layer: usize) -> Result<Self> {
        let norm = |name| norm(w, name, args.hidden_size, args);
        Ok(Self {
            self_attn: Attention::load(args, &w.sub("self_attn"), layer)?,
            mlp: Mlp::load(args, &w.sub("mlp"))?,
            input_layernorm: norm("input_layernorm")?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm")?,
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
        })
    }

    fn forward(&self, x: Array, batch: &mut Batch<'_>, layer: usize) -> Result<Array> {
        let r = self.self_attn.forward(&self.input_layernorm.forward(&x)?, batch, layer)?;
        let h = residual(&batch.narrow(layer, x)?, &self.post_attention_layernorm.forward(&r)?)?;
        let r = self.mlp.forward(&self.pre_feedforward_layernorm.forward(&h)?)?;
        residual(&h, &self.post_feedforward_layernorm.forward(&r)?)
    }
}

struct Model {
    embed_tokens: Embedding,
    embed_scale: Array,
    layers: Vec<Block>,
    norm: RmsNorm,
    lm_head: Option<Linear>,
    windows: Vec<Option<i32>>,
}

pub(super) fn load(config: &Config, w: &Weights) -> Result<Box<dyn Architecture>> {
    let args: ModelArgs = config.args()?;
    let model = w.sub("model");
    let block = |layer| Block::load(&args, &model.sub(format!("layers.{layer}")), layer);
    let untied = w.has("lm_head.weight");
    Ok(Box::new(Model {
        embed_tokens: model.embedding("embed_tokens", args.vocab_size, args.hidden_size)?,
        embed_scale: ops::astype(&Array::from_f32((args.hidden_size as f32).sqrt()), Dtype::Bfloat16)?,
        layers: (0..args.num_hidden_layers).map(block).collect::<Result<_>>()?,
        norm: norm(&model, "norm", args.hidden_size, &args)?,
        lm_head: untied.then(|| w.linear("lm_head", args.vocab_size, args.hidden_size)).transpose()?,
        windows: (0..args.num_hidden_layers).map(|layer| args.slides(layer).then_some(args.sliding_window)).collect(),
    }))
}

impl Architecture for Model {
    fn forward(&self, ids: &Array, batch: &mut Batch<'_>) -> Result<Array> {
        let h = self.embed_tokens.forward(ids)?;
        let mut h = ops::multiply(&h, &ops::astype(&self.embed_scale, h.dtype())?)?;
        for (layer, block) in self.layers.iter().enumerate() {
            h = block.forward(h, batch, layer)?;
        }
        let h = self.norm.forward(&h)?;
        self.lm_head.as_ref().map_or_else(|| self.embed_tokens.as_linear(&h), |head| head.forward(&h))
    }

    fn caches(&self) -> Vec<LayerKind> {
        self.windows.iter().copied().map(LayerKind::from).collect()
    }
}

/// Gemma stores what a norm's weight is above 1.
fn norm(w: &Weights, name: &str, dims: usize, args: &ModelArgs) -> Result<RmsNorm> {
    w.rms_norm(name, dims, args.rms_norm_eps)?.offset_by_one()
}

/// `x + y`. Gemma was trained in bfloat16, and its sums leave float16's range: there they are cut to it.
fn residual(x: &Array, y: &Array) -> Result<Array> {
    const LARGEST_FLOAT16: f32 = 65_504.0;
    if x.dtype() != Dtype::Float16 {
        return ops::add(x, y);
    }
    let sum = ops::add(&ops::astype(x, Dtype::Float32)?, &ops::astype(y, Dtype::Float32)?)?;
    ops::astype(&ops::clip(&sum, &Array::from_f32(LARGEST_FLOAT16))?, Dtype::Float16)
}
