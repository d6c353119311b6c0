//! What a model asks of a machine, from its `config.json` and the size of its files alone.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use hearth_core::{
    Result,
    cache::{is_fused, scratch_bytes},
    model::CacheFacts,
};
use serde_json::Value;

use super::{
    caches::{self, Heads},
    fields::{Fields, error},
    weights::{self, Weights},
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
    /// Numbers that were learned, and as many of them as are at work for a token; `None` where the architecture is not known.
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
        let layers = caches::layers(&config, kv_bits, float)?;
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
