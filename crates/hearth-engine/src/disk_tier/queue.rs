//! What waits for the disk, bounded by bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::{Content, FileName};

/// How long nothing is written after the disk has failed.
const OFF: Duration = Duration::from_secs(60);

/// Work for the writer.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Write {
        name: FileName,
        content: Arc<Content>,
        used: SystemTime,
    },
    Remove(FileName),
    Refresh(FileName, SystemTime),
    /// It was to be written, but others needed its place in the queue, or the disk has failed.
    Dropped(FileName),
}

impl Job {
    fn bytes(&self) -> u64 {
        match self {
            Self::Write { content, .. } => content.bytes(),
            _ => 0,
        }
    }

    fn writes(&self, file: FileName) -> Option<&Arc<Content>> {
        match self {
            Self::Write { name, content, .. } if *name == file => Some(content),
            _ => None,
        }
    }
}

/// Between the device thread and the writer. The device thread waits for it only where it has to save all caches.
pub(super) struct Queue {
    most: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The job that the writer is at.
    current: Option<Job>,
    /// Bytes of `jobs` and `current`.
    bytes: u64,
    off_until: Option<Instant>,
    said: bool,
    closed: bool,
}

impl Queue {
    /// At most `most` bytes wait, what is being written included, or one cache, however long: as long as whoever pushes has
    /// asked whether it is taken.
    pub(super) fn new(most: u64) -> Self {
        Self { most, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn takes(&self, bytes: u64) -> bool {
        let state = self.state();
        let current = state.current.as_ref().map_or(0, Job::bytes);
        !state.is_off() && (current == 0 || current + bytes <= self.most)
    }

    pub(super) fn wait_for(&self, bytes: u64, deadline: Instant) -> bool {
        let fits = |state: &State| state.is_off() || state.bytes == 0 || state.bytes + bytes <= self.most;
        self.wait(fits, deadline) && !self.state().is_off()
    }

    pub(super) fn push(&self, name: FileName, content: Content, used: SystemTime) {
        let mut state = self.state();
        let job = Job::Write { name, content: Arc::new(content), used };
        state.make_room(job.bytes(), self.most);
        state.add(job);
        self.changed.notify_all();
    }

    pub(super) fn remove(&self, name: FileName) {
        let mut state = self.state();
        let (gone, rest) = state.jobs.drain(..).partition(|job| job.writes(name).is_some());
        state.jobs = rest;
        state.bytes -= VecDeque::iter(&gone).map(Job::bytes).sum::<u64>();
        state.add(Job::Remove(name));
        self.changed.notify_all();
    }

    pub(super) fn refresh(&self, name: FileName, used: SystemTime) {
        self.state().add(Job::Refresh(name, used));
        self.changed.notify_all();
    }

    /// What waits to become the file `name`.
    pub(super) fn pending(&self, name: FileName) -> Option<Arc<Content>> {
        let state = self.state();
        let content = state.current.iter().chain(&state.jobs).find_map(|job| job.writes(name));
        content.cloned()
    }

    /// The writer's next job, once there is one; `None` when the queue is closed.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.current = Some(job.clone());
                return Some(if state.is_off() { job.given_up() } else { job });
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The writer has done its job.
    pub(super) fn done(&self) {
        let mut state = self.state();
        let bytes = state.current.take().map_or(0, |job| job.bytes());
        state.bytes -= bytes;
        self.changed.notify_all();
    }

    pub(super) fn drained(&self, deadline: Instant) -> bool {
        self.wait(|state| state.jobs.is_empty() && state.current.is_none(), deadline)
    }

    /// Nothing more is written; files that are to be removed still are.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped: u64 = state.jobs.iter().map(Job::bytes).sum();
        state.bytes -= dropped;
        state.jobs.retain(|job| matches!(job, Job::Remove(_)));
        self.changed.notify_all();
    }

    /// The disk has failed: it is left alone for a while.
    pub(super) fn switch_off(&self, why: &str) {
        self.state().off_until = Some(Instant::now() + OFF);
        let seconds = OFF.as_secs();
        tracing::warn!("A cache cannot be written to {why}. Caches are kept in memory alone for {seconds} s.");
        self.changed.notify_all();
    }

    /// Tells why there is no room, once.
    pub(super) fn say_once(&self, why: &str) {
        if !std::mem::replace(&mut self.state().said, true) {
            tracing::warn!("{why}");
        }
    }

    fn wait(&self, ready: impl Fn(&State) -> bool, deadline: Instant) -> bool {
        let mut state = self.state();
        while !ready(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_off(&self) -> bool {
        self.off_until.is_some_and(|until| Instant::now() < until)
    }

    fn add(&mut self, job: Job) {
        self.bytes += job.bytes();
        self.jobs.push_back(job);
    }

    /// Gives up the caches that have waited longest.
    fn make_room(&mut self, bytes: u64, most: u64) {
        for job in &mut self.jobs {
            if self.bytes + bytes <= most {
                return;
            }
            self.bytes -= job.bytes();
            *job = job.clone().given_up();
        }
    }
}

impl Job {
    fn given_up(self) -> Self {
        match self {
            Self::Write { name, .. } => Self::Dropped(name),
            other => other,
        }
    }
}
