//! The downloads that were asked for: two at a time, the others wait. Each that is under way has a task (`job`); what the
//! task is to do is a wish, made and taken under one lock, so that none is lost.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use hearth_hub::{
    download::{FileProgress, Progress, State},
    files::{RepoId, Revision},
};
use hearth_store::DownloadState;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::{Event, Library, LibraryError, Model, Result, job::Job, lock};

/// Downloads at a time.
const AT_ONCE: usize = 2;

/// A download as it stands. As JSON it is what the management API shows.
#[derive(Debug, Clone, Serialize)]
pub struct Download {
    /// What it is called by.
    pub id: i64,
    /// The repository.
    pub repo: String,
    /// The branch, tag or commit.
    pub revision: String,
    /// Where it is.
    pub state: State,
    /// Why it failed, is paused or has to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes that are on the disk.
    pub bytes: u64,
    /// Bytes of all files, once known.
    pub total: Option<u64>,
    /// Over the last seconds.
    pub bytes_per_second: u64,
    /// At that speed.
    pub seconds_left: Option<u64>,
    /// Its files, while it is under way.
    pub files: Vec<FileProgress>,
    /// When it was first asked for, in seconds of Unix.
    pub created: i64,
    /// When it last changed, in seconds of Unix.
    pub updated: i64,
}

/// All downloads, by id.
pub(super) struct Downloads {
    entries: Mutex<BTreeMap<i64, Entry>>,
    /// Repositories, or folders, that are being removed. Locked after `entries`.
    removing: Mutex<Vec<String>>,
    pub(super) slots: Arc<Semaphore>,
}

struct Entry {
    download: Download,
    /// What its task is to do; `None` where it has none.
    wish: Option<watch::Sender<Wish>>,
}

/// What is to become of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    Pause,
    Cancel,
}

