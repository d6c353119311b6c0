//! The seam between engine and device: only ids and numbers cross it.
//!
//! Decoding runs one step ahead. A step queues the forward pass of all its segments on the device and only then reads
//! what the step before it sampled. So the token that a [`Feed::Sampled`] segment reports is the token that it *feeds*:
//! the one sampled by this slot's previous segment.
//!
//! Whatever it reads, a step returns once the work of the step before it is complete, and does not wait for its own: the
//! tokens that were read go on their way, and the scheduler learns from the time between two returns what work costs.

use serde::{Deserialize, Serialize};

use crate::{error::Result, model::ModelFacts, sampling::SamplingParams};

/// A sequence's place on the device, chosen by the scheduler, free again after [`Runner::close`].
pub type SlotId = u32;

/// One loaded text model: token ids in, token ids out. All calls come from one thread.
pub trait Runner {
    /// What was learned at load.
    fn facts(&self) -> &ModelFacts;
    /// Begins an empty sequence at `slot`.
    fn open(&mut self, slot: SlotId, params: &SamplingParams) -> Result<()>;
    /// One forward pass over all segments together, at most one segment per slot; fills their [`Segment::sampled`].
    fn step(&mut self, batch: &mut [Segment<'_>]) -> Result<()>;
    /// Ends the sequence, whatever its state, and frees its cache.
    fn close(&mut self, slot: SlotId);
}

/// A slot and the tokens to feed it now.
#[derive(Debug)]
pub struct Segment<'a> {
    /// Whose tokens they are.
    pub slot: SlotId,
    /// The tokens.
    pub feed: Feed<'a>,
    /// Set by [`Runner::step`] for [`Feed::Sampled`] and [`Feed::Last`].
    pub sampled: Option<Sampled>,
}

/// What a segment feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed<'a> {
    /// A prompt's next chunk, never empty; after the last one a token is sampled.
    Prompt {
        /// The chunk.
        tokens: &'a [u32],
        /// Whether the prompt ends with it.
        last: bool,
    },
    /// The token that the previous segment sampled, which may still be on its way; another is sampled after it.
    Sampled,
    /// As [`Feed::Sampled`], but the answer ends with it: it is only read.
    Last,
}

/// A token chosen by the sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// The token's id.
    pub token: u32,
    /// Log-probabilities, where [`SamplingParams::logprobs`] asks for them.
    pub logprobs: Option<Logprobs>,
}

/// Natural logarithms of probabilities, before temperature and filters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logprobs {
    /// The chosen token's.
    pub chosen: f32,
    /// The likeliest tokens and theirs, likeliest first.
    pub top: Vec<(u32, f32)>,
}
