//! The session files of models that are off offer, of which no store in memory knows: they expire like the others, and go when
//! their session or their model does.
//!
//! Nothing here is written to while it is cleared away: see [`WRITING`]. Another process that is about to write tries again.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use super::files::{Entry, WRITING, remove};
use super::{file, folder_name};

/// Bytes of a file within which its session's id stands.
const HEAD: u64 = 4096;

/// Removes what is over in the folders of all models below `dir` but `own`.
pub(super) fn expire(dir: &Path, own: &Path, idle: Duration) {
    clear(dir, |folder| folder != own, |entry| entry.is_over(idle));
}

/// Forgets the session `id` with all models below `dir` but those called so; whether there was one.
pub(crate) fn delete(dir: &Path, id: &str, but: &[String]) -> bool {
    let but: Vec<PathBuf> = but.iter().map(|model| dir.join(folder_name(model))).collect();
    clear(dir, |folder| !but.iter().any(|other| other == folder), |entry| is_of(&entry.path, id)) > 0
}

/// Forgets all sessions with the model called `model`.
pub(crate) fn delete_all(dir: &Path, model: &str) {
    clear(dir, |folder| folder == dir.join(folder_name(model)), |_| true);
}

/// Removes these files in these folders, and the folders that are empty then; how many files.
fn clear(dir: &Path, is_meant: impl Fn(&Path) -> bool, goes: impl Fn(&Entry) -> bool) -> usize {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let folders = fs::read_dir(dir).into_iter().flatten().flatten().map(|folder| folder.path());
    folders.filter(|folder| is_meant(folder)).map(|folder| clear_folder(&folder, &goes)).sum()
}

fn clear_folder(folder: &Path, goes: impl Fn(&Entry) -> bool) -> usize {
    let mut gone = 0;
    for entry in Entry::all(folder).filter(|entry| goes(entry)) {
        match remove(&entry.path) {
            Ok(()) => gone += 1,
            Err(error) => tracing::warn!("the session file {} cannot be removed: {error}", entry.path.display()),
        }
    }
    // An error: something is left in it.
    let _ = fs::remove_dir(folder);
    gone
}

fn is_of(path: &Path, id: &str) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && file::begins(&head, id)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt;

    use super::super::file_name;
    use super::super::store::Session;
    use super::*;

    fn put(dir: &Path, model: &str, id: &str) -> PathBuf {
        let folder = dir.join(folder_name(model));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
        let path = folder.join(file_name(model, id)).with_extension("json");
        fs::write(&path, file::write(&Session::new(id.into(), Vec::new(), 0, None), model).unwrap()).unwrap();
        path
    }

    #[test]
    fn a_session_goes_whatever_its_model_was() {
        let dir = tempfile::tempdir().unwrap();
        let id = "\"\u{0}ü🌊".repeat(64);
        let [one, two, other] =
            [("a", id.as_str()), ("b", &id), ("b", "x")].map(|(model, id)| put(dir.path(), model, id));
        let kept = put(dir.path(), "c", &id);
        assert!(delete(dir.path(), &id, &["c".into()]) && !delete(dir.path(), &id, &["c".into()]));
        assert!(!one.exists() && !two.exists() && other.exists() && kept.exists());
        assert!(!one.parent().unwrap().exists(), "no folder without files");
    }

    #[test]
    fn what_is_over_goes_and_so_does_all_of_a_model() {
        let dir = tempfile::tempdir().unwrap();
        let [one, own] = ["a", "b"].map(|model| put(dir.path(), model, "s"));
        let folder = own.parent().unwrap();
        expire(dir.path(), folder, Duration::from_secs(3600));
        assert!(one.exists());
        expire(dir.path(), folder, Duration::ZERO);
        assert!(!one.exists() && own.exists());
        fs::write(folder.join("letter"), "Dear").unwrap();
        delete_all(dir.path(), "b");
        assert!(!own.exists() && folder.join("letter").exists(), "what is not a session's stays");
    }
}
