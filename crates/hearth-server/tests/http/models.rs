//! Loading and unloading over HTTP, and what is told of it.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use hearth_core::{Error, model::KeepAlive};
use hearth_engine::{EngineOptions, WorkerState, fake::FakeRunner};
use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup, saying, until};

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn post(server: &Server, path: &str, body: &Value) -> Answer {
    server.send("POST", path, &[JSON], &body.to_string()).await
}

/// The states of both models, as two routes tell them.
async fn states(server: &Server) -> [Value; 4] {
    let status = server.get("/v1/models/status").await.json();
    let list = server.get("/models").await.json();
    let of = |at: usize| [status["data"][at]["state"].clone(), list["data"][at]["status"]["value"].clone()];
    let ([a, b], [c, d]) = (of(0), of(1));
    [a, b, c, d]
}

/// A model whose steps wait until the sender is dropped.
async fn gated() -> (Server, Sender<()>) {
    let (open, gate) = channel();
    let gate = Arc::new(Mutex::new(gate));
    let runner = move || {
        let gate = Arc::clone(&gate);
        FakeRunner::saying("hi").before_step(move |_, _| {
            let _ = gate.lock().expect("no test panics with it").recv();
            Ok(())
        })
    };
    (Setup::new(runner).start().await, open)
}

#[tokio::test]
async fn models_are_loaded_and_unloaded_by_name() {
    let server = saying("hi").await;
    assert_eq!(states(&server).await, ["unloaded", "unloaded", "unloaded", "unloaded"]);
    for (path, expected) in [
        ("/v1/models/load", ["unloaded", "unloaded", "ready", "loaded"]),
        ("/models/load", ["unloaded", "unloaded", "ready", "loaded"]),
        ("/v1/models/unload", ["unloaded"; 4]),
        ("/models/unload", ["unloaded"; 4]),
    ] {
        let answer = post(&server, path, &json!({ "model": "org/Other-Model" })).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "success": true, "model": "other-model" })), "{path}");
        assert_eq!(states(&server).await, expected, "{path}");
    }
    for path in ["/v1/models/load", "/v1/models/unload"] {
        for (body, status, param) in [
            (json!({}), 400, "model"),
            (json!({ "model": "none" }), 404, "model"),
            (json!({ "model": "test-model", "keep_alive": "soon", "force": 1 }), 400, "keep_alive"),
        ] {
            let answer = post(&server, path, &body).await;
            assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
            let param = if path.ends_with("unload") && param == "keep_alive" { "force" } else { param };
            assert_eq!(answer.json()["error"]["param"], param, "{path} {body}");
        }
    }
    assert_eq!(states(&server).await, ["unloaded"; 4]);
}

#[tokio::test]
async fn a_load_may_be_watched() {
    let server = saying("hi").await;
    let answer = post(&server, "/v1/models/load", &json!({ "model": "test-model", "stream": true })).await;
    let events = answer.events();
    let (last, rest) = events.split_last().expect("events");
    assert_eq!(*last, "[DONE]");
    let rest: Vec<Value> = rest.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    let (done, steps) = rest.split_last().expect("an end");
    assert_eq!(*done, json!({ "success": true, "model": "test-model" }));
    assert!(steps.iter().all(|step| step["status"] == "loading" && step["model"] == "test-model"), "{steps:?}");
    assert_eq!(server.engine.status()[0].worker, WorkerState::Ready);

    let failing = Setup::loading(|| Err(Error::model_load("No weights."))).start().await;
    let answer = post(&failing, "/v1/models/load", &json!({ "model": "test-model", "stream": true })).await;
    assert!(answer.events().last().is_some_and(|event| event.contains("No weights.")), "{answer:?}");
    let answer = post(&failing, "/v1/models/load", &json!({ "model": "test-model" })).await;
    assert_eq!((answer.status, answer.error().as_str()), (500, "No weights."));
}

#[tokio::test]
async fn a_model_that_answers_is_unloaded_by_force_alone() {
    let (server, _gate) = gated().await;
    let mut asked = server.ask(r#"{"messages":[{"role":"user","content":"Hi"}]}"#).await;
    until(|| server.engine.status()[0].running == 1, "a running request").await;
    let status = server.get("/v1/models/status").await.json();
    assert_eq!((&status["data"][0]["state"], &status["data"][0]["running"]), (&json!("answering"), &json!(1)));
    let answer = post(&server, "/v1/models/unload", &json!({ "model": "test-model" })).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (409, &json!("model_busy")), "{answer:?}");
    drop(_gate);
    assert_eq!(Answer::read(&mut asked).await.status, 200);
    let answer = post(&server, "/v1/models/unload", &json!({ "model": "test-model", "force": true })).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_status_says_what_is_held_and_for_how_long() {
    let keep_alive = KeepAlive::For(Duration::from_secs(60));
    let runner = || FakeRunner::saying("hi").with_memory(1000, 1 << 30);
    let setup = Setup { engine: EngineOptions { keep_alive, ..EngineOptions::default() }, ..Setup::new(runner) };
    let server = setup.start().await;
    let card = async || server.get("/v1/models/status").await.json()["data"][0].clone();
    let before = card().await;
    assert_eq!(
        (&before["last_used"], &before["unloads_in"], &before["pid"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    server.chat(r#"{"messages":[{"role":"user","content":"Hi"}]}"#).await;
    until(|| server.engine.status()[0].memory.kept > 0, "a kept cache").await;
    let after = card().await;
    assert_eq!((&after["memory"]["weights"], &after["memory"]["running"]), (&json!(1000), &json!(0)), "{after}");
    assert!(after["unloads_in"].as_f64().is_some_and(|left| left > 1.0 && left <= 60.0), "{after}");
    assert!(after["last_used"].as_u64() > Some(1_700_000_000), "{after}");
    let keep = json!({ "model": "test-model", "keep_alive": -1 });
    post(&server, "/v1/models/load", &keep).await;
    assert_eq!(card().await["unloads_in"], Value::Null);
}

#[tokio::test]
async fn pages_of_other_sites_and_strangers_load_nothing() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.server.api_key = Some("key".into());
    let server = setup.start().await;
    for path in ["/v1/models/load", "/v1/models/unload", "/models/load", "/models/unload"] {
        let body = r#"{"model":"test-model"}"#;
        assert_eq!(server.send("POST", path, &[JSON], body).await.status, 401, "{path}");
        let headers = [JSON, ("Authorization", "Bearer key"), ("Origin", "https://evil.example")];
        assert_eq!(server.send("POST", path, &headers, body).await.status, 403, "{path}");
    }
    assert_eq!(server.get("/v1/models/status").await.status, 401);
    assert_eq!(server.engine.status()[0].worker, WorkerState::Stopped);
}
