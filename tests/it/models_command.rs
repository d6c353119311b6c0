//! `hearth list`, `show`, `rm`, `rename` and `search`, by themselves and with a server, and `ps`, `stop` and `status`.

use hearth_test_hub::{Fault, Kind};
use hearth_tests::Server;
use hearth_tests::hub::{Downloads, ember_as};
use hearth_tests::process::Signal;
use serde_json::{Value, json};

const REPO: &str = "tests/Little-Ember";

/// The answer to `hearth ARGUMENTS --json`.
fn json(world: &Downloads, arguments: &[&str]) -> Value {
    let (code, out, aside) = world.run(&[arguments, &["--json"]].concat());
    assert_eq!((code, aside.as_str()), (Some(0), ""), "{arguments:?}: {out}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn names(world: &Downloads) -> Vec<String> {
    let list = json(world, &["list"]);
    list["models"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

/// Runs what must succeed, and returns what it says.
fn said(world: &Downloads, arguments: &[&str]) -> String {
    let (code, out, aside) = world.run(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {aside}");
    out
}

/// Runs what must fail, and returns why.
fn refused(world: &Downloads, arguments: &[&str]) -> String {
    let (code, out, aside) = world.run(arguments);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}: {aside}");
    aside
}

/// The same with and without a server.
fn a_models_life(world: &Downloads) {
    said(world, &["pull", REPO]);
    assert_eq!(names(world), ["ember", "little-ember"]);
    let list = said(world, &["list"]);
    assert!(list.lines().all(|line| line.chars().count() <= 80) && list.contains("\nlittle-ember "), "{list}");
    let show = said(world, &["show", "LITTLE-ember"]);
    for part in
        ["Repository    tests/Little-Ember\n", "State         ready\n", "Fit           It ", "\nmodel.safetensors "]
    {
        assert!(show.contains(part), "{show}");
    }
    assert_eq!(json(world, &["show", REPO])["id"], "little-ember");

    let clash = refused(world, &["rename", "little-ember", "Ember"]);
    assert!(clash.contains("`ember` belongs to ember already"), "{clash}");
    assert!(refused(world, &["rename", "little-ember", "a/b"]).contains("cannot be called `a/b`"));
    assert!(said(world, &["rename", "little-ember", "My Pet"]).contains("clients send `my-pet`"));
    assert_eq!(names(world), ["ember", "my-pet"]);

    assert!(refused(world, &["rm", "my-pet"]).contains("say `hearth rm my-pet --yes`"));
    assert!(refused(world, &["rm", "ember", "--yes"]).contains("cannot be removed"));
    assert!(refused(world, &["rm", "my-cat", "--yes"]).contains("here is no model `my-cat`"));
    let bytes = json(world, &["show", "my-pet"])["bytes"].as_u64().unwrap();
    let removed = json(world, &["rm", "my-pet", "--yes"]);
    // The reference to the commit goes too.
    assert_eq!((&removed["id"], removed["freed_bytes"].as_u64()), (&"my-pet".into(), Some(bytes + 40)));
    assert_eq!(names(world), ["ember"]);

    assert!(said(world, &["search", "little"]).contains("\ntests/Little-Ember "));
    assert!(said(world, &["search", "no", "such"]).starts_with("Nothing was found"));
    assert_eq!(json(world, &["search", "ember", "--author", "nobody"]), json!({"models": []}));
    world.hub.fault(Fault::once("GET /api/models", Kind::Status(404, vec![])));
    assert!(refused(world, &["search", "little"]).contains("status 404"));
}

#[test]
fn models_are_looked_after_without_a_server() {
    a_models_life(&Downloads::from(vec![ember_as(REPO)]));
}

#[test]
fn models_are_looked_after_by_the_server_that_runs() {
    let world = Downloads::from(vec![ember_as(REPO)]);
    let server = Server::start_with(&[], |command| world.set(command));
    a_models_life(&world);

    let ps = said(&world, &["ps"]);
    assert!(ps.starts_with("NAME ") && ps.contains("\nember  ready "), "{ps}");
    assert_eq!(json(&world, &["ps"])["models"][0]["state"], "ready");
    assert!(refused(&world, &["stop", "embr"]).contains("embr"));
    assert_eq!(said(&world, &["stop", "ember"]), "ember is unloaded; the next request for it loads it again.\n");
    assert!(said(&world, &["ps"]).starts_with("No model is loaded"));
    let status = said(&world, &["status"]);
    assert!(status.starts_with(&format!("Server    {} (hearth ", server.base())), "{status}");
    assert_eq!(json(&world, &["status"])["pid"], server.pid());
    drop(server);
    assert!(refused(&world, &["status"]).contains("no server is running"), "it was killed, and its file is stale");
}

#[test]
fn behind_a_server_that_hangs_nothing_is_changed() {
    let world = Downloads::from(vec![ember_as(REPO)]);
    said(&world, &["pull", REPO]);
    let server = Server::start_with(&[], |command| world.set(command));
    server.signal(Signal::STOP);
    let culprit = format!("ERROR: the server that runs (process {}) does not answer: ", server.pid());
    for arguments in [&["rm", "little-ember", "--yes"][..], &["rename", "little-ember", "pet"], &["status"]] {
        assert!(refused(&world, arguments).starts_with(&culprit), "{arguments:?}");
    }
    assert_eq!(names(&world), ["ember", "little-ember"]);
    server.signal(Signal::CONT);
    assert!(said(&world, &["rm", "little-ember", "--yes", "--force"]).starts_with("Removed little-ember, "));
}

#[test]
fn a_running_server_serves_what_is_downloaded() {
    let world = Downloads::from(vec![ember_as(REPO)]);
    let server = Server::start_with(&["--api-key", "secret"], |command| world.set(command));
    said(&world, &["pull", REPO]);
    let url = format!("{}/v1/models", server.base());
    let models = hearth_tests::http::get(&url, &[("authorization", "Bearer secret")]).json();
    assert!(models["data"].as_array().unwrap().iter().any(|card| card["id"] == "little-ember"), "{models}");
    assert!(said(&world, &["stop", "ember"]).contains("is unloaded"), "the API key is not the command line's matter");
}
