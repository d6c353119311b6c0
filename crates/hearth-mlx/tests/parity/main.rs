//! Hearth's models against Python's mlx-lm 0.32.2, and against themselves: in chunks, in batches, one step ahead.
//!
//! The folders under tests/fixtures/parity are written by tests/parity/generate.py. A model folder is a case.

mod batching;
mod fixture;
mod models;
mod packed;
mod quantized;
mod resume;
mod seam;
mod sharing;
mod tiny;
