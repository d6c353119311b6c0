//! One attempt at a download from beginning to end: room, files, then the snapshot; and what is left of one that is cancelled.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::RwLock;

use super::lock::{self, RepoLock};
use super::part::Stop;
use super::progress::Meters;
use super::{DownloadOptions, room};
use crate::cache::{RepoCache, linked_blobs, remove_if_there};
use crate::error::HubError;
use crate::manifest::Manifest;
use crate::registry::Hub;

pub(super) struct Job {
    pub(super) hub: Hub,
    pub(super) manifest: Arc<Manifest>,
    pub(super) cache: RepoCache,
    pub(super) meters: Arc<Meters>,
    pub(super) stop: Stop,
    options: DownloadOptions,
    /// Shared by all that run on threads of their own; who can take it alone knows that they have ended.
    busy: Arc<RwLock<()>>,
}

/// Tells the threads that nobody waits for them any more.
struct StopAtEnd(Stop);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Job {
    pub(super) fn new(hub: Hub, manifest: Manifest, options: DownloadOptions) -> Self {
        let cache = RepoCache::new(hub.cache_dir(), &manifest.repo);
        let meters = Arc::new(Meters::new(&manifest));
        Self { hub, manifest: Arc::new(manifest), cache, meters, stop: Stop::default(), options, busy: Arc::default() }
    }

    /// Downloads what is missing. With the lock, the snapshot can then be linked.
    pub(super) async fn fetch_all(&self) -> Result<RepoLock, HubError> {
        self.hub.check_online()?;
        self.stop.store(false, Ordering::Relaxed);
        let _stop = StopAtEnd(self.stop.clone());
        self.meters.reset();
        let (cache, manifest, reserve) = (self.cache.clone(), self.manifest.clone(), self.options.reserve);
        let prepare = move || {
            cache.create()?;
            room::check(&cache, &manifest, reserve)?;
            RepoLock::shared(&cache.whole_lock()).map_err(HubError::io(cache.whole_lock()))
        };
        let shared = self.blocking(prepare).await?;
        let files = stream::iter(0..self.manifest.files.len()).map(|at| self.fetch(at));
        files.buffer_unordered(self.options.parallel.max(1)).try_collect::<()>().await?;
        Ok(shared)
    }

    /// Links the snapshot, of which every file is there.
    pub(super) async fn publish(&self, shared: RepoLock) -> Result<(), HubError> {
        let (cache, manifest) = (self.cache.clone(), self.manifest.clone());
        let publish = move || {
            let _shared = shared;
            publish(&cache, &manifest)
        };
        self.blocking(publish).await
    }

    /// Runs what blocks on a thread for that.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HubError> + Send + 'static,
    ) -> Result<T, HubError> {
        let busy = self.busy.clone().read_owned().await;
        let work = move || {
            let _busy = busy;
            work()
        };
        let panicked = |error: tokio::task::JoinError| HubError::io(self.cache.dir())(error.into());
        tokio::task::spawn_blocking(work).await.map_err(panicked)?
    }

    /// Waits for the threads of an attempt that was given up.
    pub(super) async fn settled(&self) {
        drop(self.busy.write().await);
    }

    /// Removes what has come, unless another download is at it or a snapshot uses it.
    pub(super) async fn discard(&self) {
        let (cache, manifest) = (self.cache.clone(), self.manifest.clone());
        let discard = move || discard(&cache, &manifest).map_err(HubError::io(cache.dir()));
        if let Err(error) = self.blocking(discard).await {
            tracing::warn!(repo = %self.manifest.repo, "what had come could not be removed: {error}");
        }
        self.meters.files.iter().for_each(|meter| meter.set(0));
    }
}

/// Gives all files their names, and then the snapshot its own. Who looks for a model looks for `config.json`: it is last.
fn publish(cache: &RepoCache, manifest: &Manifest) -> Result<(), HubError> {
    for file in &manifest.files {
        let blob = cache.blob(&file.digest);
        if fs::metadata(&blob).map_err(HubError::io(&blob))?.len() != file.size {
            return Err(HubError::io(&blob)(io::ErrorKind::InvalidData.into()));
        }
    }
    let (configs, others): (Vec<_>, Vec<_>) =
        manifest.files.iter().partition(|file| file.name.as_str() == "config.json");
    for file in others.into_iter().chain(configs) {
        cache.link(&manifest.commit, &file.name, &file.digest)?;
    }
    cache.refer(&manifest.revision, &manifest.commit)
}

/// Where another download of the repository runs, that one goes on with what there is.
fn discard(cache: &RepoCache, manifest: &Manifest) -> io::Result<()> {
    fs::create_dir_all(cache.whole_lock().parent().unwrap_or(cache.dir()))?;
    let Some(_alone) = RepoLock::alone(&cache.whole_lock())? else { return Ok(()) };
    let linked = linked_blobs(cache)?;
    for file in &manifest.files {
        let digest = &file.digest;
        let Ok(Some(_lock)) = lock::try_acquire(&cache.lock(digest)) else { continue };
        let blob = Some(cache.blob(digest)).filter(|blob| !blob.file_name().is_some_and(|name| linked.contains(name)));
        for path in blob.into_iter().chain([cache.partial(digest), cache.lock(digest)]) {
            if let Err(error) = remove_if_there(&path) {
                tracing::warn!("{} could not be removed: {error}", path.display());
            }
        }
    }
    // Folders go only where nothing else is in them.
    for dir in ["blobs", "snapshots", "refs", ""] {
        let _ = fs::remove_dir(cache.dir().join(dir));
    }
    remove_if_there(&cache.whole_lock())
}