impl Downloads {
    pub(super) fn new(rows: Vec<hearth_store::Download>) -> Self {
        let entry = |row: hearth_store::Download| (row.id, Entry { download: row.into(), wish: None });
        let entries = Mutex::new(rows.into_iter().map(entry).collect());
        Self { entries, removing: Mutex::default(), slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Library {
    /// All downloads that are remembered, in the order in which they were asked for.
    pub fn downloads(&self) -> Vec<Download> {
        lock(&self.inner.downloads.entries).values().map(|entry| entry.download.clone()).collect()
    }

    /// The download of this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn find_download(&self, id: i64) -> Result<Download> {
        let entries = lock(&self.inner.downloads.entries);
        entries.get(&id).map(|entry| entry.download.clone()).ok_or(LibraryError::NoDownload(id))
    }

    /// Downloads a repository's model, at `main` where no revision is named; what is there of it is used. One that is under
    /// way already is that one.
    ///
    /// # Errors
    /// When the names are none, another revision is being downloaded, or the model is being removed. What else goes wrong is
    /// the download's `reason`.
    pub async fn download(&self, repo: &str, revision: Option<&str>) -> Result<Download> {
        let repo: RepoId = repo.parse()?;
        let revision = revision.map_or_else(|| Ok(Revision::main()), str::parse)?;
        let (repo, revision) = (repo.as_str(), revision.as_str());
        match self.active_download(repo) {
            Some(active) if active.revision == revision => return Ok(active),
            Some(Download { id, revision, .. }) => {
                return Err(LibraryError::OtherRevision { repo: repo.to_owned(), revision, id });
            }
            None => {}
        }
        self.refuse_removing(repo)?;
        let row = self.inner.store.queue_download(repo, revision).await?;
        let id = row.id;
        {
            let mut entries = lock(&self.inner.downloads.entries);
            let entry = entries.entry(id).or_insert_with(|| Entry { download: row.clone().into(), wish: None });
            entry.download = row.into();
        }
        self.wish(id, Wish::Run)
    }

    /// Stops a download and keeps what has come; it does not go on by itself.
    ///
    /// # Errors
    /// When there is none of this id, or it has ended.
    pub fn pause(&self, id: i64) -> Result<Download> {
        self.wish(id, Wish::Pause)
    }

    /// Goes on with a download that was paused, or tries one again that failed.
    ///
    /// # Errors
    /// When there is none of this id, or it has ended otherwise.
    pub fn resume(&self, id: i64) -> Result<Download> {
        self.wish(id, Wish::Run)
    }

    /// Gives a download up, with what has come of it and no other snapshot uses; one that has ended is forgotten.
    ///
    /// # Errors
    /// When there is none of this id, or the database fails.
    pub async fn cancel(&self, id: i64) -> Result<Download> {
        let download = self.find_download(id)?;
        if !download.state.is_final() {
            return self.wish(id, Wish::Cancel);
        }
        self.forget(id).await?;
        Ok(download)
    }

    fn active_download(&self, repo: &str) -> Option<Download> {
        active(&lock(&self.inner.downloads.entries), repo).cloned()
    }

    /// Lets nobody download or remove a model until it is released.
    pub(super) fn reserve(&self, model: &Model) -> Result<()> {
        let entries = lock(&self.inner.downloads.entries);
        if let Some(Download { repo, id, .. }) = model.repo.as_deref().and_then(|repo| active(&entries, repo)) {
            return Err(LibraryError::Downloading { repo: repo.clone(), id: *id });
        }
        let name = reserved(model);
        // Nobody else reserves it meanwhile: that takes the lock on `entries`.
        self.refuse_removing(name)?;
        lock(&self.inner.downloads.removing).push(name.to_owned());
        Ok(())
    }

    pub(super) fn release(&self, model: &Model) {
        lock(&self.inner.downloads.removing).retain(|name| name != reserved(model));
    }

    /// An error where the repository is being removed.
    fn refuse_removing(&self, repo: &str) -> Result<()> {
        let removing = lock(&self.inner.downloads.removing);
        match removing.iter().any(|name| name.eq_ignore_ascii_case(repo)) {
            true => Err(LibraryError::Removing(repo.to_owned())),
            false => Ok(()),
        }
    }

    /// Forgets the downloads that a model came by.
    pub(super) async fn forget_downloads_of(&self, model: &Model) -> Result<()> {
        for download in self.downloads() {
            if model.repo.as_ref() == Some(&download.repo) {
                self.forget(download.id).await?;
            }
        }
        Ok(())
    }

    /// Goes on with what was under way when the program last ended.
    pub(super) fn go_on(&self) {
        let goes_on = |state| !matches!(state, State::Paused | State::Done | State::Failed | State::Cancelled);
        for download in self.downloads().into_iter().filter(|download| goes_on(download.state)) {
            // It is in the list that was just read, and has not ended.
            let _ = self.wish(download.id, Wish::Run);
        }
    }

    /// Has a download's task do what is wished, or starts one that does.
    fn wish(&self, id: i64, wish: Wish) -> Result<Download> {
        let mut entries = lock(&self.inner.downloads.entries);
        let entry = entries.get_mut(&id).ok_or(LibraryError::NoDownload(id))?;
        let state = entry.download.state;
        if state.is_final() && (state, wish) != (State::Failed, Wish::Run) {
            return Err(LibraryError::Ended { id, state: stored(state).as_str() });
        }
        self.refuse_removing(&entry.download.repo)?;
        if wish == Wish::Run && (state.is_final() || state == State::Paused) {
            (entry.download.state, entry.download.reason) = (State::Queued, None);
        }
        match &entry.wish {
            Some(task) => _ = task.send_replace(wish),
            None => {
                let (task, wishes) = watch::channel(wish);
                entry.wish = Some(task);
                tokio::spawn(Job::new(self.clone(), id, wishes).run());
            }
        }
        Ok(entry.download.clone())
    }

    /// Changes what is known of a download, and tells it; `None` where it was forgotten.
    pub(super) fn note(&self, id: i64, change: impl FnOnce(&mut Download)) -> Option<Download> {
        let mut entries = lock(&self.inner.downloads.entries);
        let download = &mut entries.get_mut(&id)?.download;
        change(download);
        download.updated = unix();
        self.tell(Event::Download(Box::new(download.clone())));
        Some(download.clone())
    }

    /// Lets a download's task end, unless there is a new wish.
    pub(super) fn ends(&self, id: i64, wishes: &watch::Receiver<Wish>) -> bool {
        let mut entries = lock(&self.inner.downloads.entries);
        // Closed: the entry is forgotten, and another may have its id by now.
        let Ok(changed) = wishes.has_changed() else { return true };
        let ends = !changed;
        if let (true, Some(entry)) = (ends, entries.get_mut(&id)) {
            entry.wish = None;
        }
        ends
    }

    /// Writes down how a download stands.
    pub(super) async fn write_down(&self, download: &Download) {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let row = hearth_store::Download {
            id: download.id,
            repo: download.repo.clone(),
            revision: download.revision.clone(),
            state: stored(download.state),
            bytes: signed(download.bytes),
            total: download.total.map(signed),
            error: download.reason.clone(),
            created: download.created,
            updated: download.updated,
        };
        match self.inner.store.update_download(&row).await {
            // It was forgotten meanwhile.
            Ok(()) | Err(hearth_store::Error::Gone(_)) => {}
            Err(error) => tracing::warn!(repo = download.repo, "how the download stands is not kept: {error}"),
        }
    }

    /// Forgets a download that is not under way.
    pub(super) async fn forget(&self, id: i64) -> Result<()> {
        {
            let mut entries = lock(&self.inner.downloads.entries);
            if let Some(Entry { download, .. }) = entries.get(&id).filter(|entry| entry.is_active()) {
                return Err(LibraryError::Downloading { repo: download.repo.clone(), id });
            }
            entries.remove(&id);
        }
        self.inner.store.forget_download(id).await?;
        self.tell(Event::Forgotten(id));
        Ok(())
    }
}

impl Entry {
    /// Whether it waits or is under way in this process.
    fn is_active(&self) -> bool {
        self.wish.is_some() && !self.download.state.is_final()
    }
}

/// The download of a repository that waits or is under way in this process.
fn active<'a>(entries: &'a BTreeMap<i64, Entry>, repo: &str) -> Option<&'a Download> {
    let mut active = entries.values().filter(|entry| entry.is_active()).map(|entry| &entry.download);
    active.find(|download| download.repo.eq_ignore_ascii_case(repo))
}

