//! The keys and values of all tokens in 4 or 8 bits: each group of a head's numbers with a scale and a bias of its own.
//!
//! A token is packed by itself, so what is held does not depend on the chunks in which it came.

use hearth_core::{Error, Result};

use super::{
    Cache, Visible, growing,
    tokens::{Tokens, room},
};
use crate::{
    nn,
    ops::{self, Array},
    quantization::Scheme,
};

/// A packed cache that grows with its sequence: keys, their scales and biases, then those of the values.
#[derive(Debug, Clone)]
pub struct Quantized {
    pub(super) tokens: Tokens,
    keys: Scheme,
    values: Scheme,
}

impl Quantized {
    /// An empty cache that packs in these ways, both affine.
    pub fn new(keys: Scheme, values: Scheme) -> Self {
        Self { tokens: Tokens::default(), keys, values }
    }

    pub(super) fn restore(keys: Scheme, values: Scheme, content: Vec<Array>) -> Self {
        Self { tokens: Tokens::full(content), keys, values }
    }

    /// Appends the keys and values of new tokens, each `[1, heads, new, dims]`.
    pub fn update(&mut self, keys: &Array, values: &Array) -> Result<Visible> {
        let new: Vec<_> =
            ops::quantize(keys, &self.keys)?.into_iter().chain(ops::quantize(values, &self.values)?).collect();
        growing::append(&mut self.tokens, &new)?;
        let mut parts = self.tokens.view(0, self.seen())?.into_iter();
        let mut packed = |scheme: Scheme| match (parts.next(), parts.next(), parts.next()) {
            (Some(weight), Some(scales), biases @ Some(_)) => Ok(nn::Quantized { weight, scales, biases, scheme }),
            _ => Err(Error::internal("a packed cache lacks scales or biases")),
        };
        Ok(Visible::Quantized { keys: packed(self.keys)?, values: packed(self.values)? })
    }
}

impl Cache for Quantized {
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
        Ok(Self { tokens: self.tokens.copy(0, len, room(len))?, ..*self })
    }

    fn mark(&self) -> Result<Self> {
        Ok(Self { tokens: self.tokens.copy(0, self.seen(), 0)?, ..*self })
    }

    fn arrays(&self) -> &[Array] {
        self.tokens.buffers()
    }

    fn content(&self) -> Result<Vec<Array>> {
        self.tokens.view(0, self.seen())
    }
}
