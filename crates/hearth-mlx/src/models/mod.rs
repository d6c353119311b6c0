//! The architectures, one file each, named as `model_type` in config.json names them.
//!
//! A file has the same five names in the same order: `ModelArgs`, `Attention`, `Mlp`, `Block`, `Model`. Fields are
//! called as in the checkpoint. A new architecture is a new file and a line of [`MODELS`].

mod gemma3_text;
mod llama;
mod qwen2;
mod qwen3;

use hearth_core::{Error, Result};

use crate::{batch::Batch, cache::LayerKind, config::Config, ops::Array, weights::Weights};

/// A text model: token ids in, logits out.
pub trait Model {
    /// Logits `[wanted tokens, vocabulary]` of the batch's tokens, whose ids are `[tokens]`.
    fn forward(&self, ids: &Array, batch: &mut Batch<'_>) -> Result<Array>;

    /// What each layer remembers of a sequence.
    fn caches(&self) -> Vec<LayerKind>;
}

type Load = fn(&Config, &Weights) -> Result<Box<dyn Model>>;

/// Every architecture by its `model_type`.
const MODELS: &[(&str, Load)] = &[
    ("gemma3_text", gemma3_text::load),
    ("llama", llama::load),
    ("mistral", llama::load),
    ("qwen2", qwen2::load),
    ("qwen3", qwen3::load),
];

/// Every `model_type` that can be built.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

/// Builds the architecture that the configuration names.
pub fn load(config: &Config, weights: &Weights) -> Result<Box<dyn Model>> {
    let (_, load) = MODELS.iter().find(|(name, _)| *name == config.model_type).ok_or_else(|| unknown(config))?;
    load(config, weights)
}

fn unknown(config: &Config) -> Error {
    let (unknown, known) = (&config.model_type, names().collect::<Vec<_>>().join(", "));
    Error::model_load(format!("config.json: model_type {unknown:?} is not supported; known are {known}"))
}
