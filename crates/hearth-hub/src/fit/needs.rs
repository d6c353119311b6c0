//! What a model asks of a machine, from its `config.json` and the size of its files alone.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use hearth_core::{
    Result,
    cache::{Holds, LayerBytes, is_fused, scratch_bytes},
    model::CacheFacts,
};
use serde_json::Value;

use super::{
    fields::{Fields, error},
    weights::{self, Heads, Weights},
};

/// What is assumed where a configuration does not say; as the worker does.
const DEFAULT_CONTEXT: u64 = 8192;

/// What a model asks of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Needs {
    /// Bytes of all weights.
    pub weights: u64,
    /// Bytes of weights that every token reads: not all experts, and of the table of words only a row.
    pub active: u64,
    /// Numbers that were learned, and as many of them as every token needs; `None` where the architecture is not known.
    pub parameters: Option<(u64, u64)>,
    /// Tokens that the model was made for.
    pub context: usize,
    /// Layers.
    pub layers: u64,
    /// Whether each token goes to a few of many experts.
    pub experts: bool,
    /// Whether a GPU attends without writing scores down.
    pub fused: bool,
    /// What caches take, as the worker counts it where it runs on a processor.
    pub cache: CacheFacts,
}

impl Needs {
    /// What the model of this `config.json` asks for. `files`: bytes of its weights' files, where they are known; else they are
    /// reckoned, which is an error for an architecture that is not known. `kv_bits`: 4 or 8, for a packed cache.
    pub fn new(config: &Value, files: Option<u64>, kv_bits: Option<u8>) -> Result<Self> {
        let config = Fields::new(config)?;
        let (float, implied) = implied(&config, files)?;
        let weights = files.or(implied.map(|weights| weights.bytes)).ok_or_else(|| unknown(&config))?;
        let context = config.any_size(&["max_position_embeddings", "max_sequence_length", "n_positions"]);
        let context = context.unwrap_or(DEFAULT_CONTEXT) as usize;
        let heads = Heads::of(&config)?;
        let layers = layers(&config, &heads, kv_bits, float)?;
        Ok(Self {
            weights,
            active: implied.map_or(weights, |implied| share(weights, implied.active_bytes, implied.bytes)),
            parameters: implied.map(|implied| (implied.parameters, implied.active_parameters)),
            context,
            layers: config.required("num_hidden_layers")?,
            experts: weights::experts(&config).is_some(),
            fused: kv_bits.is_none() && is_fused(heads.dims),
            cache: CacheFacts { scratch_bytes: scratch_bytes(heads.queries), ..CacheFacts::of(layers, context) },
        })
    }
}

/// `part / whole` of `bytes`.
fn share(bytes: u64, part: u64, whole: u64) -> u64 {
    (bytes as f64 * part as f64 / whole as f64) as u64
}

fn unknown(config: &Fields<'_>) -> hearth_core::Error {
    let name = config.model_type().unwrap_or_default();
    error(format!("the size of a model of type {name:?} cannot be told before its files are known"))
}

/// Bytes of the model's floats, and the weights that follow. Configurations often name the type of before a conversion, so
/// files decide: 2 or 4 bytes, whichever explains their size better.
fn implied(config: &Fields<'_>, files: Option<u64>) -> Result<(u64, Option<Weights>)> {
    let dtype = config.text("torch_dtype").or(config.text("dtype"));
    let named = if dtype == Some("float32") { 4 } else { 2 };
    let (Some(two), Some(four)) = (weights::of(config, 2)?, weights::of(config, 4)?) else { return Ok((named, None)) };
    let float = match files {
        Some(files) if files.abs_diff(two.bytes) <= files.abs_diff(four.bytes) => 2,
        Some(_) => 4,
        None => named,
    };
    Ok((float, Some(if float == 2 { two } else { four })))
}

/// The caches of all layers.
fn layers(config: &Fields<'_>, heads: &Heads, bits: Option<u8>, float: u64) -> Result<Vec<LayerBytes>> {
    let plain = heads.token_bytes(None, float).unwrap_or_default();
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

/// Bytes of the tensors in the `model*.safetensors` files of the folder `dir`: the files without their headers.
pub fn tensor_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("model") && name.ends_with(".safetensors") && path.is_file() {
            bytes += data_bytes(&path)?;
        }
    }
    Ok(bytes)
}

fn data_bytes(path: &Path) -> io::Result<u64> {
    let (mut file, mut length) = (File::open(path)?, [0; 8]);
    file.read_exact(&mut length)?;
    let header = u64::from_le_bytes(length).saturating_add(8);
    Ok(file.metadata()?.len().saturating_sub(header))
}
