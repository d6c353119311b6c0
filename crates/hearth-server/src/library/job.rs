//! The task of one download: it waits for its turn, follows the transfer, and does what is wished meanwhile. Paused is a
//! transfer that was dropped: what has come is on disk, and the next one begins with it, as after a crash.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use hearth_hub::{
    download::{Download as Transfer, Progress, State},
    error::HubError,
};
use hearth_store::DownloadState;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    Download, Library,
    downloads::{Wish, stored},
};

/// How often bytes alone are written down.
const WRITE_EVERY: Duration = Duration::from_secs(3);

pub(super) struct Job {
    library: Library,
    id: i64,
    wishes: watch::Receiver<Wish>,
    transfer: Option<Transfer>,
    /// What was last written down, and when.
    written: Option<(DownloadState, Instant)>,
}

impl Job {
    pub(super) fn new(library: Library, id: i64, wishes: watch::Receiver<Wish>) -> Self {
        Self { library, id, wishes, transfer: None, written: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            let wish = *self.wishes.borrow_and_update();
            match wish {
                Wish::Run => {
                    self.transfer = None;
                    let mut wishes = self.wishes.clone();
                    tokio::select! {
                        () = self.work() => {}
                        wish = wishes.wait_for(|wish| *wish != Wish::Run) => match wish {
                            Ok(_) => continue,
                            // It was forgotten.
                            Err(_) => return,
                        },
                    }
                }
                Wish::Pause => self.pause().await,
                Wish::Cancel => self.discard().await,
            }
            if self.library.ends(self.id, &self.wishes) {
                return;
            }
        }
    }

    /// Downloads, from the queue to the end.
    async fn work(&mut self) {
        // In line before anything else, so that those who asked first come first.
        let turn = self.library.inner.downloads.slots.clone().acquire_owned();
        let queued = self.note(|download| (download.state, download.reason) = (State::Queued, None));
        // It is never closed.
        let (Ok(turn), ()) = tokio::join!(turn, queued) else { return };
        self.note(|download| download.state = State::Checking).await;
        match self.begin().await {
            Ok(()) => self.follow(turn).await,
            Err(error) => self.end(State::Failed, Some(error.to_string())).await,
        }
    }

    /// Asks the Hub what there is, and has it transferred.
    async fn begin(&mut self) -> Result<(), HubError> {
        let Ok(download) = self.library.find_download(self.id) else { return Ok(()) };
        let hub = self.library.hub();
        let manifest = hub.manifest(&download.repo.parse()?, &download.revision.parse()?).await?;
        self.transfer = Some(Transfer::start(&hub, manifest, self.library.inner.options.downloads));
        Ok(())
    }

    /// Tells how the transfer stands until it ends, or pauses for want of room. The turn is then the next one's.
    async fn follow(&mut self, turn: OwnedSemaphorePermit) {
        let Some(mut progress) = self.transfer.as_ref().map(Transfer::progress) else { return };
        loop {
            let now = progress.borrow_and_update().clone();
            if now.state.is_final() || now.state == State::Paused {
                drop(turn);
                return self.stopped(now).await;
            }
            self.note(|download| download.take(now)).await;
            if progress.changed().await.is_err() {
                return self.broken_off().await;
            }
        }
    }

    /// The transfer is gone without a last word.
    async fn broken_off(&mut self) {
        let Some(transfer) = &mut self.transfer else { return };
        if !transfer.panicked().await {
            // The program ends: it goes on with the next one.
            pending::<()>().await;
        }
        let reason = "it stopped by a fault of Hearth's own; the log says more";
        self.end(State::Failed, Some(reason.to_owned())).await;
    }

    /// Tells how the transfer has ended.
    async fn stopped(&mut self, last: Progress) {
        if last.state == State::Done {
            // Whoever hears that it is done finds the model in the list.
            self.scan().await;
        }
        self.note(|download| download.take(last)).await;
    }

    /// Keeps what has come. A transfer that has ended meanwhile has ended.
    async fn pause(&mut self) {
        if let Some(transfer) = &self.transfer {
            transfer.pause();
            let last = transfer.stopped().await;
            if last.state.is_final() {
                return self.stopped(last).await;
            }
        }
        self.end(State::Paused, None).await;
    }

    /// Removes what has come, unless that is a whole model by now.
    async fn discard(&mut self) {
        let has_come = self.library.find_download(self.id).is_ok_and(|download| download.bytes > 0);
        let begun = match &self.transfer {
            None if has_come => self.begin().await,
            _ => Ok(()),
        };
        if let Some(transfer) = &self.transfer {
            transfer.cancel();
            let last = transfer.finished().await;
            if last.state == State::Done {
                return self.stopped(last).await;
            }
        }
        match begun {
            Ok(()) => {
                self.note(|download| (download.bytes, download.files) = (0, Vec::new())).await;
                self.end(State::Cancelled, None).await;
            }
            Err(error) => {
                let reason = format!("what has come is still on the disk, until the model is removed: {error}");
                self.end(State::Cancelled, Some(reason)).await;
            }
        }
        self.scan().await;
    }

    async fn scan(&self) {
        if let Err(error) = self.library.scan().await {
            tracing::warn!("models cannot be listed anew: {error}");
        }
    }

    async fn end(&mut self, state: State, reason: Option<String>) {
        let end = |download: &mut Download| {
            (download.state, download.reason) = (state, reason);
            (download.bytes_per_second, download.seconds_left) = (0, None);
        };
        self.note(end).await;
    }

    /// Tells how it stands, and writes it down where its state has changed or a while has passed.
    async fn note(&mut self, change: impl FnOnce(&mut Download)) {
        let Some(download) = self.library.note(self.id, change) else { return };
        let state = stored(download.state);
        let is_new = self.written.is_none_or(|(before, at)| before != state || at.elapsed() >= WRITE_EVERY);
        if is_new {
            self.library.write_down(&download).await;
            self.written = Some((state, Instant::now()));
        }
    }
}
