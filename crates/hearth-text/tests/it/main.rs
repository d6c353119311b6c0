//! The crate from outside, mostly against the repository's fixtures.

#![expect(clippy::unwrap_used, reason = "a broken fixture should stop the test")]

mod chain;
mod limits;
mod loading;
mod parser;
mod pieces;
mod support;
mod templates;
mod tokenizers;
