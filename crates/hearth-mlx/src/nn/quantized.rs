//! A quantized matrix: packed integers with a scale (and, in the affine mode, a bias) for each group of a row.

use hearth_core::Result;

use crate::{
    ops::{self, Array},
    quantization::Scheme,
};

/// A quantized `[out, in]` matrix, or several of them, `[…, out, in]`.
#[derive(Debug)]
pub struct Quantized {
    /// `[out, in · bits / 32]`, u32.
    pub weight: Array,
    /// `[out, in / group_size]`.
    pub scales: Array,
    /// As the scales; only in [`Mode::Affine`].
    pub biases: Option<Array>,
    /// How to read them.
    pub scheme: Scheme,
}

impl Quantized {
    /// `x · Wᵀ`.
    pub fn matmul(&self, x: &Array) -> Result<Array> {
        ops::quantized_matmul(x, &self.weight, &self.scales, self.biases.as_ref(), &self.scheme, true)
    }

    /// `x · W`.
    pub fn matmul_plain(&self, x: &Array) -> Result<Array> {
        ops::quantized_matmul(x, &self.weight, &self.scales, self.biases.as_ref(), &self.scheme, false)
    }

    /// The rows at `indices`, as plain numbers.
    pub fn rows(&self, indices: &Array) -> Result<Array> {
        let weight = ops::take_rows(&self.weight, indices)?;
        let scales = ops::take_rows(&self.scales, indices)?;
        let biases = self.biases.as_ref().map(|b| ops::take_rows(b, indices)).transpose()?;
        ops::dequantize(&weight, &scales, biases.as_ref(), &self.scheme)
    }
}
