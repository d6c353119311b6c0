//! Caches in files: what memory has no room for, and what outlives the worker.
//!
//! The device thread hands bytes to a writer thread and asks a reader thread for them; it never waits for a disk. Nothing
//! that comes from a file is trusted: see [`file`]. All files under the folder count towards one cap: see [`folder`].
//! Invariant: the bytes that wait to be written are bounded, whatever the disk does.

mod file;
mod folder;
mod queue;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Instant, SystemTime};

use hearth_core::runner::{Cuts, Tensor};
use hearth_core::task::SessionKey;

use file::Fault;
use folder::{Folder, Written};
use queue::{Job, Queue};

use crate::worker::protocol::DiskOptions;

/// A file's name: a hash of the model's fingerprint and the tokens whose cache it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileName([u8; 32]);

const EXTENSION: &str = "safetensors";

impl FileName {
    pub(crate) fn of(fingerprint: &str, tokens: &[u32]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(fingerprint.len() as u64).to_le_bytes());
        hasher.update(fingerprint.as_bytes());
        hasher.update(&file::token_bytes(tokens));
        Self(hasher.finalize().into())
    }

    /// The name of a file that could be one of ours.
    fn parse(path: &Path) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix(EXTENSION)?.strip_suffix('.')?;
        Some(Self(*blake3::Hash::from_hex(stem).ok()?.as_bytes())).filter(|name| path.ends_with(name.to_string()))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{EXTENSION}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    /// The tokens whose cache it holds.
    pub(crate) tokens: Vec<u32>,
    pub(crate) cuts: Cuts,
    pub(crate) session: Option<SessionKey>,
}

/// A cache as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) label: Label,
    pub(crate) tensors: Vec<Tensor>,
}

impl Content {
    /// Bytes of its tokens and tensors.
    pub(crate) fn bytes(&self) -> u64 {
        let tensors: usize = self.tensors.iter().map(|tensor| tensor.data.len()).sum();
        (tensors + self.label.tokens.len() * size_of::<u32>()) as u64
    }
}

/// A file that was found when the worker started.
#[derive(Debug)]
pub(crate) struct Indexed {
    pub(crate) name: FileName,
    pub(crate) label: Label,
    pub(crate) used: SystemTime,
}

/// What happened off the device thread.
#[derive(Debug)]
pub(crate) enum Event {
    /// The folder was read: the files of this model. Sent once, by the reader before any other; the writer may have told
    /// of others before.
    Indexed(Vec<Indexed>),
    Written(FileName),
    /// The file is not there, or no longer.
    Gone(FileName),
    /// What was asked for; an unusable file is [`Event::Gone`] instead.
    Read(FileName, Box<Content>),
}

/// Tells the device thread.
pub(crate) type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// The device thread's side. Dropping it drops what is not written yet.
pub(crate) struct DiskTier {
    fingerprint: String,
    queue: Arc<Queue>,
    reads: Sender<FileName>,
}

impl DiskTier {
    /// Starts its threads. At most `pending` bytes wait to be written, or one cache; `model` is a name for people.
    pub(crate) fn start(
        options: &DiskOptions,
        fingerprint: &str,
        model: &str,
        pending: u64,
        tell: Tell,
    ) -> std::io::Result<Self> {
        Self::with(Folder::new(options, model), fingerprint, pending, tell)
    }

