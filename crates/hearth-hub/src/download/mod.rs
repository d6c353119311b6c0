//! Downloads of whole models: several files at once, resumed where they stopped, verified before they get their names.
//!
//! Three rules hold at every moment, also after a kill:
//! - what is in `blobs/` under its hash was verified, and what is not lies in `….incomplete` beside it;
//! - a blob is written by whoever holds its lock, so several downloads of one model share the work;
//! - the snapshot is linked when every file is verified, `config.json` last, and only then does `refs/` name it.

mod fetch;
mod job;
pub(crate) mod lock;
mod part;
mod progress;
mod room;

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use progress::{FileProgress, Progress, State};
pub use room::free;

use crate::error::HubError;
use crate::manifest::Manifest;
use crate::registry::Hub;
use job::Job;
use progress::Reporter;

/// How a download goes about its work.
#[derive(Clone, Copy, Debug)]
pub struct DownloadOptions {
    /// Files at once.
    pub parallel: usize,
    /// Bytes of the disk that stay free.
    pub reserve: u64,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self { parallel: 4, reserve: 1_000_000_000 }
    }
}

/// A running download. Dropping it stops it and keeps what has come.
pub struct Download {
    wish: watch::Sender<Wish>,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Pause,
    Cancel,
}

impl Download {
    /// Begins at once, on the runtime that this is called from. What earlier downloads left is used.
    #[must_use]
    pub fn start(hub: &Hub, manifest: Manifest, options: DownloadOptions) -> Self {
        let job = Job::new(hub.clone(), manifest, options);
        let (reporter, progress) = Reporter::new(job.meters.clone());
        let (wish, wishes) = watch::channel(Wish::Run);
        let task = tokio::spawn(run(job, wishes, reporter));
        Self { wish, progress, task }
    }

    /// How it stands, told anew several times a second while something changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Stops and keeps what has come.
    pub fn pause(&self) {
        self.wish(Wish::Pause);
    }

    /// Goes on after a pause, one for want of room too.
    pub fn resume(&self) {
        self.wish(Wish::Run);
    }

    /// Stops, and removes what has come unless other snapshots use it.
    pub fn cancel(&self) {
        self.wish(Wish::Cancel);
    }

    /// A cancel is the last wish.
    fn wish(&self, wish: Wish) {
        self.wish.send_if_modified(|now| {
            let open = *now != Wish::Cancel;
            if open {
                *now = wish;
            }
            open
        });
    }

    /// Waits until it is done, failed or cancelled, and says how it stands then.
    pub async fn finished(&self) -> Progress {
        self.until(State::is_final).await
    }

    /// Waits until it has ended or is paused, and says how it stands then.
    pub async fn stopped(&self) -> Progress {
        self.until(|state| state.is_final() || state == State::Paused).await
    }

    async fn until(&self, what: impl Fn(State) -> bool) -> Progress {
        let mut progress = self.progress.clone();
        // The sender goes only after the last word.
        let _ = progress.wait_for(|progress| what(progress.state)).await;
        progress.borrow().clone()
    }

    /// Waits for its task's end, and says whether that was a panic; where it was not, it has said all in its progress, or
    /// the runtime ends.
    pub async fn panicked(&mut self) -> bool {
        (&mut self.task).await.is_err_and(|error| error.is_panic())
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(job: Job, mut wishes: watch::Receiver<Wish>, mut reporter: Reporter) {
    loop {
        let wish = *wishes.borrow_and_update();
        let ended = match wish {
            Wish::Run => attempt(&job, &mut wishes, &mut reporter).await,
            Wish::Pause => Some(reporter.say(State::Paused, None)),
            Wish::Cancel => {
                job.discard().await;
                Some(reporter.say(State::Cancelled, None))
            }
        };
        match ended {
            Some(state) if state.is_final() => return,
            // Paused: nothing to do until somebody wishes so.
            Some(_) if wishes.changed().await.is_err() => return,
            _ => {}
        }
    }
}

/// Runs until it ends or somebody wishes otherwise; none then.
async fn attempt(job: &Job, wishes: &mut watch::Receiver<Wish>, reporter: &mut Reporter) -> Option<State> {
    let result = tokio::select! {
        result = job.fetch_all() => Some(result),
        _ = wishes.wait_for(|wish| *wish != Wish::Run) => None,
        () = reporter.tick() => None,
    };
    job.settled().await;
    let result = match result? {
        // Too late for other wishes: a model that is there was not cancelled.
        Ok(shared) => job.publish(shared).await,
        Err(error) => Err(error),
    };
    Some(match result {
        Ok(()) => reporter.say(State::Done, None),
        Err(full @ HubError::DiskFull { .. }) => reporter.say(State::Paused, Some(full.to_string())),
        Err(error) => reporter.say(State::Failed, Some(error.to_string())),
    })
}
