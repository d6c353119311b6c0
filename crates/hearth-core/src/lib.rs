//! The words all sides of Hearth share: plain data, no behaviour, no input or output.
//!
//! The text side speaks of [`chat`] requests and [`event`]s, the device side of token ids in a [`task`] and of the
//! [`runner`]; both use [`sampling`], [`model`] and [`error`]. [`cache`] is how both count memory.

pub mod cache;
pub mod chat;
pub mod error;
pub mod event;
pub mod model;
pub mod runner;
pub mod sampling;
pub mod task;

pub use error::{Error, ErrorKind, Result};
