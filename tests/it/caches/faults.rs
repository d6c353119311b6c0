//! What happens to files: damage, other models' under the right name, no room, a process that dies while it writes. The
//! answers stay right, and the log says what was done.

use std::fs;
use std::path::{Path, PathBuf};

use hearth_tests::models::random;
use hearth_tests::process::{self, Signal};
use serde_json::Value;

use super::{bytes_under, cache, greedy, matched, message, restart, serve};

/// Conversations that leave something to find.
fn conversations() -> Vec<Vec<Value>> {
    (0..6).map(|at| vec![message("user", format!("conversation {at} {}", "abc ".repeat(30 + at)))]).collect()
}

pub(super) fn cache_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(cache_files(&path));
        } else if path.extension().is_some_and(|end| end == "safetensors") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Spoils one of the files, given all of them.
type Spoil = fn(&[PathBuf]);

#[test]
fn a_spoiled_file_is_dropped_and_the_answer_is_right() {
    let cases: [(&str, Spoil); 5] = [
        ("cut short", |files| {
            let file = fs::File::options().write(true).open(&files[0]).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("a byte changed near its end", |files| {
            let mut bytes = fs::read(&files[0]).unwrap();
            let at = bytes.len() - 100;
            bytes[at] ^= 1;
            fs::write(&files[0], bytes).unwrap();
        }),
        ("empty", |files| fs::write(&files[0], "").unwrap()),
        ("not what its name says", |files| fs::write(&files[0], fs::read(&files[1]).unwrap()).map(drop).unwrap()),
        ("gone", |files| fs::remove_file(&files[0]).unwrap()),
    ];
    let model = random("llama-f32");
    for (name, spoil) in cases {
        let folder = tempfile::tempdir().unwrap();
        let start = || serve(model.path(), &["--cache-dir", folder.path().to_str().unwrap()]);
        let server = start();
        let answers: Vec<Value> =
            conversations().iter().map(|messages| server.chat(&greedy(messages)).message()).collect();
        // Once while nobody looks, and once behind a server's back.
        let mut server = restart(server, || {
            let files = cache_files(folder.path());
            assert_eq!(files.len(), answers.len(), "{name}");
            spoil(&files);
            start()
        });
        // From the other end: the first may just be on its way out.
        let mut files = cache_files(folder.path());
        files.reverse();
        spoil(&files);
        let (mut found, mut disk) = (0, 0);
        for (messages, answer) in conversations().iter().zip(&answers) {
            let again = server.chat(&greedy(messages));
            assert_eq!(&again.message(), answer, "{name}");
            // All but the last token: a part of it may come from another conversation's file.
            let again = again.json();
            found += usize::from(matched(&again) + 1 == again["usage"]["prompt_tokens"].as_u64().unwrap());
            disk += usize::from(cache(&again)["source"] == "disk");
        }
        assert_eq!(found, answers.len() - 2, "{name}");
        assert!(disk > 0, "{name}: and all in memory, after a restart");
        server.signal(Signal::TERM);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{name}: {log}");
        assert_eq!(log.contains("so it is deleted"), name != "gone", "{name}: {log}");
    }
}

#[test]
fn another_models_files_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let start = |model: &str| serve(model, &["--cache-dir", folder.path().to_str().unwrap()]);
    let (llama, other) = (random("llama-f32"), random("mistral-f32"));
    let conversation = &conversations()[0];
    let server = start(llama.path());
    let answer = server.chat(&greedy(conversation)).message();
    let server = restart(server, || start(other.path()));
    let found = server.chat(&greedy(conversation)).json();
    assert_eq!(cache(&found)["source"], "none", "{found}");
    let server = restart(server, || start(llama.path()));
    let found = server.chat(&greedy(conversation)).json();
    assert_eq!((&cache(&found)["source"], &found["choices"][0]["message"]), (&"disk".into(), &answer), "{found}");
}

#[test]
fn a_worker_that_dies_while_it_writes_leaves_no_harm() {
    let model = random("llama-f32");
    let folder = tempfile::tempdir().unwrap();
    let cap: u64 = 1 << 20;
    let disk = cap.to_string();
    let arguments = ["--cache-memory", "256K", "--cache-disk", &disk, "--cache-dir", folder.path().to_str().unwrap()];
    let reference = serve(model.path(), &["--cache-memory", "0"]);
    let mut server = serve(model.path(), &arguments);
    for round in 0..8 {
        for at in 0..12 {
            let messages = [message("user", format!("round {round} {at} {}", "x".repeat(100 + at)))];
            server.chat(&greedy(&messages)).message();
        }
        // Evictions are being written about now.
        process::signal(server.worker(), Signal::KILL);
        assert!(bytes_under(folder.path()) <= cap, "round {round}: the cap is passed after a crash");
        let messages = [message("user", format!("round {round} 3 {}", "x".repeat(103)))];
        assert_eq!(server.chat(&greedy(&messages)).message(), reference.chat(&greedy(&messages)).message());
        assert!(bytes_under(folder.path()) <= cap, "round {round}: the cap is passed");
        if round % 2 == 1 {
            // Three deaths within a minute make the server wait before it starts another worker.
            server = restart(server, || serve(model.path(), &arguments));
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_costs_only_the_cache() {
    let model = random("llama-f32");
    let folder = tempfile::tempdir().unwrap();
    // A file stands where the folder should be: not even root can write there.
    let blocked = folder.path().join("cache");
    fs::write(&blocked, "in the way").unwrap();
    let arguments = ["--cache-memory", "128K", "--cache-dir", blocked.to_str().unwrap()];
    let mut server = serve(model.path(), &arguments);
    for messages in conversations() {
        server.chat(&greedy(&messages)).message();
    }
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let told = log.lines().filter(|line| line.contains(blocked.to_str().unwrap())).count();
    assert!(told >= 1, "the log names the folder: {log}");
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let model = random("llama-f32");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cache");
    let mut server = serve(model.path(), &["--cache-dir", dir.to_str().unwrap()]);
    let mut body = greedy(&[message("user", "a secret of mine, ".repeat(8))]);
    body["session_id"] = "../../name/with/dots".into();
    server.chat(&body).message();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0.code(), Some(0));
    let mut files = 0;
    let mut folders = vec![dir];
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{folder:?}");
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{entry:?}");
        }
    }
    assert!(files >= 2, "a cache and a session");
    assert!(!folder.path().parent().unwrap().join("name").exists());
}
