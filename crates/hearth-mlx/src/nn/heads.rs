//! A layer's attention heads: how they are laid out, turned and scaled. Who sees whom is [`crate::batch`]'s part.

use hearth_core::Result;

use super::Rope;
use crate::{
    cache::Visible,
    ops::{self, Array, Mask},
};

/// The heads of a layer.
#[derive(Debug)]
pub struct Heads {
    /// Heads of queries.
    pub queries: i32,
    /// Heads of keys and values.
    pub keys: i32,
    /// Numbers of one head.
    pub dims: i32,
    /// What scores are multiplied by.
    pub scale: f32,
    /// What tells queries and keys where they stand.
    pub rope: Rope,
}

/// Queries, keys and values of some tokens, each `[tokens, heads · dims]` or `[tokens, heads, dims]`.
#[derive(Debug)]
pub struct Qkv {
    /// Queries.
    pub q: Array,
    /// Keys.
    pub k: Array,
    /// Values.
    pub v: Array,
}

impl Heads {
    /// Heads whose scores are divided by the root of their size, as is usual.
    pub fn new(queries: usize, keys: usize, dims: usize, rope: Rope) -> Self {
        let scale = (dims as f32).sqrt().recip();
        Self { queries: queries as i32, keys: keys as i32, dims: dims as i32, scale, rope }
    }

    /// `[tokens, heads · dims]` of queries as `[tokens, heads, dims]`.
    pub fn split_queries(&self, q: &Array) -> Result<Array> {
        ops::reshape(q, &[-1, self.queries, self.dims])
    }

    /// `[tokens, heads · dims]` of keys as `[tokens, heads, dims]`.
    pub fn split_keys(&self, k: &Array) -> Result<Array> {
        ops::reshape(k, &[-1, self.keys, self.dims])
    }

    /// Single queries `[rows, heads, 1, dims]` as [`Heads::attend`] takes them.
    ///
    /// A GPU has one kernel for attention. The processor has a dozen operations for it, which go through the keys once for
    /// each head of queries. So there the heads that share keys become rows of one matrix, scaled for the whole batch.
    pub fn arrange(&self, q: Array, rows: i32) -> Result<Array> {
        if !ops::on_cpu() {
            return Ok(q);
        }
        let scale = ops::astype(&Array::from_f32(self.scale), q.dtype())?;
        ops::reshape(&ops::multiply(&q, &scale)?, &[rows, self.keys, self.queries / self.keys, self.dims])
    }

    /// Attention of one token: its heads, one after the other.
    pub fn attend(&self, q: &Array, visible: &Visible) -> Result<Array> {
        if !ops::on_cpu() {
            return ops::attention(q, &visible.keys, &visible.values, self.scale, Mask::None);
        }
        let scores = ops::matmul(q, &ops::transpose(&visible.keys, &[0, 1, 3, 2])?)?;
        ops::matmul(&ops::softmax(&scores)?, &visible.values)
    }
}
