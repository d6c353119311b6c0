//! The product from outside, one module per surface: the real program, real MLX, real HTTP on the loopback address.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod admin;
mod bad_input;
mod cache_command;
mod caches;
mod cli;
mod curl;
mod disconnect;
mod ember;
mod guard;
mod models;
mod models_command;
mod options;
mod pull;
mod run;
mod shutdown;
mod ui;
mod worker_death;
