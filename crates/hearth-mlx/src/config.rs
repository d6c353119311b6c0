//! `config.json` and `generation_config.json` of a model folder: what every architecture has in common.
//!
//! An architecture reads its own `ModelArgs` by [`Config::args`]. Numbers that decide the size of anything are checked
//! here, before a byte is allocated for them. The files come from strangers: every error names the file and the field.

use std::path::Path;

use hearth_core::{Error, Result, sampling::SamplingOverrides};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    json::{self, Fields},
    quantization::Quantization,
};

/// A model's `config.json`, checked, with what `generation_config.json` adds to it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The architecture's name.
    pub model_type: String,
    /// How the weights are quantized, where they are.
    pub quantization: Option<Quantization>,
    /// Tokens that the model was made for.
    pub context_length: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Tokens that end the model's turn: `generation_config.json`, else `config.json`.
    pub eos_token_ids: Vec<u32>,
    /// The model's own sampling defaults.
    pub sampling: SamplingOverrides,
    raw: Value,
}

impl Config {
    /// Reads and checks the two files of the model folder `dir`.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::model_load(format!("there is no model folder {}", dir.display())));
        }
        let raw = json::read(dir, "config.json")?.ok_or_else(|| no_config(dir))?;
        let generation = json::read(dir, "generation_config.json")?;
        Self::new(raw, generation.as_ref())
    }

    /// Checks the two files' contents.
    pub fn new(raw: Value, generation: Option<&Value>) -> Result<Self> {
        let fields = Fields::new("config.json", &raw)?;
        check_sizes(&fields)?;
        let generation = generation.map(|value| Fields::new("generation_config.json", value)).transpose()?;
        let own = fields.token_ids("eos_token_id")?;
        let better = generation.as_ref().map(|fields| fields.token_ids("eos_token_id")).transpose()?;
        Ok(Self {
            model_type: model_type(&fields)?,
            quantization: Quantization::from_config(&raw)?,
            context_length: context_length(&fields)?,
            vocab_size: fields.size("vocab_size", MAX_VOCAB)?.ok_or_else(|| fields.missing("vocab_size"))?,
            eos_token_ids: better.filter(|ids| !ids.is_empty()).unwrap_or(own),
            sampling: generation.as_ref().map(sampling).transpose()?.unwrap_or_default(),
            raw,
        })
    }

    /// `config.json` as an architecture sees it.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.raw)
            .map_err(|error| Error::model_load(format!("config.json ({}): {error}", self.model_type)))
    }
}

/// The largest vocabulary that is believed.
const MAX_VOCAB: u64 = 1 << 22;

/// Fields that decide the size of something, and the largest value that is believed.
const SIZES: &[(&str, u64)] = &[
    ("hidden_size", 1 << 17),
    ("intermediate_size", 1 << 20),
    ("num_hidden_layers", 1 << 10),
    ("num_attention_heads", 1 << 12),
    ("num_key_value_heads", 1 << 12),
    ("head_dim", 1 << 12),
    ("sliding_window", i32::MAX as u64),
];

/// Refuses sizes that no model has, and those that contradict each other.
fn check_sizes(fields: &Fields<'_>) -> Result<()> {
    for &(name, most) in SIZES {
        fields.size(name, most)?;
    }
    let size = |name| fields.size(name, u64::MAX);
    if let (Some(heads), Some(groups)) = (size("num_attention_heads")?, size("num_key_value_heads")?)
        && heads % groups != 0
    {
        return Err(
            fields.error(format!("num_attention_heads ({heads}) must be a multiple of num_key_value_heads ({groups})"))
        );
    }
    if let (Some(hidden), Some(heads), None) = (size("hidden_size")?, size("num_attention_heads")?, size("head_dim")?)
        && hidden % heads != 0
    {
        return Err(fields.error(format!("hidden_size ({hidden}) must be a multiple of num_attention_heads ({heads})")));
    }
    Ok(())
}

fn no_config(dir: &Path) -> Error {
    Error::model_load(format!(
        "the folder {} holds no config.json; a model folder needs config.json, tokenizer.json and model.safetensors",
        dir.display()
    ))
}

fn model_type(fields: &Fields<'_>) -> Result<String> {
    match fields.text("model_type")? {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(fields.missing("model_type")),
    }
}

/// The field under which most configurations say how long a context they were made for, else under older names.
fn context_length(fields: &Fields<'_>) -> Result<usize> {
    for name in ["max_position_embeddings", "max_sequence_length", "n_positions"] {
        if let Some(length) = fields.size(name, i32::MAX as u64)? {
            return Ok(length);
        }
    }
    Ok(DEFAULT_CONTEXT)
}

/// What is assumed where a configuration does not say; gemma's leaves it to the library, whose default this is.
const DEFAULT_CONTEXT: usize = 8192;

/// The sampling defaults of `generation_config.json`. `do_sample: false` means the likeliest token, whatever else stands there.
fn sampling(fields: &Fields<'_>) -> Result<SamplingOverrides> {
    let temperature = match fields.boolean("do_sample")? {
        Some(false) => Some(0.0),
        _ => fields.number("temperature", 0.0, 100.0)?,
    };
    Ok(SamplingOverrides {
        temperature,
        top_p: fields.number("top_p", 0.0, 1.0)?,
        top_k: top_k(fields)?,
        min_p: fields.number("min_p", 0.0, 1.0)?,
        repetition_penalty: fields.number("repetition_penalty", f32::MIN_POSITIVE, 100.0)?,
        presence_penalty: fields.number("presence_penalty", -100.0, 100.0)?,
        frequency_penalty: fields.number("frequency_penalty", -100.0, 100.0)?,
        ..SamplingOverrides::default()
    })
}

/// -1 is another way to say "off".
fn top_k(fields: &Fields<'_>) -> Result<Option<u32>> {
    let given = fields.number("top_k", -1.0, MAX_VOCAB as f32)?;
    Ok(given.map(|k| k.max(0.0) as u32))
}

#[cfg(test)]
mod tests;
