//! What goes, what stays, and that the bytes are those that were said.

use std::os::unix::fs::symlink;

use super::*;
use crate::{
    cache::RepoCache,
    download::lock::RepoLock,
    scan::Layout,
    testing::{COMMIT, files, safetensors, scan_one, size, write, write_snapshot},
};

fn files_of(dir: &Path) -> Vec<PathBuf> {
    super::files(dir).unwrap()
}

/// Removes what a scan of `root` finds as `source`, and answers the bytes that this freed.
fn remove(root: &Path, layout: Layout, source: &str) -> Result<u64, RemoveError> {
    let model = scan_one(root, layout).into_iter().find(|model| model.source.ends_with(source)).unwrap();
    let removal = plan(&model, &[Root::new(root, layout)])?;
    let (said, before) = (removal.bytes, freed(&files_of(root)));
    assert_eq!(removal.carry_out()?, said);
    assert_eq!(before - freed(&files_of(root)), said, "frees what it said");
    Ok(said)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_goes_whole_and_an_empty_owner_with_it() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path();
    for model in ["a/one", "a/two", "b/three"] {
        write(&root.join(model), &files());
    }
    write(&root.join("a/one/original"), &[("more.txt", b"more".to_vec())]);
    assert_eq!(remove(root, Layout::Repositories, "a/one").unwrap(), size(&files()) + 4);
    assert_eq!((names(root), names(&root.join("a"))), (vec!["a".into(), "b".into()], vec!["two".to_owned()]));
    remove(root, Layout::Repositories, "b/three").unwrap();
    assert_eq!(names(root), ["a"]);
}

#[test]
fn a_file_with_a_link_elsewhere_frees_nothing() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    write(&root.join("model"), &files());
    fs::hard_link(root.join("model/model.safetensors"), home.path().join("kept")).unwrap();
    fs::hard_link(root.join("model/config.json"), root.join("model/copy.json")).unwrap();
    let config = files()[0].1.len() as u64;
    let tokenizer = files()[2].1.len() as u64;
    assert_eq!(remove(&root, Layout::Any, "model").unwrap(), config + tokenizer);
    assert!(home.path().join("kept").exists());
}

#[test]
fn the_only_snapshot_takes_its_repository_along() {
    let home = tempfile::tempdir().unwrap();
    write_snapshot(home.path(), "a/b", COMMIT, &files());
    write_snapshot(home.path(), "a/c", COMMIT, &files());
    fs::write(home.path().join("models--a--b/blobs/x.incomplete"), [0; 100]).unwrap();
    // All files, 100 bytes of one unfinished, and the reference's 40.
    assert_eq!(remove(home.path(), Layout::HubCache, "a/b").unwrap(), size(&files()) + 100 + 40);
    assert_eq!(names(home.path()), ["models--a--c"]);
    write(&home.path().join("models--d--e/blobs"), &[("y.incomplete", vec![0; 70])]);
    assert_eq!(remove(home.path(), Layout::HubCache, "d/e").unwrap(), 70);
    assert_eq!(names(home.path()), ["models--a--c"]);
}

#[test]
fn what_another_revision_uses_stays() {
    let home = tempfile::tempdir().unwrap();
    let other = "f".repeat(40);
    let mut changed = files();
    changed[1].1 = safetensors(3000);
    let kept = write_snapshot(home.path(), "a/b", &other, &files());
    write_snapshot(home.path(), "a/b", COMMIT, &changed);
    let repo = home.path().join("models--a--b");
    fs::write(repo.join("refs/v1"), &other).unwrap();
    fs::write(repo.join("blobs/next.incomplete"), [0; 9]).unwrap();
    fs::write(repo.join("blobs/forgotten"), [0; 11]).unwrap();
    let freed = remove(home.path(), Layout::HubCache, "a/b").unwrap();
    assert_eq!(freed, safetensors(3000).len() as u64 + 11 + 40);
    assert_eq!((names(&repo.join("refs")), names(&repo.join("snapshots"))), (vec!["v1".into()], vec![other]));
    assert!(repo.join("blobs/next.incomplete").exists());
    let model = scan_one(home.path(), Layout::HubCache).remove(0);
    assert_eq!((model.dir, model.state), (kept.canonicalize().unwrap(), crate::scan::State::Ready));
}

