//! Caches that were put aside, and how a sequence resumes from one.

use std::collections::HashMap;

use hearth_core::{
    Error, Result,
    runner::{Snapshot, SnapshotId},
};

use crate::cache::SequenceCache;

/// Snapshots by id.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    snapshots: HashMap<SnapshotId, SequenceCache>,
    last: SnapshotId,
}

impl Shelf {
    /// Puts a cache aside.
    pub(super) fn put(&mut self, cache: SequenceCache) -> Snapshot {
        self.last += 1;
        let snapshot =
            Snapshot { id: self.last, len: cache.offset() as usize, bytes: cache.bytes(), cuts: cache.cuts() };
        self.snapshots.insert(snapshot.id, cache);
        snapshot
    }

    /// A snapshot that stays.
    pub(super) fn get(&self, id: SnapshotId) -> Result<&SequenceCache> {
        self.snapshots.get(&id).ok_or_else(|| unknown(id))
    }

    /// A snapshot that leaves.
    pub(super) fn take(&mut self, id: SnapshotId) -> Result<SequenceCache> {
        self.snapshots.remove(&id).ok_or_else(|| unknown(id))
    }
}

fn unknown(id: SnapshotId) -> Error {
    Error::internal(format!("there is no snapshot {id}"))
}
