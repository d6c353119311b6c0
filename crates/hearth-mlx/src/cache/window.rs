//! The keys and values of the latest tokens, for layers whose queries see no others.
//!
//! A query sees a window of tokens, itself included, so `window - 1` tokens must be held for the next one. There is a step's
//! room behind them, and the tokens before them leave only when it is used up: so far the cache can be cut back.

use hearth_core::Result;

use super::{
    Cache, Visible, pair,
    tokens::{STEP, Tokens},
};
use crate::ops::Array;

/// A cache of a sliding window.
#[derive(Debug, Clone)]
pub struct Window {
    tokens: Tokens,
    seen: i32,
    window: i32,
}

impl Window {
    /// An empty cache for queries that see `window` tokens, themselves included.
    pub fn new(window: i32) -> Self {
        Self { tokens: Tokens::default(), seen: 0, window }
    }

    pub(super) fn restore(window: i32, content: Vec<Array>, seen: i32) -> Self {
        Self { tokens: Tokens::full(content), seen, window }
    }

    /// Appends the keys and values of new tokens, each `[1, heads, new, dims]`.
    pub fn update(&mut self, keys: &Array, values: &Array) -> Result<Visible> {
        let (new, before) = (keys.dim(2), self.needed(self.tokens.held()));
        let arrays = [keys.clone(), values.clone()];
        if self.tokens.fits(new) {
            self.tokens.write(&arrays)?;
        } else {
            self.tokens.grow(before, &arrays, STEP)?;
        }
        self.seen += new;
        let held = self.tokens.held();
        let [keys, values] = pair(self.tokens.view(held - new - before, held)?)?;
        Ok(Visible::Plain { keys, values, before, window: Some(self.window) })
    }

    /// How many of `held` tokens the next query sees.
    fn needed(&self, held: i32) -> i32 {
        held.min(self.window - 1)
    }

    /// How many tokens would be held after a cut.
    fn held_at(&self, len: i32) -> i32 {
        self.tokens.held() - (self.seen - len)
    }

    fn tail(&self, len: i32, room: i32) -> Result<Self> {
        let held = self.held_at(len);
        let tokens = self.tokens.copy(held - self.needed(held), held, room)?;
        Ok(Self { tokens, seen: len, window: self.window })
    }
}

impl Cache for Window {
    fn seen(&self) -> i32 {
        self.seen
    }

    fn cuts_from(&self) -> i32 {
        match self.seen - self.tokens.held() {
            0 => 0,
            gone => gone + self.window - 1,
        }
    }

    fn cut(&mut self, len: i32) {
        self.tokens.truncate(self.held_at(len));
        self.seen = len;
    }

    fn copy(&self, len: i32) -> Result<Self> {
        self.tail(len, STEP)
    }

    fn mark(&self) -> Result<Self> {
        self.tail(self.seen, 0)
    }

    fn arrays(&self) -> &[Array] {
        self.tokens.buffers()
    }

    fn content(&self) -> Result<Vec<Array>> {
        self.tokens.view(0, self.tokens.held())
    }
}
