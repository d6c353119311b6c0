//! A repository's folder in the Hugging Face cache: `models--owner--name` with the files as `blobs`, a folder of links to
//! them for each commit in `snapshots`, and in `refs` the commit of each branch.

use std::{
    cmp::Reverse,
    fs::{self, DirEntry},
    path::{Path, PathBuf},
};

use super::{Installed, State, walk};
use crate::files::is_segment;

/// How huggingface_hub ends the names of blobs that are not whole yet.
pub(crate) const INCOMPLETE: &str = ".incomplete";

/// The repository whose folder this is. Some old ones have no owner.
pub(crate) fn repo(dir: &Path) -> Option<String> {
    let segments: Vec<&str> = dir.file_name()?.to_str()?.strip_prefix("models--")?.split("--").collect();
    (segments.len() <= 2 && segments.iter().all(|segment| is_segment(segment))).then(|| segments.join("/"))
}

/// The repository's model: the newest snapshot that can be used, the one of branch `main` before all.
pub(super) fn model(dir: &Path, repo: String, known: &dyn Fn(&str) -> bool) -> Option<Installed> {
    let blobs = dir.join("blobs");
    let snapshots = snapshots(dir);
    let mut first = None;
    for model in snapshots.iter().filter_map(|snapshot| walk::model(snapshot, &blobs, known)) {
        if model.state == State::Ready {
            return Some(Installed { repo: Some(repo), ..model });
        }
        first.get_or_insert(model);
    }
    let unfinished = unfinished(&blobs);
    let model = match first {
        Some(mut model) if matches!(model.state, State::Partial { .. }) => {
            model.add_bytes(unfinished.iter().sum());
            Some(model)
        }
        None if snapshots.is_empty() || !unfinished.is_empty() => begun(dir, &blobs),
        other => other,
    };
    Some(Installed { repo: Some(repo), ..model? })
}

/// A download of which nothing shows yet what it will be; `None` where there are no files at all.
fn begun(dir: &Path, blobs: &Path) -> Option<Installed> {
    let state = State::Partial { have: 0, total: None, reason: "its download is not finished".to_owned() };
    let mut model = Installed { dir: dir.to_owned(), state, ..Installed::default() };
    model.add_bytes(walk::bytes(blobs, blobs));
    (model.bytes > 0).then_some(model)
}

/// The lengths of the blobs that are not whole.
fn unfinished(blobs: &Path) -> Vec<u64> {
    let entries = fs::read_dir(blobs).into_iter().flatten().flatten();
    let unfinished = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(INCOMPLETE));
    unfinished.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).collect()
}

/// The folders of all snapshots, that of `main` first, then the newest.
pub(crate) fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let main = fs::read_to_string(dir.join("refs/main")).unwrap_or_default();
    let entries = fs::read_dir(dir.join("snapshots")).into_iter().flatten().flatten();
    let mut entries: Vec<DirEntry> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).collect();
    let changed = |entry: &DirEntry| entry.metadata().and_then(|metadata| metadata.modified()).ok();
    entries.sort_by_cached_key(|entry| (entry.file_name() != main.trim(), Reverse(changed(entry)), entry.file_name()));
    entries.into_iter().map(|entry| entry.path()).collect()
}
