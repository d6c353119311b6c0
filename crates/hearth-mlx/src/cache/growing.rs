//! The keys and values of all tokens.

use hearth_core::Result;

use super::{
    Cache, Visible, pair,
    tokens::{Tokens, room},
};
use crate::ops::Array;

/// A cache that grows with its sequence.
#[derive(Debug, Clone, Default)]
pub struct Growing {
    pub(super) tokens: Tokens,
}

impl Growing {
    pub(super) fn restore(content: Vec<Array>) -> Self {
        Self { tokens: Tokens::full(content) }
    }

    /// Appends the keys and values of new tokens, each `[1, heads, new, dims]`.
    pub fn update(&mut self, keys: &Array, values: &Array) -> Result<Visible> {
        let before = self.seen();
        append(&mut self.tokens, &[keys.clone(), values.clone()])?;
        let [keys, values] = pair(self.tokens.view(0, self.seen())?)?;
        Ok(Visible::Plain { keys, values, before, window: None })
    }
}

/// Adds new tokens to those that are held.
pub(super) fn append(tokens: &mut Tokens, new: &[Array]) -> Result<()> {
    let (held, count) = (tokens.held(), new[0].dim(2));
    if tokens.fits(count) { tokens.write(new) } else { tokens.grow(held, new, room(held + count)) }
}

impl Cache for Growing {
    fn seen(&self) -> i32 {
        self.tokens.held()
    }

    fn cuts_from(&self) -> i32 {
        0
    }

    fn cut(&mut self, len: i32) {
        self.tokens.truncate(len);
    }

    fn copy(&self, len: i32) -> Result<Self> {
        Ok(Self { tokens: self.tokens.copy(0, len, room(len))? })
    }

    fn mark(&self) -> Result<Self> {
        Ok(Self { tokens: self.tokens.copy(0, self.seen(), 0)? })
    }

    fn arrays(&self) -> &[Array] {
        self.tokens.buffers()
    }

    fn content(&self) -> Result<Vec<Array>> {
        self.tokens.view(0, self.seen())
    }
}
