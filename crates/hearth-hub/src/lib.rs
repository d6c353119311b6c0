//! Hugging Face and model files on disk: what there is, what fits, and how it gets here.

pub mod catalog;
pub mod fit;