/// By what a model is reserved.
fn reserved(model: &Model) -> &str {
    model.repo.as_ref().unwrap_or(&model.source)
}

impl Download {
    /// Takes over what is known of its transfer.
    pub(super) fn take(&mut self, progress: Progress) {
        let Progress { state, reason, bytes, total, bytes_per_second, seconds_left, files } = progress;
        (self.state, self.reason, self.bytes, self.total) = (state, reason, bytes, Some(total));
        (self.bytes_per_second, self.seconds_left, self.files) = (bytes_per_second, seconds_left, files);
    }
}

impl From<hearth_store::Download> for Download {
    fn from(row: hearth_store::Download) -> Self {
        let count = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        Self {
            id: row.id,
            repo: row.repo,
            revision: row.revision,
            state: match row.state {
                DownloadState::Queued => State::Queued,
                DownloadState::Running => State::Running,
                DownloadState::Paused => State::Paused,
                DownloadState::Done => State::Done,
                DownloadState::Failed => State::Failed,
                DownloadState::Cancelled => State::Cancelled,
            },
            reason: row.error,
            bytes: count(row.bytes),
            total: row.total.map(count),
            bytes_per_second: 0,
            seconds_left: None,
            files: Vec::new(),
            created: row.created,
            updated: row.updated,
        }
    }
}

/// A state as it is remembered: steps of a running download are one.
pub(super) fn stored(state: State) -> DownloadState {
    match state {
        State::Queued => DownloadState::Queued,
        State::Checking | State::Running | State::Verifying => DownloadState::Running,
        State::Paused => DownloadState::Paused,
        State::Done => DownloadState::Done,
        State::Failed => DownloadState::Failed,
        State::Cancelled => DownloadState::Cancelled,
    }
}

fn unix() -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
