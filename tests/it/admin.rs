//! The management API of the real program: its token, what it refuses, and a download that outlives its server.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use hearth_test_hub::{Fault, File, Kind, Repo, TestHub};
use hearth_tests::process::Signal;
use hearth_tests::{Answer, Server, http, models};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const REPO: &str = "mlx-community/Ember-8bit";

/// A server with its data in `home`.
fn start(home: &Path, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Server {
    Server::start_with(arguments, |command| {
        command.env("HEARTH_HOME", home).env("HF_HOME", home.join("hf"));
        change(command);
    })
}

fn server_file(home: &Path) -> Value {
    serde_json::from_slice(&fs::read(home.join("server.json")).unwrap()).unwrap()
}

fn get(home: &Path, path: &str) -> Answer {
    let file = server_file(home);
    let (url, token) = (file["url"].as_str().unwrap(), file["token"].as_str().unwrap());
    http::get(&format!("{url}/admin/v1{path}"), &[("authorization", &format!("Bearer {token}"))])
}

fn post(home: &Path, path: &str, body: &Value) -> Answer {
    let file = server_file(home);
    let (url, token) = (file["url"].as_str().unwrap(), file["token"].as_str().unwrap());
    let headers = [JSON, ("authorization", &format!("Bearer {token}"))];
    http::post(&format!("{url}/admin/v1{path}"), &headers, body.to_string())
}

#[test]
fn the_token_lies_in_a_file_of_the_users_own_and_stays_when_the_server_starts_anew() {
    let home = tempfile::tempdir().unwrap();
    let mut server = start(home.path(), &["--api-key", "secret"], |_| {});
    let path = home.path().join("server.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = server_file(home.path());
    assert_eq!((file["pid"].as_u64(), file["url"].as_str()), (Some(server.pid().into()), Some(server.base())));
    assert_eq!(file["token"].as_str().unwrap().len(), 64);
    let status = get(home.path(), "/status").json();
    assert_eq!((&status["models"][0]["id"], &status["models"][0]["state"]), (&json!("ember"), &json!("ready")));
    assert!(status["memory"]["limit"].as_u64() > Some(0) && status["memory"]["used"].as_u64() > Some(0), "{status}");
    let ember = get(home.path(), "/models/ember").json();
    assert!(ember["builtin"] == true && ember["default"] == true && ember["loaded"]["state"] == "ready", "{ember}");
    assert!(ember["fit"]["weights"].as_u64() > Some(0), "{ember}");
    let lines = get(home.path(), "/logs").json();
    assert!(lines["lines"].to_string().contains("listening on"), "{lines}");
    let key = [("authorization", "Bearer secret")];
    let refused = http::get(&format!("{}/admin/v1/status", server.base()), &key);
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (401, Some("invalid_token")));
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
    assert!(!path.exists());
    start(home.path(), &[], |_| {});
    assert_eq!(server_file(home.path())["token"], file["token"]);
}

/// The address under which this machine is known to others, where it has one. Nothing is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

#[test]
fn a_server_for_all_is_managed_from_this_machine_alone() {
    let home = tempfile::tempdir().unwrap();
    let server = start(home.path(), &["--host", "0.0.0.0", "--allow-unauthenticated"], |_| {});
    assert_eq!(get(home.path(), "/status").status, 200);
    let Some(address) = own_address() else { return };
    let port = server.address().rsplit_once(':').unwrap().1;
    let token = format!("Bearer {}", server_file(home.path())["token"].as_str().unwrap());
    let headers = [("authorization", token.as_str())];
    assert_eq!(http::get(&format!("http://{address}:{port}/v1/models"), &headers).status, 200);
    let refused = http::get(&format!("http://{address}:{port}/admin/v1/status"), &headers);
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (403, Some("loopback_only")));
}

/// Ember's files as a repository.
fn repo() -> Repo {
    let files = fs::read_dir(models::ember()).unwrap().flatten().filter(|entry| entry.path().is_file());
    let file = |entry: fs::DirEntry| File::new(entry.file_name().to_string_lossy(), fs::read(entry.path()).unwrap());
    Repo::new(REPO, files.map(file).collect())
}

#[test]
fn a_download_goes_on_after_a_kill_and_its_model_answers() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hub = runtime.block_on(TestHub::start(vec![repo()])).unwrap();
    hub.fault(Fault::once("/cdn/", Kind::StallAfter(100_000)));
    let home = tempfile::tempdir().unwrap();
    let at_hub = |command: &mut Command| _ = command.env("HF_ENDPOINT", hub.url());
    let mut server = start(home.path(), &[], at_hub);
    let created = post(home.path(), "/downloads", &json!({ "repo": REPO }));
    assert_eq!(created.status, 202, "{created:?}");
    let path = format!("/downloads/{}", created.json()["id"]);
    while get(home.path(), &path).json()["bytes"].as_u64() < Some(100_000) {}
    let partial = server.chat(&json!({"model": "ember-8bit", "messages": [{"role": "user", "content": "Hi"}]}));
    assert_eq!(partial.status, 404, "{partial:?}");
    server.signal(Signal::KILL);
    server.wait();

    let server = start(home.path(), &[], at_hub);
    let download = loop {
        let download = get(home.path(), &path).json();
        assert!(download["state"] != "failed", "{download}");
        if download["state"] == "done" {
            break download;
        }
    };
    assert_eq!(download["bytes"], download["total"]);
    let fetched = hub.bytes_sent("model.safetensors");
    let whole = fs::metadata(models::ember().join("model.safetensors")).unwrap().len();
    assert!(fetched < whole + 1000, "{fetched} of {whole}");
    // It is offered a moment later, without a restart.
    while server.get("/v1/models/ember-8bit").status != 200 {}
    let question = json!([{"role": "user", "content": "Hi"}]);
    let answer = server.chat(&json!({"model": "ember-8bit", "max_tokens": 5, "messages": question}));
    assert_eq!(answer.status, 200, "{answer:?}");
    let model = get(home.path(), "/models/ember-8bit").json();
    assert_eq!((&model["source"], &model["loaded"]["state"]), (&json!(REPO), &json!("ready")));
}

fn ids(server: &Server) -> Vec<String> {
    let models = server.get("/v1/models").json();
    models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn all_models_on_the_machine_are_served_those_that_were_named_first() {
    let home = tempfile::tempdir().unwrap();
    let owner = home.path().join("models/owner");
    fs::create_dir_all(&owner).unwrap();
    let [little, late] = ["Little", "Late"].map(models::Copy::of_ember);
    fs::rename(little.dir(), owner.join("Little")).unwrap();
    let server = start(home.path(), &["LITTLE"], |_| {});
    assert_eq!(ids(&server), ["little", "ember"]);
    let answer = server.chat(&json!({"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}));
    assert_eq!(answer.json()["model"], "little", "{answer:?}");
    // One that comes while the server runs.
    fs::rename(late.dir(), owner.join("Late")).unwrap();
    while ids(&server).len() < 3 {}
    assert_eq!(ids(&server), ["little", "ember", "late"]);
    let mut second = start(home.path(), &[owner.join("Late").to_str().unwrap()], |_| {});
    assert_eq!(ids(&second), ["late", "ember", "little"]);
    assert_eq!(server_file(home.path())["url"], second.base());
    second.signal(Signal::TERM);
    assert!(second.wait().0.success());
}
