//! Hugging Face and model files on disk: what there is, what fits, and how it gets here.

pub mod catalog;
pub mod fit;
pub mod names;
pub mod remove;
pub mod scan;
pub mod watch;

#[cfg(test)]
mod testing;
