//! Whether a model fits a machine, how long a context it can have there, and how fast it will answer: from its `config.json`
//! and the size of its files, before any of them is downloaded.
//!
//! Bytes are counted as the worker counts them (`hearth_core::cache`); speed is what memory allows.

mod caches;
mod fields;
mod machine;
mod needs;
mod quantization;
mod weights;

use hearth_core::{cache::LARGEST_FEED, model::CacheFacts};
use serde::Serialize;

use crate::error::bytes;

pub use machine::{Machine, measure_bandwidth};
pub use needs::{Needs, tensor_bytes};

/// Tokens of a conversation that should have room, and those without which a model is of no use.
const COMFORTABLE: usize = 8192;
const LEAST: usize = 2048;

/// The share of the limit above which a model leaves too little to others.
const COMFORTABLE_SHARE: (u64, u64) = (85, 100);

/// The share of the bandwidth that decoding attains, and seconds that each layer costs besides, one with experts in particular.
/// Fitted to published figures of an M4 Max, from 1B to 30B-A3B, which they meet within 10 %.
const ATTAINED: f64 = 0.9;
const LAYER_SECONDS: f64 = 60e-6;
const EXPERTS_SECONDS: f64 = 92e-6;

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// With a long conversation and room to spare.
    FitsWell,
    /// It runs, but nothing else of its size beside it, or only with short conversations.
    Tight,
    /// Not even with a short conversation.
    WillNotFit,
}

/// How a model fits a machine. All sizes are bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// In a word.
    pub verdict: Verdict,
    /// In a sentence for a person.
    pub sentence: String,
    /// The weights.
    pub weights: u64,
    /// What a conversation of `tokens` takes besides, the work on its prompt included.
    pub conversation: u64,
    /// Tokens of that conversation.
    pub tokens: usize,
    /// What each token adds to a conversation.
    pub token_bytes: u64,
    /// What a process may hold on the machine; 0: not known.
    pub limit: u64,
    /// Tokens of the longest prompt that has room, up to what the model was made for.
    pub largest_context: usize,
    /// Tokens per second of an answer at the end of such a conversation; none without a bandwidth. On a processor it is a limit,
    /// which quantized weights do not come near.
    pub tokens_per_second: Option<f64>,
}

/// How a model that needs this fits the machine.
pub fn fit(needs: &Needs, machine: &Machine) -> Fit {
    let demand = |tokens| needs.weights.saturating_add(conversation(needs, machine, tokens));
    let tokens = needs.context.min(COMFORTABLE);
    let largest_context = match machine.limit {
        0 => needs.context,
        limit => largest(needs.context, |tokens| demand(tokens) <= limit),
    };
    let (part, whole) = COMFORTABLE_SHARE;
    let verdict = match machine.limit {
        0 => Verdict::FitsWell,
        limit if demand(tokens) <= limit / whole * part => Verdict::FitsWell,
        _ if largest_context >= needs.context.min(LEAST) => Verdict::Tight,
        _ => Verdict::WillNotFit,
    };
    let mut fit = Fit {
        verdict,
        sentence: String::new(),
        weights: needs.weights,
        conversation: conversation(needs, machine, tokens),
        tokens,
        token_bytes: needs.cache.token_bytes,
        limit: machine.limit,
        largest_context,
        tokens_per_second: machine.bandwidth.map(|bandwidth| tokens_per_second(needs, bandwidth, tokens)),
    };
    fit.sentence = sentence(&fit);
    fit
}

/// Bytes that a prompt of `tokens` takes, as the scheduler reckons them: its cache, and the scores of its last chunk.
fn conversation(needs: &Needs, machine: &Machine, tokens: usize) -> u64 {
    let scratch = if machine.gpu && needs.fused { 0 } else { needs.cache.scratch_bytes };
    let pairs = (tokens.min(LARGEST_FEED) * tokens) as u64;
    needs.cache.sequence_bytes(tokens, tokens).saturating_add(pairs.saturating_mul(scratch))
}

/// The largest number up to `most` that fits, where all below it do too.
fn largest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = high - (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

/// Every token reads the active weights, and the cache of all tokens before it.
fn tokens_per_second(needs: &Needs, bandwidth: f64, tokens: usize) -> f64 {
    let CacheFacts { token_bytes, fixed_bytes, .. } = needs.cache;
    let bytes = needs.active as f64 + fixed_bytes as f64 + token_bytes as f64 * tokens as f64;
    let layer = if needs.experts { EXPERTS_SECONDS } else { LAYER_SECONDS };
    1.0 / (bytes / (bandwidth * ATTAINED) + layer * needs.layers as f64)
}

fn sentence(fit: &Fit) -> String {
    let (weights, conversation, limit) = (bytes(fit.weights), bytes(fit.conversation), bytes(fit.limit));
    let needs = format!("{weights} for the weights and {conversation} for a conversation of {} tokens", fit.tokens);
    match fit.verdict {
        _ if fit.limit == 0 => format!("It takes {needs}; how much this machine can hold is not known."),
        Verdict::FitsWell => {
            format!("It fits well: {needs}, of {limit}; up to {} tokens have room.", fit.largest_context)
        }
        Verdict::Tight => {
            format!("It is tight: {needs}, of {limit}; up to {} tokens have room.", fit.largest_context)
        }
        Verdict::WillNotFit => {
            format!(
                "It will not fit: {needs}, but this machine can hold {limit}; choose a smaller model or one of fewer bits."
            )
        }
    }
}

#[cfg(test)]
mod tests;
