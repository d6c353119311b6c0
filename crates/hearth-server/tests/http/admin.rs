//! The management API: who may use it, and what it does to models, downloads and settings.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use hearth_engine::{Engine, fake, fake::FakeRunner};
use hearth_hub::{
    download::DownloadOptions,
    fit::Machine,
    registry::HubOptions,
    retry::Patience,
    scan::{Layout, Root},
};
use hearth_server::{
    admin::{Admin, AdminOptions, CacheFolder, LogTail, Running, Source},
    library::{Builtin, Library, LibraryOptions},
};
use hearth_test_hub::{File, Repo, TestHub};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    task::JoinHandle,
    time::timeout,
};

use crate::support::{Answer, Server, Setup, request, until};

pub(crate) const TOKEN: &str = "0123456789abcdef";
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
const REPO: &str = "mlx-community/Tiny-4bit";

/// A folder that the scan finds sound and the fake runner can play.
fn write(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fake::write_model(dir).unwrap();
    fs::write(dir.join("config.json"), r#"{"model_type": "fake"}"#).unwrap();
    let header = br#"{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
    fs::write(dir.join("model.safetensors"), [&(header.len() as u64).to_le_bytes()[..], header, b"1234"].concat())
        .unwrap();
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) admin: Admin,
    running: JoinHandle<()>,
    logs: LogTail,
    pub(crate) home: TempDir,
    _hub: TestHub,
}

impl World {
    /// A server with Ember and `one`, whose answers wait where there is a gate.
    pub(crate) async fn new(gate: Option<mpsc::Receiver<()>>) -> Self {
        Self::start(gate, Some("key")).await
    }

    pub(crate) async fn start(gate: Option<mpsc::Receiver<()>>, key: Option<&str>) -> Self {
        let gate = gate.map(|gate| Arc::new(Mutex::new(gate)));
        let runner = move || {
            let gate = gate.clone();
            FakeRunner::saying("hi").before_step(move |_, _| {
                if let Some(gate) = &gate {
                    let _ = gate.lock().unwrap().recv();
                }
                Ok(())
            })
        };
        Self::running(Setup::new(runner), key).await
    }

