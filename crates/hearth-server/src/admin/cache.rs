//! What the caches on disk take up.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Admin;

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

impl Admin {
    /// The caches on disk; none where nothing is kept there.
    pub(super) async fn cache(&self) -> Option<Shown> {
        let CacheFolder { dir, limit, used } = self.running().cache.clone()?;
        let folder = dir.clone();
        let used = self.inner.cache_seen.get(move || used(&folder)).await.unwrap_or(0);
        Some(Shown { dir, limit, used })
    }
}
