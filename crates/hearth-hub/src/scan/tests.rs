//! What a scan says of folders that are well, unfinished, damaged, hostile, or no models at all.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
};

use super::*;
use crate::testing::{COMMIT, files, index, safetensors, scan_one, size, write, write_snapshot};

type Files = Vec<(&'static str, Vec<u8>)>;

/// The small model with some files replaced, added, or, where `None`, left out.
fn with(changes: &[(&'static str, Option<&[u8]>)]) -> Files {
    let mut files = files();
    for (name, bytes) in changes {
        files.retain(|(other, _)| other != name);
        files.extend(bytes.map(|bytes| (*name, bytes.to_vec())));
    }
    files
}

fn describe(model: &Installed) -> String {
    let kind = match &model.state {
        State::Ready => "ready",
        State::Partial { .. } => "partial",
        State::Unsupported { .. } => "unsupported",
        State::Damaged { .. } => "damaged",
    };
    [kind].into_iter().chain(model.state.reason()).collect::<Vec<_>>().join(": ")
}

/// Asserts what is said of a folder `owner/model` with these files.
fn check(files: Files, expected: &str) {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("owner/model"), &files);
    let models = scan_one(home.path(), Layout::Repositories);
    let found = models.iter().map(describe).collect::<Vec<_>>().join("; ");
    assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{found:?}, not {expected:?}");
}

#[test]
fn a_whole_model_is_ready_in_every_layout() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    write(&home.join("own/someone/Tiny-4bit"), &files());
    let snapshot = write_snapshot(&home.join("hub"), "mlx-community/Tiny-4bit", COMMIT, &files());
    write(&home.join("mine/deep/er/Tiny Model"), &files());
    let roots = [
        Root::new(home.join("own"), Layout::Repositories),
        Root::new(home.join("hub"), Layout::HubCache),
        Root::new(home.join("mine"), Layout::Any),
        Root::new(home.join("absent"), Layout::Any),
    ];
    let models = scan(&roots, &|name| name == "llama");
    let path = home.join("mine/deep/er/Tiny Model");
    let model = |source: &str, display: &str, repo: Option<&str>, dir: &Path| Installed {
        source: source.into(),
        display: display.into(),
        repo: repo.map(Into::into),
        dir: dir.to_owned(),
        bytes: size(&files()),
        model_type: Some("llama".into()),
        bits: Some(4),
        state: State::Ready,
    };
    let repo = |id, dir: &Path| model(id, "Tiny-4bit", Some(id), dir);
    let expected = [
        model(path.to_str().unwrap(), "Tiny Model", None, &path),
        repo("mlx-community/Tiny-4bit", &snapshot),
        repo("someone/Tiny-4bit", &home.join("own/someone/Tiny-4bit")),
    ];
    assert_eq!(models, expected);
}

#[test]
fn what_is_missing_is_named() {
    let two = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let index = index(&two, 5000);
    check(with(&[("config.json", None)]), "partial: config.json is missing");
    check(with(&[("tokenizer.json", None)]), "partial: tokenizer.json is missing");
    check(with(&[("model.safetensors", None)]), "partial: model.safetensors is missing");
    let shard = safetensors(2000);
    let one = [("model.safetensors", None), (two[0], Some(&*shard))];
    check(with(&one), "partial: 1 of its 2 files of weights are missing");
    let indexed = [&one[..], &[("model.safetensors.index.json", Some(&*index))]].concat();
    check(with(&indexed), "partial: model-00002-of-00002.safetensors is missing");
    check(with(&[&indexed[..], &[(two[1], Some(&shard))]].concat()), "ready");
    check(with(&[&one[..], &[(two[1], Some(&shard))]].concat()), "ready");
}

#[test]
fn a_partial_model_says_how_much_there_is() {
    let home = tempfile::tempdir().unwrap();
    let two = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let index = index(&two, 5_000_000);
    let files = with(&[("model.safetensors", None), ("model.safetensors.index.json", Some(&index))]);
    let snapshot = write_snapshot(home.path(), "owner/name", COMMIT, &files);
    fs::write(snapshot.join("../../blobs/abc.incomplete"), [0; 3000]).unwrap();
    let model = scan_one(home.path(), Layout::HubCache).remove(0);
    let have = size(&files) + 3000;
    let reason = "model-00001-of-00002.safetensors is missing".to_owned();
    assert_eq!((model.bytes, model.state), (have, State::Partial { have, total: Some(5_000_000), reason }));
}

#[test]
fn what_hearth_does_not_run_is_listed_with_the_reason() {
    check(
        with(&[("config.json", Some(br#"{"model_type": "bert"}"#))]),
        "unsupported: this version of Hearth does not run its architecture, `bert`",
    );
    check(with(&[("config.json", Some(br#"{"layers": 3}"#))]), "unsupported: config.json names no architecture");
    let pickle: &[u8] = b"pickle";
    check(
        with(&[("model.safetensors", None), ("pytorch_model.bin", Some(pickle))]),
        "unsupported: its weights are pickles",
    );
    check(with(&[("tokenizer.json", None), ("tokenizer.model", Some(pickle))]), "unsupported: its tokenizer comes as");
    check(vec![("model-Q4.gguf", pickle.to_vec())], "unsupported: its weights are in GGUF");
    let hostile = format!(r#"{{"model_type": "a\u001b[31m{}"}}"#, "b".repeat(5000));
    check(
        with(&[("config.json", Some(hostile.as_bytes()))]),
        "unsupported: this version of Hearth does not run its architecture, `a\\u{1b}[31mb",
    );
}

#[test]
fn what_is_damaged_is_named() {
    let whole = safetensors(1000);
    let cut = &whole[..whole.len() - 1];
    let long = [&whole[..], b"x"].concat();
    let huge_header = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let bad_header = [&9_u64.to_le_bytes()[..], b"{\"a\": 1}}"].concat();
    for (name, bytes, expected) in [
        ("config.json", &b""[..], "config.json is empty"),
        ("config.json", b"[]", "config.json must hold a JSON object"),
        ("config.json", b"\xff\xfe", "config.json is not valid JSON"),
        ("tokenizer.json", b"", "tokenizer.json is empty"),
        ("model.safetensors", b"", "model.safetensors is empty"),
        ("model.safetensors", b"abc", "model.safetensors is cut short"),
        ("model.safetensors", cut, "model.safetensors is cut short: it should have"),
        ("model.safetensors", &whole[..20], "model.safetensors is cut short"),
        ("model.safetensors", &long, "model.safetensors has 1 bytes more"),
        ("model.safetensors", &huge_header, "model.safetensors cannot be used: it is no safetensors file"),
        ("model.safetensors", &bad_header, "model.safetensors cannot be used: its header is damaged"),
        ("model.safetensors.index.json", b"{}", "model.safetensors.index.json names no file"),
        (
            "model.safetensors.index.json",
            br#"{"weight_map": {"w": "../secret.safetensors"}}"#,
            "model.safetensors.index.json names files that are no safetensors",
        ),
        (
            "model.safetensors.index.json",
            br#"{"weight_map": {"w": "/etc/passwd"}}"#,
            "model.safetensors.index.json names files",
        ),
        (
            "model.safetensors.index.json",
            br#"{"weight_map": {"w": "model.bin"}}"#,
            "model.safetensors.index.json names",
        ),
        (
            "model.safetensors.index.json",
            br#"{"weight_map": {"w": ".a.safetensors"}}"#,
            "model.safetensors.index.json names",
        ),
    ] {
        check(with(&[(name, Some(bytes))]), &format!("damaged: {expected}"));
    }
    check(with(&[("config.json", Some(b"\xef\xbb\xbf{\"model_type\": \"llama\"}"))]), "ready");
}

/// What the Hub would not take for a repository is a folder like any other.
#[test]
fn only_what_the_hub_would_call_so_is_a_repository() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    for folder in ["own/someone/my--model", "own/someone/model-", "own/someone/good_1.0"] {
        write(&home.join(folder), &files());
    }
    write_snapshot(&home.join("hub"), "gpt2", COMMIT, &files());
    let roots = [Root::new(home.join("own"), Layout::Repositories), Root::new(home.join("hub"), Layout::HubCache)];
    let models = scan(&roots, &|_| true);
    let repos: Vec<_> = models.iter().filter_map(|model| model.repo.as_deref()).collect();
    assert_eq!((models.len(), repos), (4, vec!["gpt2", "someone/good_1.0"]));
}

/// The loader takes these names, too.
#[test]
fn files_of_weights_may_be_called_as_their_makers_like() {
    for name in ["my model--part 1.safetensors", "~model.safetensors", "modèle.safetensors"] {
        let (index, weights) = (index(&[name], 1000), safetensors(1000));
        let index = ("model.safetensors.index.json", Some(&*index));
        check(with(&[("model.safetensors", None), index, (name, Some(&weights))]), "ready");
    }
}

#[test]
fn what_is_no_model_is_not_listed() {
    check(vec![("config.json", br#"{"port": 8080}"#.to_vec()), ("index.js", b"x".to_vec())], "");
    check(vec![("config.json", b"nonsense".to_vec())], "");
    check(vec![("notes.txt", b"x".to_vec())], "");
    let home = tempfile::tempdir().unwrap();
    for folder in ["datasets--a--b", "models--a--b--c", "models--..--b", "models--", "plain", ".locks/models--a--b"] {
        write(&home.path().join(folder).join("snapshots").join(COMMIT), &files());
    }
    write(&home.path().join("models--empty--repo/blobs"), &[]);
    write_snapshot(home.path(), "only/words", COMMIT, &[("README.md", b"no model".to_vec())]);
    assert_eq!(scan_one(home.path(), Layout::HubCache), []);
}

#[test]
fn a_download_of_which_little_shows_is_partial() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("models--a--b/blobs"), &[("0123.incomplete", vec![0; 100]), ("4567", vec![0; 10])]);
    write_snapshot(home.path(), "c/d", COMMIT, &[("README.md", b"soon".to_vec())]);
    fs::write(home.path().join("models--c--d/blobs/x.incomplete"), [0; 50]).unwrap();
    let models = scan_one(home.path(), Layout::HubCache);
    let reason = || "its download is not finished".to_owned();
    let state = |have| State::Partial { have, total: None, reason: reason() };
    let found: Vec<_> = models.iter().map(|model| (model.source.as_str(), model.state.clone())).collect();
    assert_eq!(found, [("a/b", state(110)), ("c/d", state(54))]);
}

#[test]
fn an_older_snapshot_serves_while_a_newer_one_comes() {
    let home = tempfile::tempdir().unwrap();
    let old = write_snapshot(home.path(), "owner/name", &"1".repeat(40), &files());
    let half = with(&[("model.safetensors", None)]);
    let new = write_snapshot(home.path(), "owner/name", &"2".repeat(40), &half);
    let model = || scan_one(home.path(), Layout::HubCache).remove(0);
    assert_eq!((model().dir, model().state), (old.canonicalize().unwrap(), State::Ready));
    write_snapshot(home.path(), "owner/name", &"3".repeat(40), &files());
    fs::write(home.path().join("models--owner--name/refs/main"), "2".repeat(40)).unwrap();
    fs::remove_dir_all(home.path().join("models--owner--name/snapshots").join("3".repeat(40))).unwrap();
    fs::remove_dir_all(&old).unwrap();
    assert_eq!(model().dir, new.canonicalize().unwrap());
    assert!(matches!(model().state, State::Partial { .. }));
}

#[test]
fn of_two_folders_with_one_repository_the_usable_one_has_its_name() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    write(&home.join("own/owner/name"), &with(&[("tokenizer.json", None)]));
    write(&home.join("lm/owner/name"), &files());
    let roots = ["own", "lm", "lm"].map(|root| Root::new(home.join(root), Layout::Repositories));
    let models = scan(&roots, &|_| true);
    let own = home.join("own/owner/name");
    let found: Vec<_> =
        models.iter().map(|model| (model.source.as_str(), model.display.as_str(), &model.dir)).collect();
    assert_eq!(found, [(own.to_str().unwrap(), "name", &own), ("owner/name", "name", &home.join("lm/owner/name"))]);
}

#[test]
fn links_lead_nowhere_else() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    write(&home.join("secret"), &files());
    let root = home.join("root");
    let snapshot = write_snapshot(&root, "owner/name", COMMIT, &with(&[("tokenizer.json", None)]));
    // To outside, to another repository's blobs, to itself.
    let other = write_snapshot(&root, "other/name", COMMIT, &files());
    for target in [home.join("secret/tokenizer.json"), other.join("tokenizer.json"), snapshot.join("tokenizer.json")] {
        symlink(target, snapshot.join("tokenizer.json")).unwrap();
        let model = scan_one(&root, Layout::HubCache).into_iter().find(|model| model.source == "owner/name").unwrap();
        assert!(describe(&model).starts_with("damaged: tokenizer.json cannot be read"), "{}", describe(&model));
        assert_eq!(model.bytes, size(&with(&[("tokenizer.json", None)])));
        fs::remove_file(snapshot.join("tokenizer.json")).unwrap();
    }
    symlink(home.join("secret"), root.join("models--linked--repo")).unwrap();
    symlink(home.join("secret"), root.join("linked")).unwrap();
    symlink(&root, root.join("around")).unwrap();
    assert_eq!(scan_one(&root, Layout::Any).len(), 2);
}

#[test]
fn a_folder_that_cannot_be_read_spoils_nothing() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("a/good"), &files());
    write(&home.path().join("a/closed"), &files());
    let _socket = UnixListener::bind(home.path().join("a/good/model-2.safetensors")).unwrap();
    let closed = home.path().join("a/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let models = scan_one(home.path(), Layout::Any);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let good = models.iter().find(|model| model.display == "good").unwrap();
    assert_eq!(describe(good), "damaged: model-2.safetensors is not a file");
}

#[test]
fn what_lies_too_deep_is_not_found() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("1/2/3/4"), &files());
    write(&home.path().join("1/2/3/x/5"), &files());
    write(&home.path().join("1/.hidden"), &files());
    assert_eq!(scan_one(home.path(), Layout::Any).len(), 1);
    assert_eq!(scan_one(&home.path().join("1/2/3/4"), Layout::Any).len(), 1);
}

/// Each file of a model in turn is cut, flipped and filled with noise at many places: a scan always ends with an answer.
#[test]
fn no_content_is_too_odd() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("model");
    let shards = with(&[("model.safetensors.index.json", Some(&index(&["model.safetensors"], 1000)))]);
    for (name, bytes) in &shards {
        for at in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
            let flipped = [&bytes[..at], &[!bytes[at]], &bytes[at + 1..]].concat();
            let noise = [&bytes[..at], &[0xff, 0, b'"', b'{', 0x80][..], &bytes[at..]].concat();
            for content in [bytes[..at].to_vec(), flipped, noise] {
                write(&dir, &shards);
                fs::write(dir.join(name), content).unwrap();
                assert_eq!(scan_one(home.path(), Layout::Any).len(), 1, "{name} at {at}");
            }
        }
    }
}
