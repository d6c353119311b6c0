//! The part of a file that has come: written in order, hashed as it is written, so that its end is also its verification.
//!
//! All of this blocks and belongs on a thread for that.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::lock::BlobLock;
use super::progress::Meter;
use crate::cache::{RepoCache, remove_if_there};
use crate::error::HubError;
use crate::hash::Hasher;
use crate::manifest::ModelFile;

/// How much is read at once to be hashed; between two such pieces it can be stopped.
const PIECE: usize = 1 << 20;
/// Pieces between network, disk and hash: enough for all to work at once, little enough to lose at a kill.
pub(super) const IN_FLIGHT: usize = 4;

/// A file on its way. Whoever has it has its lock.
pub(crate) struct Part {
    file: File,
    path: PathBuf,
    blob: PathBuf,
    wanted: ModelFile,
    hasher: Hasher,
    len: u64,
    _lock: BlobLock,
}

/// How writing ended.
pub(crate) enum Written {
    All,
    /// More came than the file has.
    TooLong,
}

/// Set when nobody waits for the result any more.
pub(crate) type Stop = Arc<AtomicBool>;

/// Reads and hashes what there is; none when that is the whole file. A whole content that is not the wanted one is removed.
pub(crate) fn open(
    cache: &RepoCache,
    wanted: &ModelFile,
    lock: BlobLock,
    meter: &Meter,
    stop: &Stop,
) -> Result<Option<Part>, HubError> {
    let (blob, path) = (cache.blob(&wanted.digest), cache.partial(&wanted.digest));
    if is_whole(&blob, wanted, meter, stop)? {
        remove_if_there(&path).map_err(HubError::io(&path))?;
        return Ok(None);
    }
    remove_if_there(&blob).map_err(HubError::io(&blob))?;
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.map_err(HubError::io(&path))?;
    let hasher = Hasher::new(&wanted.digest, wanted.size);
    let mut part = Part { file, path, blob, wanted: wanted.clone(), hasher, len: 0, _lock: lock };
    part.read(meter, stop)?;
    Ok(Some(part))
}

fn is_whole(blob: &Path, wanted: &ModelFile, meter: &Meter, stop: &Stop) -> Result<bool, HubError> {
    let file = match File::open(blob) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(HubError::io(blob))?,
    };
    if file.metadata().map_err(HubError::io(blob))?.len() != wanted.size {
        return Ok(false);
    }
    let mut hasher = Hasher::new(&wanted.digest, wanted.size);
    hash(file.take(wanted.size), &mut hasher, meter, stop).map_err(HubError::io(blob))?;
    Ok(hasher.is(&wanted.digest))
}

/// Hashes what there is to read; says how much that is.
fn hash(mut file: impl Read, hasher: &mut Hasher, meter: &Meter, stop: &Stop) -> std::io::Result<u64> {
    let (mut piece, mut len) = (vec![0; PIECE], 0);
    loop {
        let read = match file.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        if stop.load(Ordering::Relaxed) {
            return Err(ErrorKind::TimedOut.into());
        }
        if read == 0 {
            return Ok(len);
        }
        hasher.update(&piece[..read]);
        len += read as u64;
        meter.set(len);
    }
}

impl Part {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.wanted.size
    }

    /// Reads what an earlier download left, so that it can grow on.
    fn read(&mut self, meter: &Meter, stop: &Stop) -> Result<(), HubError> {
        let there = self.file.metadata().map_err(HubError::io(&self.path))?.len();
        if there > self.wanted.size {
            return self.restart(meter);
        }
        let there = (&self.file).take(there);
        self.len = hash(there, &mut self.hasher, meter, stop).map_err(HubError::io(&self.path))?;
        meter.set(self.len);
        Ok(())
    }

    /// Forgets everything that has come.
    pub(crate) fn restart(&mut self, meter: &Meter) -> Result<(), HubError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(HubError::io(&self.path))?;
        self.hasher = Hasher::new(&self.wanted.digest, self.wanted.size);
        self.len = 0;
        meter.set(0);
        Ok(())
    }

    /// Appends what comes until no more does. It is hashed beside, on a thread of its own: either takes about as long.
    pub(crate) fn append_all(&mut self, mut pieces: mpsc::Receiver<Bytes>, meter: &Meter) -> Result<Written, HubError> {
        let Self { file, hasher, len, path, wanted, .. } = self;
        thread::scope(|scope| {
            let (sender, to_hash) = sync_channel::<Bytes>(IN_FLIGHT);
            scope.spawn(move || to_hash.into_iter().for_each(|piece| hasher.update(&piece)));
            while let Some(piece) = pieces.blocking_recv() {
                let more = piece.len() as u64;
                if *len + more > wanted.size {
                    return Ok(Written::TooLong);
                }
                file.write_all(&piece).map_err(HubError::io(&*path))?;
                *len += more;
                meter.add(more);
                // Its receiver takes all that comes.
                let _ = sender.send(piece);
            }
            Ok(Written::All)
        })
    }

    /// Verifies a full part and gives it its name; gives back an empty one when the content is wrong.
    pub(crate) fn finish(mut self, meter: &Meter) -> Result<Option<Self>, HubError> {
        if !self.hasher.is(&self.wanted.digest) {
            self.restart(meter)?;
            return Ok(Some(self));
        }
        self.file.sync_all().map_err(HubError::io(&self.path))?;
        fs::rename(&self.path, &self.blob).map_err(HubError::io(&self.blob))?;
        Ok(None)
    }
}
