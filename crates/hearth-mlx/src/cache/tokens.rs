//! Buffers of tokens that grow together: what the kinds of cache that hold keys and values have in common.
//!
//! Invariants:
//! 1. Each buffer has the shape `[1, heads, capacity, …]`, and its first `held` entries along the third axis are tokens in
//!    order.
//! 2. A buffer has one owner, this struct, but for views that queued work still reads. MLX writes in place only while
//!    nothing else holds the memory, so nobody may keep a view beyond the step that asked for it.
//! 3. Buffers grow by at least one token and at most [`STEP`] more than are needed, so most steps write one token and copy
//!    nothing, and a grown buffer is always computed: it is never a view of what came from outside.

use hearth_core::Result;

use super::{dims, part};
use crate::ops::{self, Array};

/// Tokens by which buffers grow.
pub const STEP: i32 = 256;

/// Buffers of equal length. Clones share them; MLX copies a shared one before it writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    buffers: Vec<Array>,
    held: i32,
}

/// Room after `held` tokens, up to the next step.
pub(super) fn room(held: i32) -> i32 {
    STEP - held % STEP
}

impl Tokens {
    /// Buffers that are full.
    pub(super) fn full(buffers: Vec<Array>) -> Self {
        let held = buffers.first().map_or(0, |buffer| buffer.dim(2));
        Self { buffers, held }
    }

    /// Tokens in the buffers.
    pub(super) fn held(&self) -> i32 {
        self.held
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

    /// Views of tokens `start..stop`, one of each buffer.
    pub(super) fn view(&self, start: i32, stop: i32) -> Result<Vec<Array>> {
        self.buffers.iter().map(|buffer| part(buffer, start, stop)).collect()
    }

    /// Tokens `start..stop` in buffers of their own, with room for more where `room` is not 0.
    pub(super) fn copy(&self, start: i32, stop: i32, room: i32) -> Result<Self> {
        if start == stop {
            return Ok(Self::default());
        }
        let copy = |view: &Array| {
            let [_, heads, _, dims] = dims(view);
            match room {
                0 => ops::duplicate(view),
                _ => ops::concatenate([view, &ops::zeros(&[1, heads, room, dims], view.dtype())?], 2),
            }
        };
        let buffers = self.view(start, stop)?.iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { buffers, held: stop - start })
    }
}
