//! What the caches on disk take up.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{sync::Mutex, task::spawn_blocking};

use super::Admin;

/// The folder is looked through no more often than this.
const FRESH: Duration = Duration::from_secs(5);

/// Where caches are kept on disk.
#[derive(Debug, Clone)]
pub struct CacheFolder {
    /// The folder.
    pub dir: PathBuf,
    /// Bytes that all files in it may have.
    pub limit: u64,
    /// Bytes that all files in a folder have now.
    pub used: fn(&Path) -> u64,
}

/// The folder, and how full it is.
#[derive(Serialize)]
pub(super) struct Shown {
    dir: PathBuf,
    limit: u64,
    used: u64,
}

/// What the folder had when it was last looked through.
pub(super) type Seen = Mutex<Option<(Instant, u64)>>;

impl Admin {
    /// The caches on disk; none where nothing is kept there.
    pub(super) async fn cache(&self) -> Option<Shown> {
        let CacheFolder { dir, limit, used } = self.running().cache.clone()?;
        let mut seen = self.inner.cache_seen.lock().await;
        let fresh = seen.filter(|(when, _)| when.elapsed() < FRESH);
        let (_, used) = match fresh {
            Some(fresh) => fresh,
            None => {
                let dir = dir.clone();
                let bytes = spawn_blocking(move || used(&dir)).await.unwrap_or(0);
                *seen.insert((Instant::now(), bytes))
            }
        };
        Some(Shown { dir, limit, used })
    }
}
