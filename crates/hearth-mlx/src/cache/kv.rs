//! The keys and values of one layer.
//!
//! Invariants:
//! 1. Both buffers have the shape `[1, heads, capacity, dims]`, and their first `held` entries along the third axis are
//!    the sequence's latest tokens in order. Without a window these are all tokens; with one, at least those that the
//!    next query may see.
//! 2. A buffer has one owner, this struct, but for views that queued work still reads. MLX writes in place only while
//!    nothing else holds the memory, so nobody may keep a view beyond the step that asked for it.
//! 3. Buffers grow by [`STEP`] tokens, so a step that does not grow writes one token and copies nothing.

use hearth_core::Result;

use crate::ops::{self, Array};

/// Tokens by which buffers grow.
const STEP: i32 = 256;

/// The cache of one layer of one sequence.
#[derive(Debug)]
pub struct KvCache {
    buffers: Option<Buffers>,
    held: i32,
    offset: i32,
    window: Option<i32>,
}

#[derive(Debug)]
struct Buffers {
    keys: Array,
    values: Array,
}

/// What new queries may look at: the tokens before them and themselves.
#[derive(Debug)]
pub struct Visible {
    /// `[1, heads, before + new, dims]`.
    pub keys: Array,
    /// As the keys.
    pub values: Array,
    /// Tokens that stand before the first new one.
    pub before: i32,
    /// How many tokens a query may see, itself included, where there is a limit.
    pub window: Option<i32>,
}

impl Visible {
    /// The latest `count` keys and values.
    pub fn latest(&self, count: i32) -> Result<(Array, Array)> {
        let all = self.keys.dim(2);
        Ok((part(&self.keys, all - count, all)?, part(&self.values, all - count, all)?))
    }
}

impl KvCache {
    /// An empty cache. With a window, tokens that no later query may see are forgotten.
    pub fn new(window: Option<i32>) -> Self {
        Self { buffers: None, held: 0, offset: 0, window }
    }

    /// Tokens seen so far.
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// Appends the keys and values of new tokens, each `[1, heads, new, dims]`.
    pub fn update(&mut self, keys: &Array, values: &Array) -> Result<Visible> {
        let new = keys.dim(2);
        let before = self.window.map_or(self.held, |window| self.held.min(window - 1));
        let buffers = match self.buffers.take() {
            Some(buffers) if self.held + new <= buffers.keys.dim(2) => buffers.write(keys, values, self.held)?,
            old => {
                let kept = (self.held - before, self.held);
                self.held = before;
                Buffers::grown(old, kept, keys, values, self.slack(before + new))?
            }
        };
        self.held += new;
        self.offset += new;
        let visible = Visible {
            keys: part(&buffers.keys, self.held - new - before, self.held)?,
            values: part(&buffers.values, self.held - new - before, self.held)?,
            before,
            window: self.window,
        };
        self.buffers = Some(buffers);
        Ok(visible)
    }

    /// Both buffers, to be computed.
    pub fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.buffers.iter().flat_map(|buffers| [&buffers.keys, &buffers.values])
    }

    /// Room to leave after `held` tokens. A window's buffer is copied each time it is full, so it gets a whole step.
    fn slack(&self, held: i32) -> i32 {
        match self.window {
            Some(_) => STEP,
            None => (STEP - held % STEP) % STEP,
        }
    }
}

impl Buffers {
    /// The same buffers with new tokens written at `place`.
    fn write(self, keys: &Array, values: &Array, place: i32) -> Result<Self> {
        let write = |buffer: Array, update: &Array| {
            let [_, heads, new, dims] = dims(update);
            ops::slice_update(&buffer, update, [0, 0, place, 0], [1, heads, place + new, dims])
        };
        Ok(Self { keys: write(self.keys, keys)?, values: write(self.values, values)? })
    }

    /// New buffers: the kept tokens of the old ones, the new tokens, and room for more.
    fn grown(old: Option<Self>, kept: (i32, i32), keys: &Array, values: &Array, slack: i32) -> Result<Self> {
        let (old_keys, old_values) = old.map(|old| (old.keys, old.values)).unzip();
        let grow = |old: Option<Array>, update: &Array| {
            let [_, heads, _, dims] = dims(update);
            let kept = old.filter(|_| kept.0 < kept.1).map(|old| part(&old, kept.0, kept.1)).transpose()?;
            let room = (slack > 0).then(|| ops::zeros(&[1, heads, slack, dims], update.dtype())).transpose()?;
            ops::concatenate(kept.iter().chain([update]).chain(room.iter()), 2)
        };
        Ok(Self { keys: grow(old_keys, keys)?, values: grow(old_values, values)? })
    }
}

/// Tokens `start..stop` of a buffer.
fn part(buffer: &Array, start: i32, stop: i32) -> Result<Array> {
    let [_, heads, _, dims] = dims(buffer);
    ops::slice(buffer, [0, 0, start, 0], [1, heads, stop, dims])
}

fn dims(array: &Array) -> [i32; 4] {
    [array.dim(0), array.dim(1), array.dim(2), array.dim(3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys whose single number is the token's position, for two heads.
    fn tokens(from: i32, count: i32) -> Array {
        let positions: Vec<f32> = (0..2).flat_map(|_| (from..from + count).map(|position| position as f32)).collect();
        Array::from_slice(&positions, &[1, 2, count, 1])
    }

    fn values(array: &Array) -> Vec<f32> {
        ops::contiguous(array).and_then(|array| ops::to_vec(&array)).expect("values")
    }

    /// Feeds chunks of these sizes and checks what the queries of each see.
    fn check(window: Option<i32>, chunks: &[i32]) {
        let mut cache = KvCache::new(window);
        for &new in chunks {
            let offset = cache.offset();
            let visible = cache.update(&tokens(offset, new), &tokens(offset, new)).expect("an update");
            let before = window.map_or(offset, |window| offset.min(window - 1));
            let expected = values(&tokens(offset - before, before + new));
            for found in [&visible.keys, &visible.values] {
                assert_eq!(values(found), expected, "window {window:?}, {new} tokens at {offset} of {chunks:?}");
            }
            assert_eq!(visible.before, before);
            assert_eq!(cache.offset(), offset + new);
            let largest = chunks.iter().max().expect("a chunk");
            let most = window.map_or(offset + new, |window| window + largest) + STEP;
            assert!(cache.arrays().all(|buffer| buffer.dim(2) <= most), "window {window:?}: room for more than {most}");
        }
    }

    #[test]
    fn queries_see_the_tokens_before_them_whatever_the_chunks() {
        let one_by_one = [1; 600];
        let cases: &[&[i32]] = &[&one_by_one, &[7, 1, 1, 300, 1, 1, 256, 255, 1, 1], &[256, 256, 1], &[1000, 1, 30]];
        for window in [None, Some(1), Some(2), Some(16), Some(300)] {
            cases.iter().for_each(|chunks| check(window, chunks));
        }
    }

    #[test]
    fn a_step_that_does_not_grow_writes_in_place() {
        let mut cache = KvCache::new(None);
        let place = |cache: &KvCache| {
            let buffer = cache.arrays().next().expect("a buffer");
            ops::eval([buffer]).expect("an evaluation");
            buffer.as_slice::<f32>().as_ptr()
        };
        cache.update(&tokens(0, 3), &tokens(0, 3)).expect("an update");
        let first = place(&cache);
        for offset in 3..20 {
            cache.update(&tokens(offset, 1), &tokens(offset, 1)).expect("an update");
            assert_eq!(place(&cache), first, "token {offset}");
        }
    }
}
