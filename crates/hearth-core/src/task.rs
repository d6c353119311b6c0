//! What a worker is asked to do: token ids and numbers, no text.

use serde::{Deserialize, Serialize};

use crate::sampling::SamplingParams;

/// Continue a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// The prompt, never empty.
    pub prompt: Vec<u32>,
    /// At most so many new tokens, at least 1.
    pub max_tokens: usize,
    /// Tokens that end the answer; they are reported as its last token.
    pub stop_tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
}
