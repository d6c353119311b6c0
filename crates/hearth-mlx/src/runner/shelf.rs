//! Caches that were put aside, how a sequence resumes from one, and which of them hold their first tokens together.

use std::collections::HashMap;

use hearth_core::{
    Error, Result,
    runner::{Piece, Snapshot, SnapshotId},
};

use crate::cache::SequenceCache;

/// Snapshots by id.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    snapshots: HashMap<SnapshotId, Kept>,
    /// The last id that was given out, of snapshots and pieces.
    last: u64,
}

/// A snapshot.
#[derive(Debug)]
struct Kept {
    cache: SequenceCache,
    /// The ids of its pieces, and the token with which each ends.
    pieces: Vec<(u64, usize)>,
}

impl Shelf {
    /// Puts a cache aside.
    pub(super) fn put(&mut self, cache: SequenceCache) -> Snapshot {
        let (id, kept) = (self.id(), Kept { cache, pieces: Vec::new() });
        let snapshot = kept.snapshot(id);
        self.snapshots.insert(id, kept);
        snapshot
    }

    /// A snapshot that stays.
    pub(super) fn get(&self, id: SnapshotId) -> Result<&SequenceCache> {
        self.kept(id).map(|kept| &kept.cache)
    }

    /// A snapshot that leaves.
    pub(super) fn take(&mut self, id: SnapshotId) -> Result<SequenceCache> {
        self.snapshots.remove(&id).map(|kept| kept.cache).ok_or_else(|| unknown(id))
    }

    /// Lets `to`, which shares nothing yet, have its first tokens from another snapshot. All that this has changed; after an
    /// error these are gone.
    pub(super) fn share(&mut self, from: SnapshotId, to: SnapshotId, tokens: usize) -> Result<Vec<Snapshot>> {
        let mut kept = self.snapshots.remove(&to).ok_or_else(|| unknown(to))?;
        let len = self.kept(from)?.len().min(kept.len());
        if !kept.pieces.is_empty() || !(1..=len).contains(&tokens) {
            return Err(Error::internal(format!("snapshots {from} and {to} cannot share {tokens} tokens")));
        }
        let mut changed = self.split(from, tokens)?;
        let from = self.kept(from)?;
        kept.pieces = from.ended_by(tokens).to_vec();
        kept.cache.share(&from.cache, kept.pieces.len())?;
        changed.push(kept.snapshot(to));
        self.snapshots.insert(to, kept);
        Ok(changed)
    }

    /// Makes a piece end at `tokens`, for all that share it. All that this has changed, and the snapshot itself.
    fn split(&mut self, id: SnapshotId, tokens: usize) -> Result<Vec<Snapshot>> {
        let kept = self.kept(id)?;
        let place = kept.ended_by(tokens).len();
        let start = place.checked_sub(1).map_or(0, |last| kept.pieces[last].1);
        if start == tokens {
            return Ok(vec![kept.snapshot(id)]);
        }
        let piece = kept.pieces.get(place).copied();
        let holds = |kept: &Kept| piece.is_some() && kept.pieces.get(place).copied() == piece;
        let mut holders: Vec<_> = self.snapshots.extract_if(|other, kept| *other == id || holds(kept)).collect();
        let mut caches: Vec<_> = holders.iter_mut().map(|(_, kept)| &mut kept.cache).collect();
        SequenceCache::split(&mut caches, place, (tokens - start) as i32)?;
        let (first, rest) = ((self.id(), tokens), piece.map(|(_, end)| (self.id(), end)));
        for (_, kept) in &mut holders {
            kept.pieces.splice(place..place + usize::from(piece.is_some()), [first].into_iter().chain(rest));
        }
        let changed = holders.iter().map(|(id, kept)| kept.snapshot(*id)).collect();
        self.snapshots.extend(holders);
        Ok(changed)
    }

    fn kept(&self, id: SnapshotId) -> Result<&Kept> {
        self.snapshots.get(&id).ok_or_else(|| unknown(id))
    }

    fn id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl Kept {
    fn snapshot(&self, id: SnapshotId) -> Snapshot {
        let piece = |(place, &(id, _)): (usize, &(u64, usize))| Piece { id, bytes: self.cache.piece_bytes(place) };
        Snapshot {
            id,
            len: self.len(),
            bytes: self.cache.bytes(),
            shared: self.pieces.iter().enumerate().map(piece).collect(),
            cuts: self.cache.cuts(),
        }
    }

    fn len(&self) -> usize {
        self.cache.offset() as usize
    }

    /// The pieces that end with this token or before it.
    fn ended_by(&self, tokens: usize) -> &[(u64, usize)] {
        &self.pieces[..self.pieces.partition_point(|&(_, end)| end <= tokens)]
    }
}

fn unknown(id: SnapshotId) -> Error {
    Error::internal(format!("there is no snapshot {id}"))
}
