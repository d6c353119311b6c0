//! Where things lie in the Hugging Face cache: `models--OWNER--NAME/{blobs,snapshots,refs}`, and `.locks` beside them.
//!
//! huggingface_hub keeps the same layout and takes the same locks (`flock` on one file per blob), so that both find each
//! other's models and never write one blob at the same time.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::HubError;
use crate::files::{Commit, FileName, RepoId, Revision};
use crate::hash::Digest;

/// Hugging Face's own folder: `HF_HOME`, else `huggingface` in the system's cache folder.
pub fn home_dir(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let cache =
        || env("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(env("HOME")?).join(".cache")));
    env("HF_HOME").map(PathBuf::from).or_else(|| Some(cache()?.join("huggingface")))
}

/// Where downloads lie: `HF_HUB_CACHE`, else `hub` in Hugging Face's own folder.
pub fn cache_dir(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = env("HF_HUB_CACHE").or_else(|| env("HUGGINGFACE_HUB_CACHE"));
    named.map(PathBuf::from).or_else(|| Some(home_dir(&env)?.join("hub")))
}

/// The name of the file by whose lock a whole repository is held.
pub(crate) const WHOLE_LOCK: &str = "repository.lock";

/// The paths of one repository in a cache folder.
#[derive(Clone, Debug)]
pub struct RepoCache {
    dir: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    /// The repository's place below the cache folder, whether or not it is there.
    #[must_use]
    pub fn new(cache_dir: &Path, repo: &RepoId) -> Self {
        Self { dir: cache_dir.join(repo.folder()), locks: cache_dir.join(".locks").join(repo.folder()) }
    }

    /// `models--OWNER--NAME`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A whole, verified content.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.to_string())
    }

    /// The part of a content that has come so far.
    #[must_use]
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(format!("{digest}.incomplete"))
    }

    /// Who holds the lock on this file writes the blob.
    #[must_use]
    pub fn lock(&self, digest: &Digest) -> PathBuf {
        self.locks.join(format!("{digest}.lock"))
    }

    /// Downloads share the lock on this file; who removes something holds it alone.
    #[must_use]
    pub fn whole_lock(&self) -> PathBuf {
        self.locks.join(WHOLE_LOCK)
    }

    /// The folder in which the files have their names.
    #[must_use]
    pub fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.dir.join("snapshots").join(commit.as_str())
    }

    /// Makes the folders that a download writes to.
    pub(crate) fn create(&self) -> Result<(), HubError> {
        for dir in [self.dir.join("blobs"), self.locks.clone()] {
            fs::create_dir_all(&dir).map_err(HubError::io(dir))?;
        }
        Ok(())
    }

    /// Gives a blob its name in a snapshot: a relative link, so that the cache folder can be moved.
    pub(crate) fn link(&self, commit: &Commit, file: &FileName, digest: &Digest) -> Result<(), HubError> {
        let link = file.below(&self.snapshot(commit));
        let ups = "../".repeat(file.components().count() + 1);
        let target = PathBuf::from(format!("{ups}blobs/{digest}"));
        if fs::read_link(&link).is_ok_and(|found| found == target) {
            return Ok(());
        }
        let place = || {
            fs::create_dir_all(link.parent().unwrap_or(&self.dir))?;
            let fresh = link.with_added_extension("linking");
            remove_if_there(&fresh)?;
            std::os::unix::fs::symlink(&target, &fresh)?;
            fs::rename(&fresh, &link)
        };
        place().map_err(HubError::io(&link))
    }

    /// Writes down which commit a branch or a tag is. A commit needs no such note.
    pub(crate) fn refer(&self, revision: &Revision, commit: &Commit) -> Result<(), HubError> {
        if revision.as_str() == commit.as_str() {
            return Ok(());
        }
        let path = self.dir.join("refs").join(revision.as_str());
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
            let fresh = path.with_added_extension("writing");
            fs::write(&fresh, commit.as_str())?;
            fs::rename(&fresh, &path)
        };
        write().map_err(HubError::io(&path))
    }
}

/// The blobs that snapshots of a repository name, by their names.
pub(crate) fn linked_blobs(repo: &RepoCache) -> io::Result<HashSet<OsString>> {
    let mut linked = HashSet::new();
    let mut dirs = vec![repo.dir.join("snapshots")];
    while let Some(dir) = dirs.pop() {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match fs::read_link(entry.path()) {
                Ok(target) => linked.extend(target.file_name().map(OsString::from)),
                Err(_) if entry.path().is_dir() => dirs.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    Ok(linked)
}

/// Removes a file; one that is not there is as good.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
    }

    #[test]
    fn the_cache_follows_hugging_faces_own_variables() {
        let variables = [("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c"), ("HOME", "/d")];
        let wanted = ["/a", "/b/hub", "/c/huggingface/hub", "/d/.cache/huggingface/hub"];
        for (at, wanted) in wanted.into_iter().enumerate() {
            assert_eq!(cache_dir(env(&variables[at..])), Some(wanted.into()));
        }
        assert_eq!(cache_dir(env(&[])), None);
    }

    #[test]
    fn links_lead_to_the_blob_from_any_depth_and_replace_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let cache = RepoCache::new(dir.path(), &"a/b".parse().unwrap());
        let commit: Commit = "0".repeat(40).parse().unwrap();
        let digest = Digest::git_blob(&"1".repeat(40)).unwrap();
        cache.create().unwrap();
        fs::write(cache.blob(&digest), "content").unwrap();
        for name in ["config.json", "x/y/config.json", "config.json"] {
            let name: FileName = name.parse().unwrap();
            cache.link(&commit, &name, &digest).unwrap();
            assert_eq!(fs::read_to_string(name.below(&cache.snapshot(&commit))).unwrap(), "content");
        }
        let config = cache.snapshot(&commit).join("config.json");
        fs::remove_file(&config).unwrap();
        fs::write(&config, "a copy").unwrap();
        cache.link(&commit, &"config.json".parse().unwrap(), &digest).unwrap();
        assert_eq!(fs::read_to_string(config).unwrap(), "content");
    }
}
