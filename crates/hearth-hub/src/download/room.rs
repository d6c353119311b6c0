//! Whether a download fits on the disk, asked before it begins.

use std::fs;
use std::path::Path;

use crate::cache::RepoCache;
use crate::error::HubError;
use crate::manifest::Manifest;

/// # Errors
/// When less is free than what is still to come and the reserve.
pub(crate) fn check(cache: &RepoCache, manifest: &Manifest, reserve: u64) -> Result<(), HubError> {
    let rest = rest(cache, manifest);
    let dir = cache.dir();
    let free = free(dir).map_err(HubError::io(dir))?;
    if rest > 0 && free < rest.saturating_add(reserve) {
        return Err(HubError::NoRoom { dir: dir.to_path_buf(), free, rest, reserve });
    }
    Ok(())
}

/// Bytes that are not on the disk yet.
fn rest(cache: &RepoCache, manifest: &Manifest) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let there = |digest| size(&cache.blob(digest)).max(size(&cache.partial(digest)));
    manifest.files.iter().map(|file| file.size.saturating_sub(there(&file.digest))).sum()
}

/// Bytes that an ordinary user may still write to the disk on which the folder `dir` is.
///
/// # Errors
/// When there is no such folder.
pub fn free(dir: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
