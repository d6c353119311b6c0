//! Removing a model: first what would go and how many bytes that frees, then the deed. Only what lies below a known root
//! goes; of the Hugging Face cache only what no other revision of the repository uses.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::cache::WHOLE_LOCK;
use crate::download::lock::{BlobLock, try_acquire};
use crate::scan::{Installed, Root, hub_cache, walk};

/// Why a model is not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It is not below any root.
    #[error("{} is in none of the folders that Hearth looks through, so it is left alone; delete it by hand", .0.display())]
    Elsewhere(PathBuf),
    /// It is a root: a person named this very folder.
    #[error("{} is a folder that was added in the settings: take it out there, and delete it by hand", .0.display())]
    IsRoot(PathBuf),
    /// There is something else in its folder, another model perhaps.
    #[error("{} also holds {}, which is no part of a model, so it is left alone; delete it by hand", .0.display(), .1.display())]
    HoldsMore(PathBuf, PathBuf),
    /// Somebody downloads its repository.
    #[error("{} is being downloaded: wait for that, or cancel it", .0.display())]
    Busy(PathBuf),
    /// The system refuses.
    #[error("cannot remove {}: {source}", .path.display())]
    Io {
        /// What cannot be removed.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What goes with a model.
#[derive(Debug)]
pub struct Removal {
    /// Bytes that are free afterwards. What has another link elsewhere frees none.
    pub bytes: u64,
    /// References to the folder's commit, which go first.
    refs: Vec<PathBuf>,
    folder: PathBuf,
    /// Files that the folder's links led to.
    blobs: Vec<PathBuf>,
    /// A folder to go if nothing else is in it.
    owner: Option<PathBuf>,
    /// Where huggingface_hub has a lock for each file that it downloads.
    locks: PathBuf,
    /// What Hearth's own downloads of the repository hold.
    whole_lock: Option<PathBuf>,
}

/// Finds out what removing `model` means, and whether nobody downloads it just now; nothing is changed.
pub fn plan(model: &Installed, roots: &[Root]) -> Result<Removal, RemoveError> {
    let dir = model.dir.canonicalize().map_err(failed(&model.dir))?;
    let roots: Vec<PathBuf> = roots.iter().filter_map(|root| root.path.canonicalize().ok()).collect();
    if roots.contains(&dir) {
        return Err(RemoveError::IsRoot(dir));
    }
    let below = roots.iter().filter(|root| dir.starts_with(root)).max_by_key(|root| root.as_os_str().len());
    let Some(root) = below else {
        return Err(RemoveError::Elsewhere(dir));
    };
    let is_repo = |folder: &Path| folder != root && folder.starts_with(root) && hub_cache::repo(folder).is_some();
    let holds = |folder: &Path| dir == folder || dir.parent() == Some(&folder.join("snapshots"));
    let repo = dir.ancestors().take(3).find(|folder| is_repo(folder) && holds(folder));
    let removal = match repo {
        Some(repo) => in_hub_cache(&dir, repo),
        None => in_folder(dir, root),
    }?;
    removal.hold()?;
    Ok(removal)
}

impl Removal {
    /// Removes it, and answers how many bytes that frees. After a failure, or the process's end, what is left can be
    /// found and removed once more.
    pub fn carry_out(self) -> Result<u64, RemoveError> {
        // What has come of a download and belongs to no snapshot yet would go too.
        let _alone = self.hold()?;
        for file in &self.refs {
            gone(fs::remove_file(file)).map_err(failed(file))?;
        }
        gone(fs::remove_dir_all(&self.folder)).map_err(failed(&self.folder))?;
        for file in &self.blobs {
            gone(fs::remove_file(file)).map_err(failed(file))?;
        }
        if let Some(owner) = self.owner {
            // It holds other models as a rule, and then stays.
            fs::remove_dir(owner).ok();
        }
        Ok(self.bytes)
    }

    /// The locks of all who download what is to go. huggingface_hub takes one for each file, and leaves its file behind.
    fn hold(&self) -> Result<Vec<BlobLock>, RemoveError> {
        let mut locks: BTreeSet<PathBuf> = files(&self.locks)?.into_iter().collect();
        locks.retain(|file| has_end(file, &["lock"]));
        locks.extend(self.whole_lock.clone());
        let hold = |path: &PathBuf| match try_acquire(path) {
            // Nothing has ever been downloaded to there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(failed(path)(error))),
            Ok(lock) => Some(lock.ok_or_else(|| RemoveError::Busy(self.folder.clone()))),
        };
        locks.iter().filter_map(hold).collect()
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> RemoveError {
    let path = path.to_owned();
    move |source| RemoveError::Io { path: path.clone(), source }
}

/// What is gone already counts as removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// All files below `dir`. What cannot be listed whole is not removed: something there may be in use.
fn files(dir: &Path) -> Result<Vec<PathBuf>, RemoveError> {
    let mut files = Vec::new();
    gone(walk::collect(dir, &mut files)).map_err(failed(dir))?;
    Ok(files)
}

fn in_folder(dir: PathBuf, root: &Path) -> Result<Removal, RemoveError> {
    let files = files(&dir)?;
    let weights =
        |folder: &Path| files.iter().any(|file| file.parent() == Some(folder) && has_end(file, &["safetensors"]));
    let configs = files.iter().filter(|file| file.ends_with("config.json"));
    let another = configs.filter_map(|config| config.parent()).find(|folder| *folder != dir && weights(folder));
    let foreign = || files.iter().find(|file| !file.is_symlink() && !is_part(file.strip_prefix(&dir).unwrap_or(file)));
    if let Some(more) = another.or_else(|| foreign().map(PathBuf::as_path)) {
        return Err(RemoveError::HoldsMore(dir.clone(), more.to_owned()));
    }
    let owner = dir.parent().filter(|owner| *owner != root).map(Path::to_owned);
    let (bytes, locks) = (freed(&files), dir.join(NOTES));
    Ok(Removal { bytes, refs: Vec::new(), folder: dir, blobs: Vec::new(), owner, locks, whole_lock: None })
}

/// Ends of the names of a model's files, and beginnings of those without.
const ENDS: [&str; 7] = ["safetensors", "json", "jinja", "txt", "md", "model", "tiktoken"];
const BEGINNINGS: [&str; 5] = ["LICENSE", "NOTICE", "README", ".gitattributes", ".DS_Store"];
/// What huggingface_hub notes of its downloads, with their locks.
const NOTES: &str = ".cache";

/// Whether a file, by its place in a model's folder, may be one of a model's.
fn is_part(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.starts_with(NOTES) || has_end(file, &ENDS) || BEGINNINGS.iter().any(|known| name.starts_with(known))
}

fn has_end(file: &Path, ends: &[&str]) -> bool {
    file.extension().is_some_and(|end| ends.iter().any(|known| end == *known))
}

fn in_hub_cache(dir: &Path, repo: &Path) -> Result<Removal, RemoveError> {
    let locks = repo.with_file_name(".locks").join(repo.file_name().unwrap_or_default());
    let whole_lock = Some(locks.join(WHOLE_LOCK));
    let mut others = hub_cache::snapshots(repo);
    others.retain(|snapshot| snapshot != dir);
    if others.is_empty() || dir == repo {
        let bytes = freed(&files(repo)?);
        let (refs, blobs) = (Vec::new(), Vec::new());
        return Ok(Removal { bytes, refs, folder: repo.to_owned(), blobs, owner: None, locks, whole_lock });
    }
    let commit = dir.file_name().unwrap_or_default().to_string_lossy();
    let mut refs = files(&repo.join("refs"))?;
    refs.retain(|file| fs::read_to_string(file).is_ok_and(|named| named.trim() == commit));
    let blobs = unused_blobs(repo, &others)?;
    let bytes = freed(&[&files(dir)?[..], &blobs, &refs].concat());
    Ok(Removal { bytes, refs, folder: dir.to_owned(), blobs, owner: None, locks, whole_lock })
}

/// The whole blobs of a repository that none of these snapshots uses.
fn unused_blobs(repo: &Path, snapshots: &[PathBuf]) -> Result<Vec<PathBuf>, RemoveError> {
    let mut used = HashSet::new();
    for snapshot in snapshots {
        used.extend(files(snapshot)?.iter().filter_map(|link| link.canonicalize().ok()));
    }
    let mut blobs = files(&repo.join("blobs"))?;
    blobs.retain(|blob| !used.contains(blob) && !blob.to_string_lossy().ends_with(hub_cache::INCOMPLETE));
    Ok(blobs)
}

/// The bytes of those of `files` all of whose links are among them.
fn freed(files: &[PathBuf]) -> u64 {
    let mut links: HashMap<(u64, u64), (u64, Metadata)> = HashMap::new();
    for metadata in files.iter().filter_map(|file| fs::symlink_metadata(file).ok()).filter(Metadata::is_file) {
        links.entry((metadata.dev(), metadata.ino())).or_insert((0, metadata)).0 += 1;
    }
    links.values().filter(|(count, file)| *count >= file.nlink()).map(|(_, file)| file.len()).sum()
}

#[cfg(test)]
mod tests;
