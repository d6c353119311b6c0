//! `hearth cache`: what it lists of what a server has left, and what it removes.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use hearth_tests::models::random;
use hearth_tests::process::Signal;
use hearth_tests::{Server, hearth};
use serde_json::{Value, json};

/// Runs `hearth cache` with nobody to ask.
fn cache(home: &Path, arguments: &[&str]) -> Output {
    hearth(home).arg("cache").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn listed(home: &Path, dir: &str) -> Value {
    serde_json::from_slice(&cache(home, &["--json", "--cache-dir", dir, "--cache-disk", "2G"]).stdout).unwrap()
}

/// Lets a server answer twice, once in a session, and end.
fn fill(dir: &str) {
    let model = random("llama-f32");
    let mut server = Server::start(&[model.path(), "--cache-dir", dir]);
    // So long that neither gives way to the other.
    let say = |text: &str| json!({"messages": [{"role": "user", "content": text.repeat(10)}], "max_tokens": 8});
    server.chat(&say("by itself")).message();
    let mut turn = say("in a session");
    turn["session_id"] = "tea".into();
    server.chat(&turn).message();
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

/// Names of all files under `dir`.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let names = |entry: fs::DirEntry| match entry.path() {
        path if path.is_dir() => files(&path),
        path => vec![path.file_name().unwrap().to_str().unwrap().to_owned()],
    };
    entries.flat_map(names).collect()
}

#[test]
fn what_a_server_keeps_is_listed_and_removed_when_somebody_says_so() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("elsewhere");
    let dir = folder.to_str().unwrap();
    assert!(said(&cache(home.path(), &[])).contains("Nothing is kept yet"));
    fill(dir);

    let json = listed(home.path(), dir);
    let model = &json["models"][0];
    assert_eq!((&model["model"], &model["files"]), (&"llama-f32".into(), &2.into()), "{json}");
    assert!(model["tokens"].as_u64() > Some(200) && model["bytes"].as_u64() > Some(1000), "{json}");
    assert_eq!((&json["sessions"]["files"], &json["others"]["files"]), (&1.into(), &0.into()), "{json}");
    let table = said(&cache(home.path(), &["--cache-dir", dir, "--cache-disk", "2G"]));
    assert!(table.contains("llama-f32") && table.contains("sessions") && table.contains("of 2.0 GB"), "{table}");

    let refused = cache(home.path(), &["clear", "--cache-dir", dir]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("hearth cache clear --yes"), "{}", said(&refused));
    assert_eq!(listed(home.path(), dir), json, "nobody was asked, nothing is gone");

    let cleared = cache(home.path(), &["clear", "--yes", "--cache-dir", dir]);
    assert!(cleared.status.success());
    let bytes = json["bytes"].as_u64().unwrap();
    let size = format!("Removed 3 files, {:.1} KB freed", bytes as f64 / 1024.0);
    assert!(said(&cleared).contains(&size), "{} of {bytes}", said(&cleared));
    assert_eq!((&listed(home.path(), dir)["bytes"], files(&folder)), (&0.into(), vec!["lock".to_owned()]));
}

#[test]
fn the_folder_is_the_servers_however_it_was_named() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("elsewhere");
    fs::create_dir_all(dir.join("sessions")).unwrap();
    fs::write(dir.join("sessions/a.json"), "{}").unwrap();
    let file = home.path().join("hearth.toml");
    fs::write(&file, format!("cache-dir = {dir:?}")).unwrap();
    for arguments in [["--cache-dir", dir.to_str().unwrap()], ["--config", file.to_str().unwrap()]] {
        assert!(said(&cache(home.path(), &arguments)).contains("sessions"), "{arguments:?}");
    }
    let variable = hearth(home.path()).arg("cache").env("HEARTH_CACHE_DIR", &dir).output().unwrap();
    assert!(said(&variable).contains("sessions"));
}
