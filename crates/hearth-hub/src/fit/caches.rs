//! What each layer of a model remembers of a sequence, and how many bytes that takes.

use hearth_core::{
    Result,
    cache::{Holds, LayerBytes},
};
use serde_json::Value;

use super::{
    fields::{Fields, error},
    quantization::Scheme,
};

/// The caches of all layers.
pub(super) fn layers(config: &Fields<'_>, bits: Option<u8>, float: u64) -> Result<Vec<LayerBytes>> {
    let plain = Heads::of(config)?.token_bytes(None, float).unwrap_or_default();
    let growing = Heads::of_growing(config)?;
    let growing = growing.token_bytes(bits, float).ok_or_else(|| {
        error(format!("a KV cache of few bits needs a head_dim that is a multiple of 32, not {}", growing.dims))
    })?;
    let layer = |layer| match holds(config, layer) {
        Holds::All => LayerBytes { holds: Holds::All, bytes: growing },
        Holds::Latest(window) => LayerBytes { holds: Holds::Latest(window), bytes: plain },
        Holds::State => LayerBytes { holds: Holds::State, bytes: state_bytes(config, float) },
    };
    // The last ones of Gemma 4's small models use the caches of others.
    let shared = config.size("num_kv_shared_layers").unwrap_or(0);
    Ok((0..config.required("num_hidden_layers")?.saturating_sub(shared)).map(layer).collect())
}

/// What a layer remembers: every so many see all in Gemma 3 and the newest Qwen, else it is listed in `layer_types`, to which
/// Qwen 2 and 3 do not listen.
fn holds(config: &Fields<'_>, layer: u64) -> Holds {
    let window = config.size("sliding_window").map_or(Holds::All, |window| Holds::Latest(window as usize));
    let sees_all = |interval: &str| config.size(interval).is_some_and(|every| (layer + 1).is_multiple_of(every));
    match config.text("model_type") {
        Some("qwen2" | "qwen3") => Holds::All,
        Some("gemma3_text") if sees_all("sliding_window_pattern") => Holds::All,
        Some("gemma3_text") => window,
        _ if config.size("full_attention_interval").is_some() => {
            if sees_all("full_attention_interval") {
                Holds::All
            } else {
                Holds::State
            }
        }
        _ => match config.get("layer_types").and_then(|kinds| kinds.get(layer as usize)).and_then(Value::as_str) {
            Some("sliding_attention") => window,
            Some("linear_attention") => Holds::State,
            _ => Holds::All,
        },
    }
}

/// The state of a gated delta net (<https://arxiv.org/abs/2412.06464>): a matrix of 32-bit floats for each head of values,
/// and the latest inputs of its convolution.
fn state_bytes(config: &Fields<'_>, float: u64) -> u64 {
    let size = |name| config.size(name).unwrap_or(0);
    let (keys, values) = (size("linear_num_key_heads"), size("linear_num_value_heads"));
    let (key_dims, value_dims) = (size("linear_key_head_dim"), size("linear_value_head_dim"));
    let inputs = 2 * keys * key_dims + values * value_dims;
    values * key_dims * value_dims * 4 + size("linear_conv_kernel_dim").saturating_sub(1) * inputs * float
}

/// The heads of attention.
pub(super) struct Heads {
    pub(super) queries: u64,
    pub(super) keys: u64,
    pub(super) dims: u64,
}

impl Heads {
    pub(super) fn of(config: &Fields<'_>) -> Result<Self> {
        let queries = config.required("num_attention_heads")?;
        let hidden = config.required("hidden_size")?;
        let keys = config.size("num_key_value_heads").unwrap_or(queries);
        Ok(Self { queries, keys, dims: config.size("head_dim").unwrap_or(hidden / queries) })
    }

    /// Those of layers that see all tokens, which in Gemma 4 are others.
    pub(super) fn of_growing(config: &Fields<'_>) -> Result<Self> {
        let Self { queries, keys, dims } = Self::of(config)?;
        let keys = config.size("num_global_key_value_heads").unwrap_or(keys);
        Ok(Self { queries, keys, dims: config.size("global_head_dim").unwrap_or(dims) })
    }

    /// Bytes of a token's keys and values, in `bits` bits where that is said; `None` where a head has no such form.
    pub(super) fn token_bytes(&self, bits: Option<u8>, float: u64) -> Option<u64> {
        let row = match bits {
            None => self.dims * float,
            Some(bits) => {
                let group = [64, 32].into_iter().find(|group| self.dims.is_multiple_of(*group))?;
                Scheme::affine(bits.into(), group).row_bytes(self.dims, float)
            }
        };
        Some(2 * self.keys * row)
    }
}
