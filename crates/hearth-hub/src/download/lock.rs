//! The lock on one blob: `flock` on the file that huggingface_hub's own lock is on; and the lock on all of a repository, which
//! downloads share, so that nobody removes what they have and no snapshot names yet. Both go when their process does.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::error::HubError;

const ASK_EVERY: Duration = Duration::from_millis(250);

/// Held until it is dropped.
pub(crate) struct BlobLock {
    _file: File,
}

/// Waits for the lock; `waiting` is called whenever somebody else still holds it.
pub(crate) async fn acquire(path: &Path, mut waiting: impl FnMut()) -> Result<BlobLock, HubError> {
    loop {
        if let Some(lock) = try_acquire(path).map_err(HubError::io(path))? {
            return Ok(lock);
        }
        waiting();
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// The lock, unless somebody else holds it.
pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<BlobLock>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) if !is_at(&file, path) => Ok(None),
        Ok(()) => Ok(Some(BlobLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        // A file system without locks: whoever shares a cache there has to take turns.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(Some(BlobLock { _file: file }))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Held until it is dropped.
pub(crate) struct RepoLock {
    _file: File,
}

impl RepoLock {
    /// For a download, beside others. Waits for those who remove something.
    pub(crate) fn shared(path: &Path) -> io::Result<Self> {
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            match file.lock_shared() {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
                Ok(()) if !is_at(&file, path) => {} // Its remover has just let go of it.
                _ => return Ok(Self { _file: file }),
            }
        }
    }

    /// For who removes something, unless a download is at it.
    pub(crate) fn alone(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => Err(error),
            Ok(()) if !is_at(&file, path) => Ok(None),
            _ => Ok(Some(Self { _file: file })),
        }
    }
}

/// Whether the path still leads to this file: others may remove a lock file when they let go of it.
fn is_at(file: &File, path: &Path) -> bool {
    let same = || Some(file.metadata().ok()?.ino() == path.metadata().ok()?.ino());
    same() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let mut first = try_acquire(&path).unwrap();
        assert!(first.is_some() && try_acquire(&path).unwrap().is_none());
        let mut asked = 0;
        let second = acquire(&path, || {
            asked += 1;
            if asked == 3 {
                first = None;
            }
        });
        second.await.unwrap();
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_lock_on_a_removed_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let first = try_acquire(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(try_acquire(&path).unwrap().is_some());
        drop(first);
    }
}
