//! Token ids to vectors and, where the output layer shares the matrix, vectors to logits.

use hearth_core::Result;

use super::Quantized;
use crate::ops::{self, Array};

/// An embedding of `[vocabulary, hidden]`.
#[derive(Debug)]
pub enum Embedding {
    /// Plain numbers.
    Dense {
        /// The matrix.
        weight: Array,
        /// A view of its transpose, made once.
        weight_t: Array,
    },
    /// Packed numbers.
    Quantized(Quantized),
}

impl Embedding {
    /// An embedding over a plain matrix.
    pub fn dense(weight: Array) -> Result<Self> {
        let weight_t = ops::transpose(&weight, &[1, 0])?;
        Ok(Self::Dense { weight, weight_t })
    }

    /// An embedding over a quantized matrix.
    pub fn quantized(weight: Quantized) -> Self {
        Self::Quantized(weight)
    }

    /// Ids `[tokens]` to vectors `[tokens, hidden]`.
    pub fn forward(&self, ids: &Array) -> Result<Array> {
        match self {
            Self::Dense { weight, .. } => ops::take_rows(weight, ids),
            Self::Quantized(weight) => weight.rows(ids),
        }
    }

    /// Vectors `[tokens, hidden]` to logits `[tokens, vocabulary]`, for models whose output layer is the embedding.
    pub fn as_linear(&self, x: &Array) -> Result<Array> {
        match self {
            Self::Dense { weight_t, .. } => ops::matmul(x, weight_t),
            Self::Quantized(weight) => weight.matmul(x),
        }
    }
}
