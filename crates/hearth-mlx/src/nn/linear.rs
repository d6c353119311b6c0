//! `x · Wᵀ + b`, with a dense or a quantized `W`.

use hearth_core::Result;

use super::Quantized;
use crate::ops::{self, Array, Dtype};

/// A linear layer.
#[derive(Debug)]
pub enum Linear {
    /// Plain numbers.
    Dense {
        /// `Wᵀ`, `[in, out]`.
        weight_t: Array,
        /// `[out]`.
        bias: Option<Array>,
    },
    /// Packed numbers.
    Quantized {
        /// `[out, in]`.
        weight: Quantized,
        /// `[out]`.
        bias: Option<Array>,
    },
}

impl Linear {
    /// A layer over a plain `[out, in]` matrix.
    ///
    /// A GPU takes the transpose as a view. The processor's BLAS would lay a float32 view out anew for every product, which
    /// for few tokens is a third of the time; so there it is laid out once.
    pub fn dense(weight: &Array, bias: Option<Array>) -> Result<Self> {
        let mut weight_t = ops::transpose(weight, &[1, 0])?;
        if ops::on_cpu() && weight.dtype() == Dtype::Float32 {
            weight_t = ops::contiguous(&weight_t)?;
            ops::eval([&weight_t])?;
        }
        Ok(Self::Dense { weight_t, bias })
    }

    /// A layer over a quantized matrix.
    pub fn quantized(weight: Quantized, bias: Option<Array>) -> Self {
        Self::Quantized { weight, bias }
    }

    /// `[tokens, in]` to `[tokens, out]`.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        match self {
            Self::Dense { weight_t, bias: None } => ops::matmul(x, weight_t),
            Self::Dense { weight_t, bias: Some(bias) } => ops::addmm(bias, x, weight_t),
            Self::Quantized { weight, bias: None } => weight.matmul(x),
            Self::Quantized { weight, bias: Some(bias) } => ops::add(&weight.matmul(x)?, bias),
        }
    }
}
