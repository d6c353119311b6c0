//! Llama 1 to 3 (<https://arxiv.org/abs/2407.21783>), and Mistral, which is a Llama by another name.

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
    head_dim: Option<usize>,
    num_key_value_heads: Option<usize>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    tie_word_embeddings: Option<bool>,
    layer_types: Option<Vec<String>>,
    sliding_window: Option<i32>,
}

impl ModelArgs {
    fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    /// How many tokens each layer sees.
    fn windows(&self) -> Vec<Option<i32>> {
        let kinds = self.layer_types.as_deref().unwrap_or_default();
        let sliding = |layer| kinds.get(layer).is_some_and(|kind: &String| kind == "sliding_attention");
        (0..self.num_hidden_layers).map(|layer| self.sliding_window.filter(|_| sliding(layer))).collect()
    }
}

struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    heads: Heads,
}

impl Attention {
    fn load(args: &ModelArgs, w: &Weights) -> Result<Self> {
        let (hidden, dims, queries) = (args.hidden_size, args.head_dim(), args.num_attention_heads);
        let keys = args.num_key_value_heads.unwrap_or(queries);
        let bias = args.attention_bias.unwrap_or(false);
        Ok(Self {
            q_proj: linear(w, "q_proj", queries * dims, hidden, bias)?,
            k_proj: linear(w, "k_proj", keys * dims, hidden, bias)?,
            v_proj: linear(w, "v_proj", keys * dims, hidden, bias)?,
            o_proj: linear(w, "o_proj", hidden, queries * dims, bias)?,
            heads: Heads::new(queries, keys, dims, args.rope.rope(dims, 10_000.0)?),
        })
    }

    fn forward(&self, x: &Array, batch: &mut Batch<'_>, layer: usize) -> Result<Array> {
        let q = self.q_proj.forward(x)?;
        let k = self.k_proj.forward(x)?;
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
        let (hidden, inner, bias) = (args.hidden_size, args.intermediate_size, args.mlp_bias.unwrap_or(false));
        Ok(Self {
            gate_proj: linear(w, "gate_proj", inner, hidden, bias)?,
            up_proj: linear(w, "up_proj", inner, hidden, bias)?,
            down_proj: linear(w, "down_proj", hidden, inner, bias)?,
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
    windows: Vec<Option<i32>>,
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
        windows: args.windows(),
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
        self.windows.iter().copied().map(LayerKind::from).collect()
    }
}

fn linear(w: &Weights, name: &str, output: usize, input: usize, bias: bool) -> Result<Linear> {
    if bias { w.linear_with_bias(name, output, input) } else { w.linear(name, output, input) }
}
