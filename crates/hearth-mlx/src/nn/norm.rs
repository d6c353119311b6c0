//! Root mean square normalisation (Zhang and Sennrich, <https://arxiv.org/abs/1910.07467>).

use hearth_core::Result;

use crate::ops::{self, Array};

/// `x / sqrt(mean(x²) + eps) · weight`.
#[derive(Debug)]
pub struct RmsNorm {
    weight: Array,
    eps: f32,
}

impl RmsNorm {
    /// A norm over the last axis, of the weight's length.
    pub fn new(weight: Array, eps: f32) -> Self {
        Self { weight, eps }
    }

    /// A norm whose stored weight is what is added to 1, as Gemma's are.
    pub fn offset_by_one(self) -> Result<Self> {
        let one = ops::astype(&Array::from_f32(1.0), self.weight.dtype())?;
        Ok(Self { weight: ops::add(&self.weight, &one)?, eps: self.eps })
    }

    /// The same shape, normalised over the last axis.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        ops::rms_norm(x, &self.weight, self.eps)
    }
}
