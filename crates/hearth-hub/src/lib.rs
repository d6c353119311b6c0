//! Hugging Face and model files on disk: what there is, what fits, and how it gets here.

pub mod cache;
pub mod catalog;
pub mod download;
pub mod error;
pub mod files;
pub mod fit;
pub mod hash;
pub mod manifest;
pub mod names;
pub mod registry;
pub mod remove;
pub mod retry;
pub mod scan;
pub mod search;
pub mod watch;

#[cfg(test)]
mod testing;
