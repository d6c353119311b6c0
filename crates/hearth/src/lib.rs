//! Wiring, settings, paths and the command line: everything that turns the other crates into one program.
//!
//! The program `hearth` is [`cli::main`]; the desktop app uses [`serve`] with [`Settings::load`], a listener from [`port::bind`]
//! and a shutdown signal of its own, and opens its page by [`Ready::link`]. As a model runs in a child process of the same
//! executable, such a program must hand over to [`cli::main`] when its first argument is `worker`.

pub mod browser;
mod cache_dir;
pub mod cli;
mod disk;
mod ember;
mod glance;
pub mod library;
mod limits;
pub mod logging;
pub mod model;
mod paths;
pub mod port;
mod server_file;
pub mod settings;
mod supervisor;
mod ui;
mod verdicts;
mod verify;

pub use glance::{Activity, Glance};
pub use hearth_server::admin::Admin;
pub use settings::Settings;
pub use supervisor::{Ready, Stage, engine, serve};
