//! What `/health` and metrics read: a model's state, kept by its pool and readable without asking it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hearth_core::model::{ModelCard, ModelFacts};
use tokio::sync::watch;

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

/// A model, its worker and the load on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The model.
    pub card: ModelCard,
    /// What the worker does.
    pub worker: WorkerState,
    /// The share of the weights that a worker has read that loads, from 0 to 1.
    pub progress: f32,
    /// The worker's process, where it is one of its own.
    pub pid: Option<u32>,
    /// Bytes that the worker holds.
    pub memory: Memory,
    /// Whether it is never unloaded but on demand.
    pub pinned: bool,
    /// When its last answer ended, seconds since 1970.
    pub last_used: Option<u64>,
    /// When it will be unloaded if nobody uses it before that, from now on.
    pub unloads_in: Option<Duration>,
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

/// Bytes that a worker holds, to about a megabyte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Weights.
    pub weights: u64,
    /// Caches of answers that have ended.
    pub kept: u64,
    /// Caches and scratch of those that run.
    pub running: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.kept + self.running
    }
}

/// Says that some worker's state has changed, or whether a model is in use.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<watch::Sender<()>>);

impl Pulse {
    pub(crate) fn beat(&self) {
        self.0.send_replace(());
    }

    /// Changes from now on.
    pub(crate) fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// Counters, and what is known of the worker.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) requests: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) completion_tokens: AtomicU64,
    pub(crate) deaths: AtomicU64,
    /// Seconds since 1970; 0: never.
    pub(crate) last_used: AtomicU64,
    worker: watch::Sender<WorkerInfo>,
    pulse: Pulse,
}

/// What is known of the worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerInfo {
    pub(crate) state: WorkerState,
    pub(crate) progress: f32,
    pub(crate) pid: Option<u32>,
    /// Learned at the last load, also at one that failed for want of memory, and kept when the worker goes.
    pub(crate) facts: Option<Arc<ModelFacts>>,
    /// Loads that failed for want of memory.
    pub(crate) failures: u64,
    /// Bytes of caches that are kept, and that running sequences need.
    pub(crate) kept: u64,
    pub(crate) running: u64,
}

impl WorkerInfo {
    fn memory(&self) -> Memory {
        let weights = self.facts.as_ref().filter(|_| self.state == WorkerState::Ready);
        Memory { weights: weights.map_or(0, |facts| facts.weight_bytes), kept: self.kept, running: self.running }
    }
}

impl Stats {
    pub(crate) fn new(pulse: Pulse) -> Self {
        Self { pulse, ..Self::default() }
    }

    /// Not to be held while something is changed.
    pub(crate) fn worker(&self) -> watch::Ref<'_, WorkerInfo> {
        self.worker.borrow()
    }

    /// What is known of the worker, now and later.
    pub(crate) fn watch(&self) -> watch::Receiver<WorkerInfo> {
        self.worker.subscribe()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut WorkerInfo)) {
        let before = (self.worker().state, self.worker().running);
        self.worker.send_modify(change);
        let (state, running) = (self.worker().state, self.worker().running);
        // Whoever waits for memory may have it now.
        if state != before.0 || running < before.1 {
            self.pulse.beat();
        }
    }

    /// The status of the model of `card` with `requests` in the house and `slots` for them.
    pub(crate) fn status(&self, card: ModelCard, requests: usize, slots: usize) -> Status {
        let worker = self.worker().clone();
        let running = if worker.state == WorkerState::Ready { requests.min(slots) } else { 0 };
        Status {
            card,
            worker: worker.state,
            progress: worker.progress,
            memory: worker.memory(),
            pid: worker.pid,
            pinned: false,
            last_used: Some(self.last_used.load(Relaxed)).filter(|at| *at > 0),
            unloads_in: None,
            running,
            queued: requests - running,
            requests: self.requests.load(Relaxed),
            prompt_tokens: self.prompt_tokens.load(Relaxed),
            completion_tokens: self.completion_tokens.load(Relaxed),
            deaths: self.deaths.load(Relaxed),
        }
    }
}
