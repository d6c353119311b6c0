//! What a model's weights take, from the shapes that its `config.json` implies: bytes, and how many of them every token
//! reads.
//!
//! A table says what architectures have beside the matrices that all have. It also holds some that no worker runs yet: the
//! catalog shows them. That it is right for those that run is tested against the worker's own count.

use hearth_core::Result;

use super::{caches::Heads, fields::Fields, quantization::Quantization};

/// What an architecture has beside the matrices that all have.
#[derive(Clone, Copy)]
struct Traits {
    /// Whether queries, keys and values have a bias; `None`: as `attention_bias` says, and the output too.
    qkv_bias: Option<bool>,
    /// Norms of the size of a head in each layer.
    head_norms: u64,
    /// Norms of the hidden size in each layer.
    norms: u64,
    /// Whether the output is the embedding, whatever the configuration says.
    tied: bool,
}

const PLAIN: Traits = Traits { qkv_bias: None, head_norms: 0, norms: 2, tied: false };

const ARCHITECTURES: &[(&str, Traits)] = &[
    ("gemma3_text", Traits { qkv_bias: Some(false), head_norms: 2, norms: 4, tied: true }),
    ("glm4", Traits { norms: 4, qkv_bias: Some(true), ..PLAIN }),
    ("glm4_moe", Traits { qkv_bias: Some(true), ..PLAIN }),
    ("gpt_oss", PLAIN),
    ("granite", PLAIN),
    ("llama", PLAIN),
    ("mistral", PLAIN),
    ("phi3", PLAIN),
    ("qwen2", Traits { qkv_bias: Some(true), ..PLAIN }),
    ("qwen3", Traits { head_norms: 2, ..PLAIN }),
    ("qwen3_moe", Traits { head_norms: 2, ..PLAIN }),
    ("smollm3", PLAIN),
];

/// What weights take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weights {
    /// Numbers that were learned.
    pub(super) parameters: u64,
    /// As many of them as are at work for a token, as makers count them: all, but of a mixture neither all experts nor the
    /// table of words, of which a token reads a row.
    pub(super) active_parameters: u64,
    /// Bytes of all.
    pub(super) bytes: u64,
    /// Bytes that every token reads.
    pub(super) active_bytes: u64,
}

/// Weights as the configuration implies them, with floats of `float` bytes; `None` where the architecture is not known.
pub(super) fn of(config: &Fields<'_>, float: u64) -> Result<Option<Weights>> {
    let model_type = config.model_type()?;
    let Some((_, traits)) = ARCHITECTURES.iter().find(|(name, _)| *name == model_type) else { return Ok(None) };
    let mut sum = Sum { quantization: Quantization::new(config)?, float, weights: Weights::default() };
    let (hidden, vocab) = (config.required("hidden_size")?, config.required("vocab_size")?);
    let tied = traits.tied || config.flag("tie_word_embeddings");
    sum.matrix("model.embed_tokens", vocab, hidden, Share { all: 1, active: tied.into() })?;
    if !tied {
        sum.matrix("lm_head", vocab, hidden, Share::WHOLE)?;
    }
    sum.vectors(hidden, Share::WHOLE);
    for layer in 0..config.required("num_hidden_layers")? {
        let path = format!("model.layers.{layer}");
        sum.vectors(hidden, Share::times(traits.norms));
        sum.attention(config, traits, &format!("{path}.self_attn"))?;
        sum.feed_forward(config, &format!("{path}.mlp"), layer)?;
    }
    if experts(config).is_none() {
        sum.weights.active_parameters = sum.weights.parameters;
    }
    Ok(Some(sum.weights))
}

/// How often a tensor is there, and how often a token needs it.
#[derive(Clone, Copy)]
struct Share {
    all: u64,
    active: u64,
}

impl Share {
    const WHOLE: Self = Self::times(1);

    const fn times(count: u64) -> Self {
        Self { all: count, active: count }
    }
}

struct Sum<'a> {
    quantization: Quantization<'a>,
    float: u64,
    weights: Weights,
}

impl Sum<'_> {
    fn add(&mut self, numbers: u64, bytes: u64, share: Share) {
        self.weights.parameters += numbers * share.all;
        self.weights.active_parameters += numbers * share.active;
        self.weights.bytes += bytes * share.all;
        self.weights.active_bytes += bytes * share.active;
    }

    fn matrix(&mut self, path: &str, rows: u64, columns: u64, share: Share) -> Result<()> {
        let row = self.quantization.row_bytes(path, columns, self.float)?;
        self.add(rows * columns, rows * row, share);
        Ok(())
    }

    /// Norms and biases, which are never quantized.
    fn vectors(&mut self, numbers: u64, share: Share) {
        self.add(numbers, numbers * self.float, share);
    }

    fn attention(&mut self, config: &Fields<'_>, traits: &Traits, path: &str) -> Result<()> {
        let hidden = config.required("hidden_size")?;
        let Heads { queries, keys, dims } = Heads::of(config)?;
        let all = config.flag("attention_bias");
        let qkv = traits.qkv_bias.unwrap_or(all);
        for (name, heads, biased) in [("q_proj", queries, qkv), ("k_proj", keys, qkv), ("v_proj", keys, qkv)] {
            self.matrix(&format!("{path}.{name}"), heads * dims, hidden, Share::WHOLE)?;
            self.vectors(heads * dims, Share::times(biased.into()));
        }
        self.matrix(&format!("{path}.o_proj"), hidden, queries * dims, Share::WHOLE)?;
        self.vectors(hidden, Share::times((all && traits.qkv_bias.is_none()).into()));
        self.vectors(dims, Share::times(traits.head_norms));
        Ok(())
    }

    /// One block of three matrices, or experts of which a router chooses, and those that all tokens share.
    fn feed_forward(&mut self, config: &Fields<'_>, path: &str, layer: u64) -> Result<()> {
        let inner = config.required("intermediate_size")?;
        let Some(experts) = experts(config).filter(|_| layer >= config.size("first_k_dense_replace").unwrap_or(0))
        else {
            let bias = config.flag("mlp_bias");
            return self.block(config, path, inner, Share::WHOLE, bias);
        };
        let (hidden, inner) = (config.required("hidden_size")?, config.size("moe_intermediate_size").unwrap_or(inner));
        let chosen = config.size("num_experts_per_tok").unwrap_or(experts).min(experts);
        let gpt_oss = config.model_type()? == "gpt_oss";
        let (router, block) = if gpt_oss { ("router", "experts") } else { ("gate", "switch_mlp") };
        self.matrix(&format!("{path}.{router}"), experts, hidden, Share::WHOLE)?;
        self.block(config, &format!("{path}.{block}"), inner, Share { all: experts, active: chosen }, gpt_oss)?;
        let shared = config.size("n_shared_experts").unwrap_or(0);
        self.block(config, &format!("{path}.shared_experts"), inner * shared, Share::times(shared.min(1)), false)
    }

    fn block(&mut self, config: &Fields<'_>, path: &str, inner: u64, share: Share, bias: bool) -> Result<()> {
        let hidden = config.required("hidden_size")?;
        for (name, rows, columns) in
            [("gate_proj", inner, hidden), ("up_proj", inner, hidden), ("down_proj", hidden, inner)]
        {
            self.matrix(&format!("{path}.{name}"), rows, columns, share)?;
            if bias {
                self.vectors(rows, share);
            }
        }
        Ok(())
    }
}

/// Experts in each layer, of which a token needs a few.
pub(super) fn experts(config: &Fields<'_>) -> Option<u64> {
    config.any_size(&["num_experts", "num_local_experts", "n_routed_experts"])
}
