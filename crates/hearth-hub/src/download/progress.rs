//! How a download stands: counters that the transfers move, and the sums, speed and time left that people read.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::manifest::Manifest;

const TICK: Duration = Duration::from_millis(250);
/// Speeds of so many seconds ago count for a third.
const SPEED_MEMORY: f64 = 3.0;

/// Where a download, or one file of it, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing has happened yet.
    Queued,
    /// What earlier downloads left is read and hashed.
    Checking,
    /// Bytes come, from the Hub or through another process that downloads the same.
    Running,
    /// Somebody paused it, or the disk is full.
    Paused,
    /// Everything came; it is written out and gets its names.
    Verifying,
    /// The model is there.
    Done,
    /// It ended with an error. What came is kept for another try.
    Failed,
    /// It was cancelled; what came is gone.
    Cancelled,
}

impl State {
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// How a download stands.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Where it is.
    pub state: State,
    /// Why it failed, is paused, or has to wait: one sentence.
    pub reason: Option<String>,
    /// Bytes that are on the disk.
    pub bytes: u64,
    /// Bytes of all files.
    pub total: u64,
    /// Over the last seconds.
    pub bytes_per_second: u64,
    /// At that speed; none while nothing comes.
    pub seconds_left: Option<u64>,
    /// In the manifest's order.
    pub files: Vec<FileProgress>,
}

/// How one file stands.
#[derive(Clone, Debug, Serialize)]
pub struct FileProgress {
    /// Path in the repository.
    pub name: String,
    /// Where it is: queued, checking, running, verifying or done.
    pub state: State,
    /// Bytes that are on the disk.
    pub bytes: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Counters of all files.
pub(crate) struct Meters {
    pub(crate) files: Vec<Meter>,
    /// Why the last request failed, until bytes come again.
    note: Mutex<Option<String>>,
}

/// Counters of one file.
pub(crate) struct Meter {
    name: String,
    total: u64,
    state: AtomicU8,
    bytes: AtomicU64,
    /// Bytes that came, as opposed to those that were there: what speed is made of.
    came: AtomicU64,
}

/// The states of a file in the order in which it goes through them.
const STAGES: [State; 5] = [State::Queued, State::Checking, State::Running, State::Verifying, State::Done];

impl Meter {
    pub(crate) fn enter(&self, state: State) {
        let at = STAGES.iter().position(|stage| *stage == state).unwrap_or(0);
        self.state.store(at as u8, Ordering::Relaxed);
    }

    fn state(&self) -> State {
        STAGES[usize::from(self.state.load(Ordering::Relaxed))]
    }

    /// So many bytes are there.
    pub(crate) fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// So many more bytes came.
    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.came.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Another process has brought it to so many bytes.
    pub(crate) fn follow(&self, bytes: u64) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        self.came.fetch_add(bytes.saturating_sub(before), Ordering::Relaxed);
    }
}

impl Meters {
    pub(crate) fn new(manifest: &Manifest) -> Self {
        let meter = |file: &crate::manifest::ModelFile| Meter {
            name: file.name.to_string(),
            total: file.size,
            state: AtomicU8::new(0),
            bytes: AtomicU64::new(0),
            came: AtomicU64::new(0),
        };
        Self { files: manifest.files.iter().map(meter).collect(), note: Mutex::new(None) }
    }

    /// Every file is as at the start of an attempt.
    pub(crate) fn reset(&self) {
        self.files.iter().for_each(|file| file.enter(State::Queued));
        self.note(None);
    }

    pub(crate) fn note(&self, note: Option<String>) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    fn came(&self) -> u64 {
        self.files.iter().map(|file| file.came.load(Ordering::Relaxed)).sum()
    }

    fn state(&self) -> State {
        let states: Vec<State> = self.files.iter().map(Meter::state).collect();
        let any = |state| states.contains(&state);
        let all = |wanted: &[State]| states.iter().all(|state| wanted.contains(state));
        match () {
            () if all(&[State::Queued]) => State::Queued,
            () if all(&[State::Verifying, State::Done]) => State::Verifying,
            () if any(State::Checking) && !any(State::Running) => State::Checking,
            () => State::Running,
        }
    }
}

/// Makes reports of the counters and sends them.
pub(crate) struct Reporter {
    meters: Arc<Meters>,
    sender: watch::Sender<Progress>,
    speed: Speed,
}

