//! Arrays, weights, models, the device; all unsafe code.

pub mod batch;
pub mod cache;
mod checkpoint;
pub mod config;
mod fingerprint;
mod header;
mod json;
mod layout;
pub mod memory;
pub mod models;
pub mod nn;
pub mod ops;
pub mod quantization;
mod runner;
pub mod sampler;
pub mod weights;

pub use runner::{LoadOptions, MlxRunner, load, load_telling};

#[cfg(test)]
mod testing;
