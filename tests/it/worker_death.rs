//! A worker that dies takes nobody with it: who has read nothing yet is answered by the next worker, who has read a
//! part is told.

use hearth_tests::models::tireless_ember;
use hearth_tests::process::{self, Signal};
use hearth_tests::{Answer, Server};
use serde_json::{Value, json};

fn endless() -> Value {
    json!({
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 90_000,
    })
}

fn short() -> Value {
    json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4})
}

fn assert_answered(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["object"], "chat.completion");
}

#[test]
fn in_the_middle_of_a_stream_the_client_is_told_and_the_next_is_answered() {
    let model = tireless_ember();
    let mut server = Server::start(&[model.path()]);
    let worker = server.worker();
    let mut chunks = server.stream(&endless());
    let first: Vec<Value> = chunks.by_ref().take(3).collect();
    assert!(first.iter().all(|chunk| chunk["choices"].is_array()), "{first:?}");

    process::signal(worker, Signal::KILL);
    let rest: Vec<Value> = chunks.collect();
    let last = rest.last().expect("an error frame");
    let message = last["error"]["message"].as_str().unwrap_or_else(|| panic!("no error frame: {last}"));
    assert!(message.contains("worker") || message.contains("model"), "{message}");

    assert_answered(&server.chat(&short()));
    assert_answered(&server.chat(&short()));
    assert_ne!(server.worker(), worker, "a fresh worker answered");
    assert!(server.is_up());
}

#[test]
fn before_the_first_token_another_worker_answers() {
    let model = tireless_ember();
    let mut server = Server::start(&[model.path()]);
    let worker = server.worker();
    // A worker that stands still has certainly sent nothing.
    process::signal(worker, Signal::STOP);
    std::thread::scope(|scope| {
        let streamed = scope.spawn(|| server.stream(&short()).collect::<Vec<_>>());
        let whole = scope.spawn(|| server.chat(&short()));
        wait_until_taken(&server, 2);
        process::signal(worker, Signal::KILL);
        assert_answered(&whole.join().unwrap());
        assert_eq!(streamed.join().unwrap().last(), Some(&json!("[DONE]")));
    });
    assert!(server.is_up());
}

#[test]
fn an_idle_worker_is_replaced_when_it_is_needed() {
    let mut server = Server::start(&[]);
    let worker = server.worker();
    process::signal(worker, Signal::KILL);
    process::wait_for_end(worker);
    assert_answered(&server.chat(&short()));
    assert!(server.is_up());
}

/// Until so many requests wait for the worker.
fn wait_until_taken(server: &Server, requests: u64) {
    let load = |health: &Value| health["running"].as_u64().unwrap_or(0) + health["queued"].as_u64().unwrap_or(0);
    while load(&server.get("/health").json()) < requests {}
}
