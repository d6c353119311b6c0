//! The layers that models are made of. Each is its weights and one `forward`; loading is [`crate::weights`]'s part.

mod activation;
mod embedding;
mod heads;
mod linear;
mod norm;
mod quantized;
mod rope;

pub use activation::{gelu_glu, silu_glu};
pub use embedding::Embedding;
pub use heads::{Heads, Qkv};
pub use linear::Linear;
pub use norm::RmsNorm;
pub use quantized::Quantized;
pub use rope::{Rope, RopeArgs, RopeScaling};
