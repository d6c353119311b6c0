//! Buffers of tokens that grow together: what the kinds of cache that hold keys and values have in common.
//!
//! Invariants:
//! 1. Each buffer has the shape `[1, heads, capacity, …]`, and its first `held` entries along the third axis are tokens in
//!    order.
//! 2. A buffer has one owner, this struct, but for views that queued work still reads. MLX writes in place only while
//!    nothing else holds the memory, so nobody may keep a view beyond the step that asked for it.
//! 3. Buffers grow by at least one token and at most [`STEP`] more than are needed, so most steps write one token and copy
//!    nothing, and a grown buffer is always computed: it is never a view of what came from outside.
//! 4. Only what was put aside shares its first tokens with others. It is read and copied, never written to, grown or cut.

use hearth_core::Result;

use super::{dims, part};
use crate::ops::{self, Array};

/// Tokens by which buffers grow.
pub const STEP: i32 = hearth_core::cache::STEP as i32;

/// Buffers of equal length. Clones share them; MLX copies a shared one before it writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    /// Pieces that others hold too, an array for each buffer: the tokens that come before those of the buffers.
    shared: Vec<Vec<Array>>,
    buffers: Vec<Array>,
    /// Tokens in the buffers.
    held: i32,
}

/// Tokens in pieces.
fn count(pieces: &[Vec<Array>]) -> i32 {
    pieces.iter().map(|piece| piece[0].dim(2)).sum()
}

/// Room after `held` tokens, up to the next step.
pub(super) fn room(held: i32) -> i32 {
    STEP - held % STEP
}

impl Tokens {
    /// Buffers that are full.
    pub(super) fn full(buffers: Vec<Array>) -> Self {
        let held = buffers.first().map_or(0, |buffer| buffer.dim(2));
        Self { shared: Vec::new(), buffers, held }
    }

    /// Tokens in the pieces and the buffers.
    pub(super) fn held(&self) -> i32 {
        count(&self.shared) + self.held
    }

    /// The pieces.
    pub(super) fn shared(&self) -> &[Vec<Array>] {
        &self.shared
    }

    /// The buffers.
    pub(super) fn buffers(&self) -> &[Array] {
        &self.buffers
    }

    /// Forgets what stands behind the first `held` tokens.
    pub(super) fn truncate(&mut self, held: i32) {
        self.held = held;
    }

    /// Whether `new` more tokens fit.
    pub(super) fn fits(&self, new: i32) -> bool {
        self.buffers.first().is_some_and(|buffer| self.held + new <= buffer.dim(2))
    }

    /// Writes new tokens, an array for each buffer, behind those that are held. They must fit.
    pub(super) fn write(&mut self, new: &[Array]) -> Result<()> {
        let (place, count) = (self.held, new[0].dim(2));
        let write = |(buffer, new): (Array, &Array)| {
            let [_, heads, _, dims] = dims(new);
            ops::slice_update(&buffer, new, [0, 0, place, 0], [1, heads, place + count, dims])
        };
        self.buffers = std::mem::take(&mut self.buffers).into_iter().zip(new).map(write).collect::<Result<_>>()?;
        self.held += count;
        Ok(())
    }

    /// New buffers: the latest `kept` tokens, the new ones, and room for more.
    pub(super) fn grow(&mut self, kept: i32, new: &[Array], room: i32) -> Result<()> {
        let old = std::mem::take(&mut self.buffers);
        let (start, stop) = (self.held - kept, self.held);
        let grow = |(index, new): (usize, &Array)| {
            let [_, heads, _, dims] = dims(new);
            let kept = old.get(index).filter(|_| kept > 0).map(|old| part(old, start, stop)).transpose()?;
            let room = ops::zeros(&[1, heads, room, dims], new.dtype())?;
            ops::concatenate(kept.iter().chain([new, &room]), 2)
        };
        self.buffers = new.iter().enumerate().map(grow).collect::<Result<_>>()?;
        self.held = kept + new[0].dim(2);
        Ok(())
    }

    /// Tokens `start..stop` of each buffer: views, where nothing is shared.
    pub(super) fn view(&self, start: i32, stop: i32) -> Result<Vec<Array>> {
        match self.shared[..] {
            [] => self.buffers.iter().map(|buffer| part(buffer, start, stop)).collect(),
            _ => self.runs(start, stop)?.iter().map(|views| ops::concatenate(views, 2)).collect(),
        }
    }

    /// Tokens `start..stop` in buffers of their own, with room for more where `room` is not 0.
    pub(super) fn copy(&self, start: i32, stop: i32, room: i32) -> Result<Self> {
        if start == stop {
            return Ok(Self::default());
        }
        let copy = |mut views: Vec<Array>| {
            if room > 0 {
                let [_, heads, _, dims] = dims(&views[0]);
                views.push(ops::zeros(&[1, heads, room, dims], views[0].dtype())?);
            }
            if let [view] = &views[..] { ops::duplicate(view) } else { ops::concatenate(&views, 2) }
        };
        let buffers = self.runs(start, stop)?.into_iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { shared: Vec::new(), buffers, held: stop - start })
    }

    /// Piece `place`, or what comes after all pieces, in two: its first `at` tokens and the others, in buffers of their own.
    pub(super) fn halves(&self, place: usize, at: i32) -> Result<[Vec<Array>; 2]> {
        let start = count(&self.shared[..place]);
        let stop = self.shared.get(place).map_or(self.held(), |piece| start + piece[0].dim(2));
        Ok([self.copy(start, start + at, 0)?.buffers, self.copy(start + at, stop, 0)?.buffers])
    }

    /// Puts the halves in place of what they were made of.
    pub(super) fn replace(&mut self, place: usize, [first, rest]: &[Vec<Array>; 2]) {
        if place < self.shared.len() {
            self.shared.splice(place..=place, [first.clone(), rest.clone()]);
        } else {
            self.held -= first[0].dim(2);
            self.shared.push(first.clone());
            self.buffers = rest.clone();
        }
    }

    /// The same tokens with these pieces as the first ones; what follows them is copied.
    pub(super) fn behind(&self, pieces: &[Vec<Array>]) -> Result<Self> {
        let rest = self.copy(count(pieces), self.held(), 0)?;
        Ok(Self { shared: pieces.to_vec(), ..rest })
    }

    /// For each buffer the views that make up tokens `start..stop`, which are not none.
    fn runs(&self, start: i32, stop: i32) -> Result<Vec<Vec<Array>>> {
        let mut runs = vec![Vec::new(); self.shared.first().map_or(self.buffers.len(), Vec::len)];
        let mut first = 0;
        let pieces = self.shared.iter().map(|piece| (piece, piece[0].dim(2)));
        for (arrays, len) in pieces.chain([(&self.buffers, self.held)]) {
            let (from, to) = ((start - first).max(0), (stop - first).min(len));
            if from < to {
                for (views, array) in runs.iter_mut().zip(arrays) {
                    views.push(part(array, from, to)?);
                }
            }
            first += len;
        }
        Ok(runs)
    }
}
