//! Hugging Face and model files on disk: what there is, what fits, and how it gets here.

pub mod catalog;
pub mod fit;
pub mod names;
pub mod remove;
pub mod scan;
pub mod watch;

#[cfg(test)]
mod testing;
pub mod cache;
pub mod download;
pub mod error;
pub mod files;
pub mod hash;
pub mod manifest;
pub mod registry;
pub mod retry;
pub mod search;
