//! Scheduling: who runs next on a model, and the worker in which it runs.
//!
//! An [`Engine`] takes chat requests and answers with [`ChatStream`]s; it never sees a protocol. Each model lives in a
//! [`worker`], a child process or a thread, that only token ids and numbers reach.

mod admission;
mod answer;
mod archive;
mod caches;
mod choice;
mod device;
mod disk_tier;
mod engine;
pub mod fake;
mod fill;
mod memory;
mod model;
mod models;
mod names;
mod pace;
mod pool;
mod prefix_cache;
mod radix;
mod report;
mod residents;
mod scheduler;
mod sequence;
mod sessions;
mod spec;
mod stats;
mod stream;
mod text;
pub mod worker;

pub use engine::Engine;
pub use sessions::{ForkError, SessionInfo, SessionOptions, check_session_id};
pub use spec::{EngineOptions, Loader, ModelSettings, ModelSpec, Placement};
pub use stats::{Memory, Status, WorkerState};
pub use stream::ChatStream;
pub use worker::{CacheOptions, DiskOptions, LoadRequest, Progress};
