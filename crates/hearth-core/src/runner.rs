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

/// A cache that was put aside; an id is never used twice.
pub type SnapshotId = u64;

/// One loaded text model: token ids in, token ids out. All calls come from one thread.
pub trait Runner {
    /// What was learned at load.
    fn facts(&self) -> &ModelFacts;
    /// Begins a sequence at `slot`, empty, or with the cache of tokens that were fed before. After an error the slot is
    /// free, and a snapshot that was to be taken over is gone.
    fn open(&mut self, slot: SlotId, params: &SamplingParams, from: Option<Resume<'_>>) -> Result<()>;
    /// One forward pass over all segments together, at most one segment per slot; fills their [`Segment::sampled`].
    fn step(&mut self, batch: &mut [Segment<'_>]) -> Result<()>;
    /// Makes the sequence's present length one to which its cache can be cut back later. Costs nothing where
    /// [`CacheFacts::cuts_anywhere`](crate::model::CacheFacts::cuts_anywhere); else a copy of what cannot be cut. Where there
    /// are [`MOST_MARKS`] already, the [`superfluous_mark`] goes.
    fn mark(&mut self, slot: SlotId) -> Result<()>;
    /// Where the running sequence's cache could be cut back to.
    fn cuts(&self, slot: SlotId) -> Result<Cuts>;
    /// Ends the sequence and puts its cache aside, without copying it. It holds all tokens that were fed.
    fn keep(&mut self, slot: SlotId) -> Result<Snapshot>;
    /// Ends the sequence, whatever its state, and frees its cache.
    fn close(&mut self, slot: SlotId);
    /// Frees a snapshot; unknown ids are ignored.
    fn forget(&mut self, id: SnapshotId);
    /// Holds the first `tokens` of two snapshots once, those of `from`: both were fed the same, and `to` shares nothing yet.
    /// Whoever resumes from one of them gets a copy. All snapshots that this has changed, as they are now; after an error
    /// they are gone.
    fn share(&mut self, from: SnapshotId, to: SnapshotId, tokens: usize) -> Result<Vec<Snapshot>>;
    /// A snapshot's content, bit by bit, for a file. Nothing that is not known from [`Snapshot::len`] is left out.
    fn export(&mut self, id: SnapshotId) -> Result<Vec<Tensor>>;
    /// Puts aside what another process exported, of a model with the same
    /// [`CacheFacts::fingerprint`](crate::model::CacheFacts::fingerprint). Tensors that cannot be such an export are an error.
    fn import(&mut self, tensors: Vec<Tensor>) -> Result<Snapshot>;
}

/// The cache with which a sequence begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume<'a> {
    /// Whose cache it is.
    pub from: Source,
    /// The tokens that it holds, or that it is cut back to: as many as one of the source's [`Cuts`] allows.
    pub tokens: &'a [u32],
}

/// Where a cache comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A snapshot that is used up by it; nothing is copied but what it shares.
    Take(SnapshotId),
    /// A snapshot that stays; what is resumed is copied.
    Copy(SnapshotId),
    /// A sequence that runs on; what is resumed is copied.
    Branch(SlotId),
}

/// A cache that was put aside. Its tokens are known to whoever fed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name at its runner.
    pub id: SnapshotId,
    /// Tokens that it holds.
    pub len: usize,
    /// Bytes of memory that it takes by itself. Marks that it shares with others count in each.
    pub bytes: u64,
    /// What it holds together with others, from the first token on.
    pub shared: Vec<Piece>,
    /// Where it can be cut back to.
    pub cuts: Cuts,
}

/// A run of tokens that several snapshots hold, in memory once, until the last of them goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its name at its runner; never used twice.
    pub id: u64,
    /// Bytes of memory that it takes.
    pub bytes: u64,
}

/// The lengths to which a cache can be cut back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuts {
    /// Any length from here on is one.
    pub from: usize,
    /// Others, ascending: the marks. Those beyond `from` count once more tokens have come and `from` has passed them.
    pub marks: Vec<usize>,
}

/// Marks that a sequence may have; a runner drops the [`superfluous_mark`] before it sets another.
pub const MOST_MARKS: usize = 8;

/// Marks at multiples of this outlast others.
pub const MARK_EVERY: usize = 1024;

/// The place of the mark that is missed least, of marks in ascending order: the oldest that is no multiple of
/// [`MARK_EVERY`], as those at the ends of earlier prompts are; else the oldest odd multiple, then that of the double, and
/// so on. So what is left lies ever wider apart, over the whole length.
pub fn superfluous_mark(marks: impl IntoIterator<Item = usize>) -> Option<usize> {
    let worth = |mark: usize| if mark.is_multiple_of(MARK_EVERY) { mark.trailing_zeros() } else { 0 };
    marks.into_iter().enumerate().min_by_key(|&(_, mark)| worth(mark)).map(|(place, _)| place)
}

impl Cuts {
    /// The longest such length that is at most `len`; 0 where there is none.
    pub fn longest(&self, len: usize) -> usize {
        if len >= self.from {
            return len;
        }
        self.marks.iter().copied().rfind(|&mark| mark <= len).unwrap_or(0)
    }
}

/// A named array as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, unique in its list.
    pub name: String,
    /// The type of its elements as safetensors names it (`F32`, `BF16`, `U32`).
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its elements, row by row, little-endian.
    pub data: Vec<u8>,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The marks that are left, in thousands of tokens where they are multiples.
    fn left(all: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut marks = Vec::new();
        for mark in all {
            if marks.len() == MOST_MARKS {
                marks.remove(superfluous_mark(marks.iter().copied()).unwrap());
            }
            marks.push(mark);
        }
        marks
    }

    #[test]
    fn the_marks_that_are_missed_least_go_first() {
        let every = |from: usize, to: usize| (from..=to).map(|place| place * MARK_EVERY);
        let multiples = |places: [usize; 8]| places.map(|place| place * MARK_EVERY).to_vec();
        assert_eq!(left(every(1, 8)), multiples([1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(left(every(1, 12)), multiples([2, 4, 6, 8, 9, 10, 11, 12]));
        assert_eq!(left(every(1, 32)), multiples([4, 8, 12, 16, 20, 24, 28, 32]));
        assert_eq!(left((1..=30).map(|turn| turn * 100 + 1))[..2], [2301, 2401], "the ends of the latest turns");
        let ends = [500, 700, 900].into_iter().chain(every(1, 7));
        assert_eq!(left(ends), [vec![900], multiples([1, 2, 3, 4, 5, 6, 7, 0])[..7].to_vec()].concat());
    }
}
