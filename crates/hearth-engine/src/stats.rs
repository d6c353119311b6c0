//! What `/health` and metrics read: a model's state, kept by its pool and readable without asking it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_core::model::ModelFacts;

/// What the worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkerState {
    /// There is none; the next request starts one.
    #[default]
    Stopped,
    /// It loads the model.
    Loading,
    /// It takes requests.
    Ready,
}

/// A model's worker and the load on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// What the worker does.
    pub worker: WorkerState,
    /// The worker's process, where it is one of its own.
    pub pid: Option<u32>,
    /// Requests that hold a slot.
    pub running: usize,
    /// Requests that wait for one.
    pub queued: usize,
    /// Requests taken since the start.
    pub requests: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Tokens produced.
    pub completion_tokens: u64,
    /// How often a worker died.
    pub deaths: u64,
}

/// Counters, and what is known of the worker.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) requests: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) completion_tokens: AtomicU64,
    pub(crate) deaths: AtomicU64,
    worker: Mutex<WorkerInfo>,
}

/// What is known of the worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerInfo {
    pub(crate) state: WorkerState,
    pub(crate) pid: Option<u32>,
    /// Learned at the last load, and kept when the worker goes.
    pub(crate) facts: Option<Arc<ModelFacts>>,
}

impl Stats {
    pub(crate) fn worker(&self) -> MutexGuard<'_, WorkerInfo> {
        // Plain data: no holder of the lock can leave it half changed.
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status with `requests` in the house and `slots` for them.
    pub(crate) fn status(&self, requests: usize, slots: usize) -> Status {
        let worker = self.worker().clone();
        let running = if worker.state == WorkerState::Ready { requests.min(slots) } else { 0 };
        Status {
            worker: worker.state,
            pid: worker.pid,
            running,
            queued: requests - running,
            requests: self.requests.load(Relaxed),
            prompt_tokens: self.prompt_tokens.load(Relaxed),
            completion_tokens: self.completion_tokens.load(Relaxed),
            deaths: self.deaths.load(Relaxed),
        }
    }
}