    /// A server with Ember and `one`, which run as `setup` says.
    pub(crate) async fn running(mut setup: Setup, key: Option<&str>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (ember, own) = (home.path().join("models/ember-1"), home.path().join("models"));
        write(&ember);
        write(&own.join("owner/one"));
        let model = home.path().join("repo");
        write(&model);
        let files = fs::read_dir(&model)
            .unwrap()
            .flatten()
            .map(|entry| File::new(entry.file_name().to_string_lossy(), fs::read(entry.path()).unwrap()));
        let hub = TestHub::start(vec![Repo::new(REPO, files.collect())]).await.unwrap();
        let library = Library::open(options(home.path(), &hub, ember, own)).await.unwrap();
        library.scan().await.unwrap();
        let logs = LogTail::default();
        let admin = Admin::new(AdminOptions {
            library,
            named: Vec::new(),
            token: TOKEN.into(),
            url: "http://127.0.0.1:1".into(),
            logs: logs.clone(),
            memory_limit: 8 << 30,
            running: running(key.is_some()),
        });
        setup.server.admin = Some(admin.clone());
        setup.server.api_key = key.map(str::to_owned);
        setup.server.cors_origins = vec!["*".into()];
        let server = setup.start().await;
        server.engine.offer(admin.specs().await.unwrap());
        let running = tokio::spawn(run(admin.clone(), server.engine.clone()));
        Self { server, admin, running, logs, home, _hub: hub }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [JSON, ("Authorization", authorization.as_str())];
        self.server.send(method, &format!("/admin/v1{path}"), &headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// The ids that clients see.
    async fn offered(&self) -> Vec<String> {
        let models = self.server.send("GET", "/v1/models", &[("Authorization", "Bearer key")], "").await.json();
        models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn chat(&self, model: &str) -> tokio::net::TcpStream {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] }).to_string();
        let host = format!("127.0.0.1:{}", self.server.port);
        let headers = [JSON, ("Host", host.as_str()), ("Authorization", "Bearer key")];
        let mut stream = self.server.connect().await;
        stream.write_all(request("POST", "/v1/chat/completions", &headers, &body).as_bytes()).await.unwrap();
        stream
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn run(admin: Admin, engine: Engine) {
    admin.run(&engine).await;
}

/// A server that was started with a port, and with settings that have changed since or not.
fn running(has_key: bool) -> Running {
    let in_force = json!({"port": 1, "network": false, "memory": 8_u64 << 30, "cache_disk": 100, "idle_timeout": 600});
    let from = [("port", Source::Flag), ("network", Source::Default), ("memory", Source::Default)];
    let from = from.into_iter().chain([("cache_disk", Source::Setting), ("idle_timeout", Source::Default)]);
    Running {
        in_force: in_force.as_object().unwrap().clone(),
        from: from.collect(),
        has_key,
        key_hash: None,
        cache: Some(CacheFolder { dir: "/caches".into(), limit: 100, used: |_| 7 }),
    }
}

fn options(home: &Path, hub: &TestHub, ember: PathBuf, own: PathBuf) -> LibraryOptions {
    let cache = home.join("hub");
    let patience = Patience {
        retries: 0,
        first_wait: Duration::from_millis(1),
        longest_asked: Duration::from_secs(600),
        stall: Duration::from_secs(20),
    };
    LibraryOptions {
        data_dir: home.to_path_buf(),
        hub: HubOptions { patience, ..HubOptions::new(hub.url(), &cache) },
        roots: vec![Root::new(own, Layout::Repositories), Root::new(cache, Layout::HubCache)],
        builtin: Builtin { source: "ember".into(), name: "Ember".into(), dir: ember },
        known: vec!["fake".into(), "llama".into()],
        machine: Machine { chip: None, limit: 8 << 30, bandwidth: Some(1e11), gpu: false },
        downloads: DownloadOptions { reserve: 0, ..DownloadOptions::default() },
    }
}

pub(crate) fn code(answer: &Answer) -> (u16, String) {
    answer.error();
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn only_the_token_opens_it_and_no_page_of_another_site() {
    let world = World::new(None).await;
    let token = format!("Bearer {TOKEN}");
    let token = ("Authorization", token.as_str());
    let evil = ("Origin", "https://evil.example");
    let no_header: &[(&str, &str)] = &[];
    for (headers, expected) in [
        (no_header, (401, "invalid_token")),
        (&[("Authorization", "Bearer key")], (401, "invalid_token")),
        (&[("Authorization", "Bearer 0123456789abcdeX")], (401, "invalid_token")),
        (&[("x-api-key", TOKEN)], (401, "invalid_token")),
        (&[token, evil], (403, "origin_not_allowed")),
        (&[token, ("Sec-Fetch-Site", "cross-site")], (403, "origin_not_allowed")),
    ] {
        let answer = world.server.send("GET", "/admin/v1/status", headers, "").await;
        assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let preflight = [evil, ("Access-Control-Request-Method", "GET")];
    let answer = world.server.send("OPTIONS", "/admin/v1/status", &preflight, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
    let answer = world.server.send("GET", "/admin/v1/status", &[token], "").await;
    assert_eq!((answer.status, answer.json()["pid"].as_u64()), (200, Some(u64::from(std::process::id()))));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // What the API key opens, it opens too; and it is no API key.
    assert_eq!(world.server.send("GET", "/v1/models", &[token], "").await.status, 200);
    assert_eq!(world.server.send("GET", "/v1/models", &[("x-api-key", TOKEN)], "").await.status, 401);
    let answer = world.server.send("PATCH", "/admin/v1/settings", &[token], "{}").await;
    assert_eq!(answer.status, 415, "{answer:?}");
}

#[tokio::test]
async fn there_is_none_where_nobody_set_it_up() {
    let server = crate::support::saying("hi").await;
    assert_eq!(server.get("/admin/v1/status").await.status, 404);
}

#[tokio::test]
async fn a_model_is_renamed_pinned_and_set_up_for_clients_at_once() {
    let world = World::new(None).await;
    assert_eq!(world.offered().await, ["ember", "one"]);
    let change = json!({"name": "My One", "pinned": true, "aliases": ["gpt-4o"], "settings": {"temperature": 0}});
    let answer = world.ask("PATCH", "/models/owner/one", &change.to_string()).await;
    let shown = answer.json();
    assert_eq!((&shown["id"], &shown["name"], &shown["pinned"]), (&json!("my-one"), &json!("My One"), &json!(true)));
    assert_eq!(shown["settings"]["temperature"], 0.0);
    assert_eq!((&shown["loaded"], &shown["state"]), (&Value::Null, &json!({"value": "ready"})));
    assert_eq!(world.offered().await, ["ember", "my-one"]);
    let card = world.server.send("GET", "/v1/models/my-one", &[("Authorization", "Bearer key")], "").await.json();
    assert_eq!(card["display_name"], "My One");
    Answer::read(&mut world.chat("gpt-4o").await).await.json();
    let model = world.get("/models/gpt-4o").await;
    assert_eq!((&model["loaded"]["state"], &model["loaded"]["pinned"]), (&json!("ready"), &json!(true)));
    for (path, body, expected) in [
        ("/models/my-one", r#"{"name": "EMBER"}"#, (409, "name_taken")),
        ("/models/my-one", r#"{"aliases": ["ember"]}"#, (409, "name_taken")),
        ("/models/my-one", r#"{"name": "default"}"#, (400, "invalid_name")),
        ("/models/my-one", r#"{"nmae": "x"}"#, (400, "")),
        ("/models/my-one", r#"{"pinned": "yes"}"#, (400, "")),
        ("/models/my-one", r#"{"settings": {"temperature": 3}}"#, (400, "invalid_setting")),
        ("/models/my-one", r#"{"settings": {"temper": 1}}"#, (400, "unknown_setting")),
        ("/models/my-one", "[]", (400, "")),
        ("/models/none", "{}", (404, "model_not_found")),
    ] {
        let answer = world.ask("PATCH", path, body).await;
        assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{body}");
    }
    let half = r#"{"settings": {"top_k": 5}, "name": "Yours", "pinned": false, "aliases": ["ember"]}"#;
    assert_eq!(world.ask("PATCH", "/models/my-one", half).await.status, 409);
    let model = world.get("/models/my-one").await;
    let (pinned, name, top_k) = (&model["pinned"], &model["name"], &model["settings"]["top_k"]);
    assert_eq!((pinned, name, top_k), (&json!(true), &json!("My One"), &Value::Null), "all or nothing");
    let answer = world.ask("PATCH", "/models/my-one", r#"{"name": "ember"}"#).await;
    assert_eq!(
        answer.error(),
        "The name `ember` belongs to ember already; choose another, or take it from that model first."
    );
}

#[tokio::test]
async fn a_model_that_answers_is_removed_only_by_force() {
    let (open, gate) = mpsc::channel();
    let world = World::new(Some(gate)).await;
    let mut stream = world.chat("one").await;
    world.server.until_open(1).await;
    let folder = world.home.path().join("models/owner/one");
    assert_eq!(code(&world.ask("DELETE", "/models/one", "").await), (409, "model_busy".to_owned()));
    assert!(folder.join("config.json").exists());
    assert_eq!(code(&world.ask("DELETE", "/models/ember?force=true", "").await), (409, "builtin_model".to_owned()));
    let bytes: u64 = fs::read_dir(&folder).unwrap().flatten().map(|file| file.metadata().unwrap().len()).sum();
    let remove = world.ask("DELETE", "/models/one?force=true", "");
    // The step that waits has to end before its worker can.
    let (answer, ()) = tokio::join!(remove, async { drop(open) });
    assert_eq!(answer.json(), json!({"id": "one", "freed_bytes": bytes}));
    assert!(!folder.exists());
    assert_eq!(world.offered().await, ["ember"]);
    let status = Answer::read(&mut stream).await.status;
    assert!([200, 503].contains(&status), "{status}");
    assert_eq!(code(&world.ask("DELETE", "/models/one", "").await), (404, "model_not_found".to_owned()));
}

#[tokio::test]
async fn a_model_that_is_removed_takes_its_sessions_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.engine.sessions.dir = Some(dir.path().into());
    let world = World::running(setup, Some("key")).await;
    let body = json!({ "model": "one", "session_id": "s", "messages": [{ "role": "user", "content": "hi" }] });
    let key = [JSON, ("x-api-key", "key")];
    assert_eq!(world.server.send("POST", "/v1/chat/completions", &key, &body.to_string()).await.status, 200);
    let files = || {
        let folders = fs::read_dir(dir.path()).into_iter().flatten().flatten();
        folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten()).count()
    };
    until(|| files() == 1, "the session's file").await;
    assert_eq!(world.ask("DELETE", "/models/one?force=true", "").await.status, 200);
    until(|| files() == 0, "its end").await;
}

#[tokio::test]
async fn a_model_that_cannot_be_removed_stays_loaded() {
    let world = World::new(None).await;
    Answer::read(&mut world.chat("one").await).await.json();
    fs::write(world.home.path().join("models/owner/one/letter.docx"), "Dear").unwrap();
    assert_eq!(code(&world.ask("DELETE", "/models/one", "").await), (409, "not_removable".to_owned()));
    assert_eq!(world.get("/models/one").await["loaded"]["state"], "ready");
    assert_eq!(world.offered().await, ["ember", "one"]);
}

#[tokio::test]
async fn a_download_is_told_as_it_goes_and_then_served() {
    let world = World::new(None).await;
    let host = format!("127.0.0.1:{}", world.server.port);
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Host", host.as_str()), ("Authorization", authorization.as_str())];
    let mut stream = world.server.connect().await;
    stream.write_all(request("GET", "/admin/v1/events", &headers, "").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = async || {
        let wait = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it goes on");
                if let Some(event) = line.strip_prefix("event: ") {
                    let data = lines.next_line().await.unwrap().unwrap();
                    let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                    return (event.to_owned(), data);
                }
            }
        };
        timeout(Duration::from_secs(20), wait).await.expect("an event in time")
    };
    assert_eq!(next().await, ("models".to_owned(), json!({})));
    assert_eq!(next().await.0, "status");
    let answer = world.ask("POST", "/downloads", &json!({ "repo": REPO }).to_string()).await;
    let (download, id) = (answer.json(), answer.json()["id"].as_i64().unwrap());
    assert_eq!((answer.status, &download["state"], &download["revision"]), (202, &json!("queued"), &json!("main")));
    let mut names = Vec::new();
    let last = loop {
        let (name, data) = next().await;
        names.push(name.clone());
        if name == "download" && data["state"] == "done" {
            break data;
        }
        assert!(data["state"] != "failed", "{data}");
    };
    assert!(names.iter().any(|name| name == "models"), "the list has changed before it is done: {names:?}");
    assert_eq!((&last["id"], &last["bytes"]), (&json!(id), &last["total"]));
    assert_eq!(world.get("/downloads").await["downloads"].as_array().unwrap().len(), 1);
    let model = world.get("/models/tiny-4bit").await;
    assert_eq!((&model["source"], &model["state"]["value"]), (&json!(REPO), &json!("ready")));
    for (method, path, body, expected) in [
        ("POST", format!("/downloads/{id}/pause"), "", (409, "download_ended")),
        ("POST", format!("/downloads/{id}/resume"), "", (409, "download_ended")),
        ("POST", "/downloads/77/pause".to_owned(), "", (404, "download_not_found")),
        ("DELETE", "/downloads/x".to_owned(), "", (404, "download_not_found")),
        ("POST", "/downloads".to_owned(), r#"{"repo": "../x"}"#, (400, "invalid_repo")),
        ("POST", "/downloads".to_owned(), r#"{"repo": 7}"#, (400, "")),
        ("POST", "/downloads".to_owned(), "{}", (400, "")),
        ("GET", "/fit?repo=o/none".to_owned(), "", (404, "repo_not_found")),
        ("GET", "/search?sort=size".to_owned(), "", (400, "")),
        ("GET", "/nothing".to_owned(), "", (404, "unknown_path")),
    ] {
        let answer = world.ask(method, &path, body).await;
        assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{method} {path} {body}");
    }
    assert_eq!(world.ask("DELETE", &format!("/downloads/{id}"), "").await.status, 200);
    loop {
        let (name, data) = next().await;
        if name == "forgotten" {
            break assert_eq!(data, json!({ "id": id }));
        }
    }
    // A stream that stays open does not keep the server from its end.
    world.admin.close();
    while lines.next_line().await.unwrap().is_some() {}
}

#[tokio::test]
async fn settings_status_and_logs_are_shown() {
    let world = World::new(None).await;
    let settings = world.get("/settings").await;
    let three = ["model_folders", "default_model", "hub_endpoint"].map(|name| settings[name].clone());
    assert_eq!(three, [json!([]), Value::Null, Value::Null]);
    let answer = world.ask("PATCH", "/settings", r#"{"default_model": "one"}"#).await;
    assert_eq!(answer.json()["default_model"], "owner/one");
    assert_eq!(world.offered().await, ["one", "ember"]);
    for (body, param) in [(r#"{"model_folders": "/x"}"#, "model_folders"), (r#"{"theme": "dark"}"#, "theme")] {
        let answer = world.ask("PATCH", "/settings", body).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!(param)));
    }
    let status = world.get("/status").await;
    assert_eq!((&status["memory"]["limit"], &status["requests"]["running"]), (&json!(8_u64 << 30), &json!(0)));
    assert!(status["disk"]["free"].as_u64() > Some(0), "{status}");
    std::io::Write::write_all(&mut world.logs.clone(), b"one\ntwo\n").unwrap();
    assert_eq!(world.get("/logs?lines=1").await, json!({"lines": ["two"]}));
    let catalog = world.get("/catalog").await;
    let model = &catalog["models"][0];
    assert!(model["variants"][0]["fit"]["sentence"].is_string() && model["repo"].is_string(), "{model}");
    let found = world.get("/search?q=tiny").await;
    assert_eq!((&found["models"][0]["repo"], &found["models"][0]["installed"]), (&json!(REPO), &json!(false)));
}

#[tokio::test]
async fn uses_are_counted() {
    let world = World::new(None).await;
    for _ in 0..3 {
        assert_eq!(Answer::read(&mut world.chat("one").await).await.status, 200);
    }
    world.admin.count_uses(&world.server.engine).await;
    let model = world.get("/models/one").await;
    assert!(model["uses"] == 3 && model["last_used"].is_i64(), "{model}");
    assert_eq!(world.get("/models/ember").await["uses"], 0);
}
