//! The prompts of a check: token ids from fixed seeds, of lengths around the places where caches grow and wrap.

use std::ops::Range;

use hearth_core::model::ModelFacts;

use super::ANSWER;

/// Tokens that are fed at once.
pub(super) const CHUNK: usize = 256;

/// Tokens that follow an answer, as a next turn.
pub(super) const FOLLOW_UP: usize = 20;

/// Tokens of a prompt and of its beginning that another one shares: around the blocks of 256 tokens in which caches grow,
/// and beyond the sliding windows of 512 and 1024 tokens.
const LENGTHS: [(usize, usize); 6] = [(24, 16), (290, 255), (300, 256), (300, 257), (600, 512), (1500, 1100)];

/// Two prompts of one length that part ways after `shared` tokens.
pub(super) struct Case {
    pub(super) prompt: Vec<u32>,
    pub(super) other: Vec<u32>,
    pub(super) shared: usize,
}

/// The cases that fit into the model's context.
pub(super) fn cases(facts: &ModelFacts) -> Vec<Case> {
    let fits = |(length, _): &(usize, usize)| length + 2 * ANSWER + FOLLOW_UP <= facts.context_length;
    let case = |(seed, (length, shared)): (u64, (usize, usize))| Case::new(seed, length, shared, facts.vocab_size);
    (1..).zip(LENGTHS.into_iter().filter(fits)).map(case).collect()
}

impl Case {
    fn new(seed: u64, length: usize, shared: usize, vocab: usize) -> Self {
        let prompt = tokens(seed, length, vocab);
        let mut other = tokens(!seed, length, vocab);
        other[..shared].copy_from_slice(&prompt[..shared]);
        Self { prompt, other, shared }
    }

    /// What both prompts begin with.
    pub(super) fn beginning(&self) -> &[u32] {
        &self.prompt[..self.shared]
    }

    /// A next turn after this prompt's answer.
    pub(super) fn follow_up(&self) -> &[u32] {
        &self.other[self.other.len() - FOLLOW_UP.min(self.other.len())..]
    }
}

/// The pieces in which `length` tokens are fed.
pub(super) fn chunks(length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length).step_by(CHUNK).map(move |start| start..length.min(start + CHUNK))
}

/// `SplitMix64`: <https://prng.di.unimi.it/splitmix64.c>.
fn tokens(seed: u64, length: usize, vocab: usize) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..length).map(|_| (next() % vocab.max(1) as u64) as u32).collect()
}