#[test]
fn what_lies_elsewhere_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (root, outside) = (home.path().join("root"), home.path().join("outside"));
    write(&root.join("model"), &files());
    write(&outside.join("model"), &files());
    symlink(&outside, root.join("link")).unwrap();
    let refused = |dir: PathBuf, part: &str| {
        let model = Installed { dir, ..Installed::default() };
        let error = plan(&model, &[Root::new(&root, Layout::Any)]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(outside.join("model"), "none of the folders");
    refused(root.join("link/model"), "none of the folders");
    refused(root.join("../outside/model"), "none of the folders");
    refused(root.clone(), "added in the settings");
    refused(root.join("model/.."), "added in the settings");
    refused(root.join("absent"), "cannot remove");
    write(&root.join("model/inner"), &files());
    refused(root.join("model"), "also holds");
    assert_eq!(names(&root), ["link", "model"]);
}

#[test]
fn a_folder_with_other_things_in_it_stays() {
    let home = tempfile::tempdir().unwrap();
    for other in ["letter.docx", "photos/one.jpg"] {
        let model = home.path().join("Downloads");
        write(&model.join("photos"), &files()[..1]);
        write(&model, &files());
        fs::write(model.join(other), "x").unwrap();
        let error = remove(home.path(), Layout::Any, "Downloads").unwrap_err().to_string();
        assert!(error.contains(other) && model.join("config.json").exists(), "{error}");
        fs::remove_dir_all(model).unwrap();
    }
}

#[test]
fn what_is_being_downloaded_stays() {
    let home = tempfile::tempdir().unwrap();
    write_snapshot(home.path(), "a/b", COMMIT, &files());
    let cache = RepoCache::new(home.path(), &"a/b".parse().unwrap());
    fs::create_dir_all(cache.whole_lock().parent().unwrap()).unwrap();
    let download = RepoLock::shared(&cache.whole_lock()).unwrap();
    let error = remove(home.path(), Layout::HubCache, "a/b").unwrap_err().to_string();
    assert!(error.contains("is being downloaded") && cache.dir().exists(), "{error}");
    drop(download);
    remove(home.path(), Layout::HubCache, "a/b").unwrap();
    assert!(!cache.dir().exists());
}

/// Python's filelock, which huggingface_hub uses, makes the file and takes `flock` on it, alone; the file stays.
#[test]
fn what_huggingface_hub_downloads_stays() {
    let home = tempfile::tempdir().unwrap();
    let (hub, own) = (home.path().join("hub"), home.path().join("own"));
    write_snapshot(&hub, "a/b", COMMIT, &files());
    write(&own.join("model"), &files());
    let etag = "0123456789abcdef0123456789abcdef01234567.lock";
    for (root, layout, source, locks) in [
        (&hub, Layout::HubCache, "a/b", hub.join(".locks/models--a--b")),
        (&own, Layout::Any, "model", own.join("model/.cache/huggingface/download")),
    ] {
        write(&locks, &[(etag, Vec::new()), ("other.lock", Vec::new())]);
        let download = fs::File::options().read(true).write(true).open(locks.join(etag)).unwrap();
        download.lock().unwrap();
        let error = remove(root, layout, source).unwrap_err().to_string();
        assert!(error.contains("is being downloaded"), "{error}");
        assert_eq!(scan_one(root, layout).len(), 1);
        drop(download);
        remove(root, layout, source).unwrap();
        assert_eq!(scan_one(root, layout), []);
    }
}

#[test]
fn links_in_a_folder_go_and_what_they_lead_to_stays() {
    let home = tempfile::tempdir().unwrap();
    let (root, outside) = (home.path().join("root"), home.path().join("outside"));
    write(&root.join("model"), &files());
    write(&outside, &files());
    symlink(&outside, root.join("model/folder")).unwrap();
    symlink(outside.join("config.json"), root.join("model/file")).unwrap();
    assert_eq!(remove(&root, Layout::Any, "model").unwrap(), size(&files()));
    assert_eq!(names(&outside), ["config.json", "model.safetensors", "tokenizer.json"]);
}

/// Somebody has moved the blobs to another disk.
#[test]
fn blobs_behind_a_link_stay() {
    let home = tempfile::tempdir().unwrap();
    let (root, moved) = (home.path().join("root"), home.path().join("moved"));
    write_snapshot(&root, "a/b", &"f".repeat(40), &files());
    write_snapshot(&root, "a/b", COMMIT, &files());
    let blobs = root.join("models--a--b/blobs");
    fs::rename(&blobs, &moved).unwrap();
    symlink(&moved, &blobs).unwrap();
    let dir = root.join("models--a--b/snapshots").join(COMMIT);
    let model = Installed { dir, ..Installed::default() };
    assert_eq!(plan(&model, &[Root::new(&root, Layout::HubCache)]).unwrap().carry_out().unwrap(), 40);
    assert_eq!(names(&moved).len(), 3);
}
