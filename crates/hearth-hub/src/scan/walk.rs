//! From a root to the models below it, with bounds on how deep and how much is looked at.

use std::{
    collections::HashSet,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    Installed, Layout, Root,
    folder::{Folder, follow},
    hub_cache, state,
};
use crate::files::RepoId;

/// Entries of folders that are looked at below one root. A person may have named `/`.
const MAX_ENTRIES: usize = 200_000;

/// Folders below a model's own, as `original` or `onnx`.
const MAX_DEPTH_OF_MODEL: usize = 8;

struct Walk<'a> {
    root: &'a Path,
    layout: Layout,
    known: &'a dyn Fn(&str) -> bool,
    entries_left: usize,
    found: Vec<Installed>,
}

/// The models below `root`, which may not exist.
pub(super) fn models(root: &Root, known: &dyn Fn(&str) -> bool) -> Vec<Installed> {
    let path = match root.path.canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!("{} is not looked through for models: {error}", root.path.display());
            return Vec::new();
        }
    };
    let mut walk = Walk { root: &path, layout: root.layout, known, entries_left: MAX_ENTRIES, found: Vec::new() };
    walk.visit(&path, 0);
    if walk.entries_left == 0 {
        tracing::warn!("{} holds too much to be looked through whole for models", path.display());
    }
    walk.found
}

impl Walk<'_> {
    fn visit(&mut self, dir: &Path, depth: usize) {
        if let Some(repo) = hub_cache::repo(dir).filter(|_| depth > 0 && self.layout != Layout::Repositories) {
            self.found.extend(hub_cache::model(dir, repo, self.known));
            return;
        }
        if self.layout != Layout::HubCache && self.add(dir, depth) {
            return;
        }
        let deepest = match self.layout {
            Layout::HubCache => 1,
            Layout::Repositories => 2,
            Layout::Any => 4,
        };
        if depth < deepest {
            self.descend(dir, depth);
        }
    }

    fn descend(&mut self, dir: &Path, depth: usize) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return tracing::debug!("{} cannot be read: {error}", dir.display()),
        };
        let entries = entries.take(self.entries_left).collect::<Vec<_>>();
        self.entries_left -= entries.len();
        let real = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        let shown = |entry: &fs::DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
        let folders = entries.into_iter().flatten().filter(|entry| real(entry) && shown(entry));
        let mut folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
        folders.sort_unstable();
        folders.iter().for_each(|folder| self.visit(folder, depth + 1));
    }

    /// Adds `dir` if it is a model.
    fn add(&mut self, dir: &Path, depth: usize) -> bool {
        let Some(model) = model(dir, self.root, self.known) else {
            return false;
        };
        let repo = (self.layout == Layout::Repositories && depth == 2).then(|| repo_of(dir)).flatten();
        self.found.push(Installed { repo, ..model });
        true
    }
}

/// `owner/name`, as the last two segments of a path.
fn repo_of(dir: &Path) -> Option<String> {
    let (owner, name) = (dir.parent()?.file_name()?.to_str()?, dir.file_name()?.to_str()?);
    Some(format!("{owner}/{name}").parse::<RepoId>().ok()?.as_str().to_owned())
}

/// The model in the folder `dir`, whose links may lead below `allowed`; without a repository, nor names.
pub(super) fn model(dir: &Path, allowed: &Path, known: &dyn Fn(&str) -> bool) -> Option<Installed> {
    let folder = match Folder::list(dir, allowed) {
        Ok(folder) => folder,
        Err(error) => {
            tracing::debug!("{} cannot be read: {error}", dir.display());
            return None;
        }
    };
    let state::Facts { model_type, bits, state } = state::examine(&folder, known)?;
    let mut model = Installed { dir: dir.to_owned(), model_type, bits, state, ..Installed::default() };
    model.add_bytes(bytes(dir, allowed));
    Some(model)
}

/// The bytes of all files below `dir`, links followed below `allowed`, each file counted once.
pub(super) fn bytes(dir: &Path, allowed: &Path) -> u64 {
    let mut files = Vec::new();
    if let Err(error) = collect(dir, &mut files) {
        tracing::debug!("not all of {} is counted: {error}", dir.display());
    }
    let mut seen = HashSet::new();
    let target = |path: PathBuf| fs::symlink_metadata(follow(&path, allowed).ok()?).ok().filter(Metadata::is_file);
    let files = files.into_iter().filter_map(target);
    files.filter(|file| seen.insert((file.dev(), file.ino()))).map(|file| file.len()).sum()
}

/// Adds to `files` all that is below `dir` and no folder. Links are not followed, nor is `dir` if it is one. Errors: what is
/// below cannot be read, or is too much; then `files` has a part.
pub(crate) fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    collect_deep(dir, MAX_DEPTH_OF_MODEL, files)
}

fn collect_deep(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::symlink_metadata(dir)?.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true if depth == 0 => return Err(io::Error::other("it has too many folders in each other")),
            true => collect_deep(&entry.path(), depth - 1, files)?,
            false if files.len() == MAX_ENTRIES => return Err(io::Error::other("it has too many files")),
            false => files.push(entry.path()),
        }
    }
    Ok(())
}
