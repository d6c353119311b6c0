//! The folder of the cache files, shared by all models and workers.
//!
//! Invariants:
//! - All files under it together, whosever they are, take at most as many bytes as the cap says. So that two workers do not
//!   both take the last of them, whoever writes holds the lock on the file `lock`.
//! - A file is there whole or not at all: it is written under a temporary name and then renamed. Whoever finds a temporary
//!   file while holding the lock has found a dead worker's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use super::file::{self, Fault};
use super::{Content, EXTENSION, FileName, Indexed};
use crate::worker::protocol::DiskOptions;

/// Bytes that are left free on the disk, or a hundredth of it where that is more.
const LEAVE_FREE: u64 = 256 << 20;
const TEMPORARY: &str = ".tmp";
const LOCK: &str = "lock";

/// Whether a file was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    Yes,
    /// The reason, a sentence.
    NoRoom(String),
}

/// The disk's bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space {
    pub(super) free: u64,
    pub(super) all: u64,
}

impl Space {
    fn left_to_others(self) -> u64 {
        LEAVE_FREE.max(self.all / 100)
    }
}

type OnPath<T> = Arc<dyn Fn(&Path) -> io::Result<T> + Send + Sync>;

/// What the folder asks of the system; tests put failing ones in.
#[derive(Clone)]
pub(super) struct System {
    /// Makes a new file that only its owner may read.
    pub(super) create: OnPath<File>,
    pub(super) space: OnPath<Space>,
}