impl Reporter {
    pub(crate) fn new(meters: Arc<Meters>) -> (Self, watch::Receiver<Progress>) {
        let first = report(&meters, State::Queued, None, 0.0);
        let (sender, receiver) = watch::channel(first);
        (Self { meters, sender, speed: Speed::default() }, receiver)
    }

    /// Reports for ever, at every tick.
    pub(crate) async fn tick(&mut self) {
        self.speed = Speed::default();
        loop {
            let speed = self.speed.at(Instant::now(), self.meters.came());
            let note = self.meters.note.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.sender.send_replace(report(&self.meters, self.meters.state(), note, speed));
            tokio::time::sleep(TICK).await;
        }
    }

    /// Reports a state that holds until somebody changes it.
    pub(crate) fn say(&self, state: State, reason: Option<String>) -> State {
        self.sender.send_replace(report(&self.meters, state, reason, 0.0));
        state
    }
}

fn report(meters: &Meters, state: State, reason: Option<String>, speed: f64) -> Progress {
    let file = |meter: &Meter| FileProgress {
        name: meter.name.clone(),
        state: meter.state(),
        bytes: meter.bytes.load(Ordering::Relaxed),
        total: meter.total,
    };
    let files: Vec<FileProgress> = meters.files.iter().map(file).collect();
    let bytes = files.iter().map(|file| file.bytes).sum();
    let total = files.iter().map(|file| file.total).sum::<u64>();
    let left = total.saturating_sub(bytes) as f64;
    let seconds_left = (speed >= 1.0).then(|| (left / speed).ceil() as u64);
    Progress { state, reason, bytes, total, bytes_per_second: speed as u64, seconds_left, files }
}

/// A mean of speeds in which the last seconds count most.
#[derive(Default)]
struct Speed {
    last: Option<(Instant, u64)>,
    mean: Option<f64>,
}

impl Speed {
    /// Bytes per second, when so many bytes have come in all.
    fn at(&mut self, now: Instant, came: u64) -> f64 {
        let Some((then, before)) = self.last.replace((now, came)) else { return 0.0 };
        let seconds = (now - then).as_secs_f64().max(1e-3);
        let speed = came.saturating_sub(before) as f64 / seconds;
        let weight = 1.0 - (-seconds / SPEED_MEMORY).exp();
        let mean = self.mean.map_or(speed, |mean| mean + weight * (speed - mean));
        *self.mean.insert(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_follows_what_comes_and_forgets_in_seconds() {
        let (mut speed, start) = (Speed::default(), Instant::now());
        let mut at = |quarter: u64, came| speed.at(start + Duration::from_millis(250 * quarter), came);
        assert_eq!(at(0, 500), 0.0);
        assert!((1..=8).all(|quarter| (at(quarter, 500 + 250 * quarter) - 1000.0).abs() < 1e-6));
        let stalled: Vec<f64> = (9..=20).map(|quarter| at(quarter, 2500)).collect();
        assert!(stalled[11] < 400.0 && stalled[11] > 300.0, "{stalled:?}");
    }

    #[test]
    fn a_download_is_where_its_files_are() {
        let file = |name: &str| crate::manifest::ModelFile {
            name: name.parse().unwrap(),
            size: 10,
            digest: crate::hash::Digest::git_blob(&"0".repeat(40)).unwrap(),
        };
        let manifest = Manifest {
            repo: "a/b".parse().unwrap(),
            revision: crate::files::Revision::main(),
            commit: "0".repeat(40).parse().unwrap(),
            files: vec![file("a"), file("b")],
        };
        let meters = Meters::new(&manifest);
        use State::{Checking, Done, Queued, Running, Verifying};
        let cases = [
            (Queued, Queued, Queued),
            (Checking, Queued, Checking),
            (Checking, Running, Running),
            (Done, Queued, Running),
            (Done, Verifying, Verifying),
            (Done, Done, Verifying),
        ];
        for (a, b, all) in cases {
            meters.files[0].enter(a);
            meters.files[1].enter(b);
            assert_eq!(meters.state(), all, "{a:?} {b:?}");
        }
        meters.files[0].set(4);
        meters.files[0].add(2);
        let now = report(&meters, Running, None, 7.0);
        assert_eq!((now.bytes, now.total, now.seconds_left, meters.came()), (6, 20, Some(2), 2));
    }
}
