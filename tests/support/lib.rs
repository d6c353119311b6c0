//! What the tests from outside share: the real program, talking to it, and models to give to it.
//!
//! Nothing here sleeps or guesses: a server is ready when it says so, and a process is gone when the system says so.

pub mod http;
pub mod hub;
pub mod models;
pub mod process;
mod server;

pub use http::{Answer, Chunks};
pub use server::{Server, hearth, root};