impl Default for System {
    fn default() -> Self {
        Self { create: Arc::new(create), space: Arc::new(space) }
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct Folder {
    path: PathBuf,
    /// Bytes that all files may take.
    cap: u64,
    /// The model's name for people, which its files say.
    model: String,
    system: System,
}

/// A file under the folder.
struct Present {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Folder {
    pub(super) fn new(options: &DiskOptions, model: &str) -> Self {
        Self { path: options.dir.clone(), cap: options.bytes, model: model.to_owned(), system: System::default() }
    }

    #[cfg(test)]
    pub(super) fn on(mut self, system: System) -> Self {
        self.system = system;
        self
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files of the model with this fingerprint. Removes what dead workers have left, and files that are none.
    pub(super) fn index(&self, fingerprint: &str) -> Vec<Indexed> {
        // Where another worker is writing, its next write tidies up.
        let lock = self.lock().ok().filter(|lock| lock.try_lock().is_ok());
        let mut files = self.files();
        files.retain(|file| lock.is_none() || !remove_if_temporary(file));
        drop(lock);
        let ours = files.iter().filter_map(|file| Some((FileName::parse(&file.path)?, file)));
        ours.filter_map(|(name, file)| self.index_file(name, file.used, fingerprint)).collect()
    }

    fn index_file(&self, name: FileName, used: SystemTime, fingerprint: &str) -> Option<Indexed> {
        let opened = File::open(self.path.join(name.to_string())).map_err(Fault::from);
        let why = match opened.and_then(|file| file::open(file, fingerprint)) {
            Ok(file) if file.name() != name => "holds another cache than its name says".into(),
            Ok(file) => return Some(Indexed { name, label: file.label, used }),
            Err(Fault::Damaged(why)) => why,
            Err(_) => return None,
        };
        tracing::warn!("The cache file {name} {why}, so it is deleted.");
        self.remove(name);
        None
    }

    /// Reads a file and checks every byte; it counts as used now.
    pub(super) fn read(&self, name: FileName, fingerprint: &str) -> Result<Content, Fault> {
        let file = file::open(File::open(self.path.join(name.to_string()))?, fingerprint)?;
        if file.name() != name {
            return Err(Fault::Damaged("holds another cache than its name says".into()));
        }
        let content = file.content()?;
        self.refresh(name, SystemTime::now());
        Ok(content)
    }

    /// Writes a file that was last used at `used`. Files that were not used for longer go for it, `removed` says which.
    pub(super) fn write(
        &self,
        name: FileName,
        fingerprint: &str,
        content: &Content,
        used: SystemTime,
        removed: &mut Vec<FileName>,
    ) -> io::Result<Written> {
        let path = self.path.join(name.to_string());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let lock = self.lock()?;
        lock.lock()?;
        if path.exists() {
            self.refresh(name, used);
            return Ok(Written::Yes);
        }
        let beginning = file::beginning(fingerprint, &self.model, content)?;
        let bytes = beginning.len() as u64 + content.tensors.iter().map(|tensor| tensor.data.len() as u64).sum::<u64>();
        if let Some(why) = self.make_room(bytes, used, removed)? {
            return Ok(Written::NoRoom(why));
        }
        let temporary = self.temporary(name);
        let written = self.write_as(&temporary, &path, &beginning, content, used);
        if written.is_err() {
            // Where it cannot be removed, the next start does it.
            let _ = fs::remove_file(&temporary);
        }
        written.map(|()| Written::Yes)
    }

    fn write_as(
        &self,
        temporary: &Path,
        path: &Path,
        beginning: &[u8],
        content: &Content,
        used: SystemTime,
    ) -> io::Result<()> {
        let mut file = (self.system.create)(temporary)?;
        file::write(&mut file, beginning, content)?;
        file.set_modified(used)?;
        fs::rename(temporary, path)?;
        File::open(&self.path)?.sync_all()
    }

    /// The file whose lock belongs to whoever writes.
    fn lock(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path.join(LOCK))
    }

    /// Deletes a file; where that fails it counts on, and the next attempt may succeed.
    pub(super) fn remove(&self, name: FileName) {
        let removed = fs::remove_file(self.path.join(name.to_string()));
        if let Err(error) =
            removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            tracing::warn!("The cache file {name} cannot be deleted: {error}.");
        }
    }

    /// The file was of use at `used`.
    pub(super) fn refresh(&self, name: FileName, used: SystemTime) {
        // A file that cannot be changed goes sooner: a pity, no more.
        let _ = File::open(self.path.join(name.to_string())).and_then(|file| file.set_modified(used));
    }

    /// Removes the files that were not used for longest until `bytes` more fit; why they cannot, otherwise.
    fn make_room(&self, bytes: u64, used: SystemTime, removed: &mut Vec<FileName>) -> io::Result<Option<String>> {
        let mut files = self.files();
        files.retain(|file| !remove_if_temporary(file));
        let taken: u64 = files.iter().map(|file| file.bytes).sum();
        let space = (self.system.space)(&self.path)?;
        let over = (taken + bytes).saturating_sub(self.cap);
        let short = (bytes + space.left_to_others()).saturating_sub(space.free);
        let mut older: Vec<_> =
            files.iter().filter(|file| file.used < used && FileName::parse(&file.path).is_some()).collect();
        older.sort_by_key(|file| file.used);
        let needed = over.max(short);
        if older.iter().map(|file| file.bytes).sum::<u64>() < needed {
            return Ok(Some(self.no_room(bytes, over, space)));
        }
        let mut gained = 0;
        for file in older {
            if gained >= needed {
                break;
            }
            fs::remove_file(&file.path)?;
            gained += file.bytes;
            removed.extend(FileName::parse(&file.path));
        }
        Ok(None)
    }

    fn no_room(&self, bytes: u64, over: u64, space: Space) -> String {
        let folder = self.path.display();
        if over > 0 {
            return format!(
                "A cache of {bytes} bytes is not written to {folder}: its files may take {} bytes.",
                self.cap
            );
        }
        format!(
            "A cache of {bytes} bytes is not written to {folder}: the disk has only {} bytes left, where {} are to stay \
             free for others.",
            space.free,
            space.left_to_others()
        )
    }

    /// All files under the folder.
    fn files(&self) -> Vec<Present> {
        let mut found = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            // What cannot be read, or has just gone, cannot be counted.
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push(Present { path: entry.path(), bytes: metadata.len(), used });
                }
            }
        }
        found
    }

    fn temporary(&self, name: FileName) -> PathBuf {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        self.path.join(format!("{name}.{}-{number}{TEMPORARY}", std::process::id()))
    }
}

/// Whether the file was on its way to become one of ours, and is gone.
fn remove_if_temporary(file: &Present) -> bool {
    let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let ours = name.ends_with(TEMPORARY) && name.contains(&format!(".{EXTENSION}."));
    ours && fs::remove_file(&file.path).is_ok()
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn space(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Space { free: found.f_bavail * found.f_frsize, all: found.f_blocks * found.f_frsize })
}