    fn with(folder: Folder, fingerprint: &str, pending: u64, tell: Tell) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(pending));
        let (reads, requests) = channel();
        let writer = Writer {
            folder: folder.clone(),
            fingerprint: fingerprint.into(),
            queue: queue.clone(),
            tell: tell.clone(),
        };
        let reader = Reader { folder, fingerprint: fingerprint.into(), queue: queue.clone(), tell };
        spawn("hearth-cache-reader", move || reader.run(&requests))?;
        spawn("hearth-cache-writer", move || writer.run())?;
        Ok(Self { fingerprint: fingerprint.into(), queue, reads })
    }

    /// The name under which the cache of `tokens` is kept.
    pub(crate) fn name(&self, tokens: &[u32]) -> FileName {
        FileName::of(&self.fingerprint, tokens)
    }

    /// Whether a cache of `bytes` would be taken now: not while the disk fails, or too much waits for it already.
    pub(crate) fn takes(&self, bytes: u64) -> bool {
        self.queue.takes(bytes)
    }

    /// Waits until a cache of `bytes` would be taken; false where that has not come by `deadline`.
    pub(crate) fn wait_for(&self, bytes: u64, deadline: Instant) -> bool {
        self.queue.wait_for(bytes, deadline)
    }

    /// Writes a cache that was last used at `used`. To make room for it, caches that wait longer are dropped.
    pub(crate) fn write(&self, name: FileName, content: Content, used: SystemTime) {
        self.queue.push(name, content, used);
    }

    /// Removes a file, or what waits to become it.
    pub(crate) fn remove(&self, name: FileName) {
        self.queue.remove(name);
    }

    /// Says that a file was of use, at `used`.
    pub(crate) fn refresh(&self, name: FileName, used: SystemTime) {
        self.queue.refresh(name, used);
    }

    /// Asks for a file's content; false if nobody is there to read it.
    pub(crate) fn read(&self, name: FileName) -> bool {
        self.reads.send(name).is_ok()
    }

    /// Waits until all is written, but not beyond `deadline`; whether it is.
    pub(crate) fn drained(&self, deadline: Instant) -> bool {
        self.queue.drained(deadline)
    }
}

impl Drop for DiskTier {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

struct Writer {
    folder: Folder,
    fingerprint: String,
    queue: Arc<Queue>,
    tell: Tell,
}

impl Writer {
    fn run(&self) {
        while let Some(job) = self.queue.next() {
            match &job {
                Job::Write { name, content, used } => self.write(*name, content, *used),
                Job::Remove(name) => self.folder.remove(*name),
                Job::Refresh(name, used) => self.folder.refresh(*name, *used),
                Job::Dropped(name) => (self.tell)(Event::Gone(*name)),
            }
            self.queue.done();
        }
    }

    fn write(&self, name: FileName, content: &Content, used: SystemTime) {
        let mut removed = Vec::new();
        let written = self.folder.write(name, &self.fingerprint, content, used, &mut removed);
        removed.into_iter().for_each(|name| (self.tell)(Event::Gone(name)));
        match written {
            Ok(Written::Yes) => return (self.tell)(Event::Written(name)),
            Ok(Written::NoRoom(why)) => self.queue.say_once(&why),
            Err(error) => self.queue.switch_off(&format!("{}: {error}", self.folder.path().display())),
        }
        (self.tell)(Event::Gone(name));
    }
}

struct Reader {
    folder: Folder,
    fingerprint: String,
    queue: Arc<Queue>,
    tell: Tell,
}

impl Reader {
    fn run(&self, requests: &Receiver<FileName>) {
        (self.tell)(Event::Indexed(self.folder.index(&self.fingerprint)));
        while let Ok(name) = requests.recv() {
            (self.tell)(match self.read(name) {
                Some(content) => Event::Read(name, Box::new(content)),
                None => Event::Gone(name),
            });
        }
    }

    fn read(&self, name: FileName) -> Option<Content> {
        if let Some(content) = self.queue.pending(name) {
            return Some(Arc::unwrap_or_clone(content));
        }
        match self.folder.read(name, &self.fingerprint) {
            Ok(content) => Some(content),
            Err(Fault::Missing) => None,
            Err(Fault::Unreadable(error)) => {
                tracing::warn!("The cache file {name} cannot be read: {error}.");
                None
            }
            Err(Fault::Foreign) => self.delete(name, "is another model's"),
            Err(Fault::Damaged(why)) => self.delete(name, &why),
        }
    }

    fn delete(&self, name: FileName, why: &str) -> Option<Content> {
        tracing::warn!("The cache file {name} {why}, so it is deleted.");
        self.folder.remove(name);
        None
    }
}

#[cfg(test)]
mod tests;
