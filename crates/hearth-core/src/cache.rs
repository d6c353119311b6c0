//! How many bytes a sequence's caches take: one reckoning for the device that holds them, the scheduler that plans with
//! them, and whoever wants to know whether a model fits before it is downloaded.

use crate::{
    model::CacheFacts,
    runner::{MARK_EVERY, MOST_MARKS},
};

/// Tokens by which a cache grows at a time.
pub const STEP: usize = 256;

/// Tokens of one sequence that are fed at once at most: the largest chunk, and a rest that goes along with it.
pub const LARGEST_FEED: usize = 640;

/// Bytes of a score; half of that with weights of 16 bits, which is not relied on.
const SCORE_BYTES: u64 = 4;

/// Sizes of heads for which MLX attends on a GPU without writing the scores down (0.32, prompts' chunks).
const FUSED_HEADS: [u64; 3] = [64, 80, 128];

/// The cache of one layer, as far as memory is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerBytes {
    /// What it remembers of a sequence.
    pub holds: Holds,
    /// Bytes of one token, or of the state.
    pub bytes: u64,
}

/// What a layer remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// All tokens.
    All,
    /// So many tokens, the newest included.
    Latest(usize),
    /// A state of fixed size.
    State,
}

/// Whether a GPU attends over heads of this size without writing scores down.
pub fn is_fused(head_dim: u64) -> bool {
    FUSED_HEADS.contains(&head_dim)
}

/// Bytes for each pair of a new token and one that it looks at, where scores are written down: one for each of `heads`
/// heads, and whether it may look.
pub fn scratch_bytes(heads: u64) -> u64 {
    heads * SCORE_BYTES + 1
}

impl CacheFacts {
    /// The part of the facts that the layers tell, for sequences of at most `context` tokens. Sums saturate: who asks may
    /// not have checked what a stranger's file says.
    pub fn of(layers: impl IntoIterator<Item = LayerBytes>, context: usize) -> Self {
        let mut facts = Self { step: STEP, cuts_anywhere: true, ..Self::default() };
        let add =
            |sum: &mut u64, units: usize, bytes: u64| *sum = sum.saturating_add(bytes.saturating_mul(units as u64));
        for LayerBytes { holds, bytes } in layers {
            facts.cuts_anywhere &= holds == Holds::All;
            let (fixed, mark) = match holds {
                Holds::All => {
                    add(&mut facts.token_bytes, 1, bytes);
                    continue;
                }
                Holds::Latest(window) => {
                    let needed = window.saturating_sub(1);
                    (needed.saturating_add(LARGEST_FEED).min(context) + STEP, needed.min(context))
                }
                Holds::State => (1, 1),
            };
            add(&mut facts.fixed_bytes, fixed, bytes);
            add(&mut facts.mark_bytes, mark, bytes);
        }
        facts
    }

    /// Bytes of a sequence that began with `prompt` tokens and has `length`: with one step of growth after the prompt.
    pub fn sequence_bytes(&self, prompt: usize, length: usize) -> u64 {
        let step = self.step.max(1);
        let tokens = length.max(prompt + step).next_multiple_of(step);
        // Besides those of the prompt one of an earlier one's end, or that somebody asks for.
        let marks = (prompt / MARK_EVERY + 2).min(MOST_MARKS) as u64;
        let grown = self.token_bytes.saturating_mul(tokens as u64);
        grown.saturating_add(self.fixed_bytes).saturating_add(self.mark_bytes.saturating_mul(marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_layer_is_counted_as_it_is_held() {
        let layer = |holds, bytes| LayerBytes { holds, bytes };
        let layers = [layer(Holds::All, 100), layer(Holds::Latest(513), 10), layer(Holds::State, 7)];
        let facts = CacheFacts::of(layers, 100_000);
        assert_eq!((facts.token_bytes, facts.fixed_bytes, facts.mark_bytes), (100, 10 * (512 + 640 + 256) + 7, 5127));
        assert!(!facts.cuts_anywhere && CacheFacts::of(layers[..1].iter().copied(), 1).cuts_anywhere);
        let short = CacheFacts::of(layers, 300);
        assert_eq!((short.fixed_bytes, short.mark_bytes), (10 * (300 + 256) + 7, 3007));
    }

    #[test]
    fn a_sequence_has_room_for_one_step_and_its_marks() {
        let facts =
            CacheFacts { token_bytes: 2, fixed_bytes: 1000, mark_bytes: 10, step: 256, ..CacheFacts::default() };
        let cases = [(0, 0, 512 + 20), (256, 256, 1024 + 20), (257, 257, 1536 + 20), (5000, 9000, 18432 + 60)];
        for (prompt, length, bytes) in cases {
            assert_eq!(facts.sequence_bytes(prompt, length), 1000 + bytes, "{prompt} {length}");
        }
    }
}
