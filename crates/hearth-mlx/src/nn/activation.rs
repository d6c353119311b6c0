//! Gated activations of feed-forward blocks (Shazeer, <https://arxiv.org/abs/2002.05202>), one kernel each on a GPU.

use hearth_core::Result;

use crate::ops::{self, Array, Fused};

thread_local! {
    static SILU_GLU: Fused = const { Fused::new(plain_silu_glu) };
    static GELU_GLU: Fused = const { Fused::new(plain_gelu_glu) };
}

/// `silu(gate) · up`.
pub fn silu_glu(gate: &Array, up: &Array) -> Result<Array> {
    SILU_GLU.with(|fused| fused.call(gate, up))
}

/// `gelu(gate) · up`, GELU by its tanh approximation: `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
pub fn gelu_glu(gate: &Array, up: &Array) -> Result<Array> {
    GELU_GLU.with(|fused| fused.call(gate, up))
}

fn plain_silu_glu(gate: &Array, up: &Array) -> Result<Array> {
    ops::multiply(&ops::multiply(gate, &ops::sigmoid(gate)?)?, up)
}

fn plain_gelu_glu(gate: &Array, up: &Array) -> Result<Array> {
    let constant = |value: f32| ops::astype(&Array::from_f32(value), gate.dtype());
    let cube = ops::multiply(&ops::multiply(gate, gate)?, gate)?;
    let inner = ops::add(gate, &ops::multiply(&constant(0.044_715)?, &cube)?)?;
    let tanh = ops::tanh(&ops::multiply(&constant((2.0 / std::f32::consts::PI).sqrt())?, &inner)?)?;
    let half = ops::multiply(&constant(0.5)?, gate)?;
    ops::multiply(&ops::multiply(&half, &ops::add(&constant(1.0)?, &tanh)?)?, up)
}
