//! What is known of a model.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sampling::SamplingOverrides;

/// What a worker learned when it loaded a model folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// `model_type` of config.json.
    pub model_type: String,
    /// Tokens that prompt and answer may hold together.
    pub context_length: usize,
    /// Rows of the logits; token ids are below it.
    pub vocab_size: usize,
    /// Tokens that end the model's turn (generation_config.json, else config.json).
    pub eos_token_ids: Vec<u32>,
    /// The model's own sampling defaults (generation_config.json).
    pub sampling: SamplingOverrides,
    /// Bytes of all weights as they lie in memory.
    pub weight_bytes: u64,
    /// What its caches need.
    pub cache: CacheFacts,
}

/// What a model's KV caches need, and where they may be used again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheFacts {
    /// Names all that a cache's content depends on but its tokens: the model's files, the form of the cache, MLX's version.
    pub fingerprint: String,
    /// Bytes that each token adds, in the layers whose caches grow.
    pub token_bytes: u64,
    /// Bytes of the layers whose caches do not grow, once they are full.
    pub fixed_bytes: u64,
    /// Bytes of a mark: what [`Runner::mark`](crate::runner::Runner::mark) copies, once a sequence is long.
    pub mark_bytes: u64,
    /// Tokens by which a growing cache grows at a time.
    pub step: usize,
    /// Whether a cache can be cut back to any length; else only to those that were marked.
    pub cuts_anywhere: bool,
    /// Bytes of scratch that a pass takes for each pair of a new token and a token that it looks at.
    pub scratch_bytes: u64,
    /// Bytes that a process may hold on this machine, weights included; 0: not known.
    pub memory_limit: u64,
}

/// Names that mean the default model, in any case, as clients send them that have to send something.
pub const DEFAULT_NAMES: [&str; 3] = ["", "EMPTY", "default"];

/// A model as clients see it in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The API name, which clients send (`llama-3.2-3b-instruct`).
    pub id: String,
    /// Its name for people (`Llama 3.2 3B Instruct`).
    pub name: String,
    /// The repository id or folder that it was made from; another name for it.
    pub source: String,
    /// When it was made available, seconds since 1970.
    pub created: u64,
    /// Tokens that prompt and answer may hold together, once known.
    pub context_length: Option<usize>,
}

/// How long a model stays loaded that nobody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// For so long after its last answer; zero unloads it at once.
    For(Duration),
    /// Until its memory is needed for another one.
    Forever,
}
