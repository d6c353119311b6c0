//! How much room a disk has.

use std::path::Path;

/// Bytes that this user may still write to the disk on which `dir` is, or will be. None where the system does not tell.
pub(crate) fn free(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_has_its_parents_room() {
        let parent = tempfile::tempdir().unwrap();
        let there = free(parent.path()).unwrap();
        let free = free(&parent.path().join("not/yet")).unwrap();
        assert!(there > 0 && free > 0);
        // Others write to the disk meanwhile.
        assert!(there.abs_diff(free) < there / 2, "{there} {free}");
    }
}
