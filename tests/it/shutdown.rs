//! The end in order: streams end, the worker goes first, nothing is left behind.

use std::os::unix::process::CommandExt;

use hearth_tests::models::tireless_ember;
use hearth_tests::process::{self, Signal};
use hearth_tests::{Server, hearth};
use serde_json::{Value, json};

/// Ctrl-C in a terminal reaches the server and whatever belongs to it; the worker must leave its end to the server.
#[test]
fn a_signal_in_the_middle_of_a_stream_ends_everything_in_order() {
    for name in ["SIGTERM", "Ctrl-C"] {
        let model = tireless_ember();
        let mut server = Server::start_with(&[model.path()], |command| _ = command.process_group(0));
        let worker = server.worker();
        let body = json!({
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 90_000,
        });
        let mut chunks = server.stream(&body);
        chunks.by_ref().take(3).for_each(drop);

        match name {
            "SIGTERM" => server.signal(Signal::TERM),
            _ => process::signal_group(server.pid(), Signal::INT),
        }
        let rest: Vec<Value> = chunks.collect();
        let last = rest.last().expect("the stream does not just break off");
        let message = last["error"]["message"].as_str().unwrap_or_else(|| panic!("{name}: {last}"));
        assert!(message.contains("stopping") || message.contains("shutting down"), "{name}: {message}");
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{name}: {log}");
        assert!(!process::is_alive(worker), "{name}: the worker ends before the server does");
        assert!(!log.contains("ERROR") && !log.contains("WARN"), "{name}: {log}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let model = tireless_ember();
    let mut server = Server::start(&[model.path()]);
    let worker = server.worker();
    // A worker that stands still cannot be unloaded in order, so the first signal alone would take a while.
    process::signal(worker, Signal::STOP);
    server.signal(Signal::TERM);
    server.wait_for_log("stopping");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0.code(), Some(1));
    process::signal(worker, Signal::KILL);
}

#[test]
fn an_idle_server_ends_at_once() {
    let mut server = Server::start(&[]);
    let worker = server.worker();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0.code(), Some(0));
    assert!(!process::is_alive(worker));
}

#[test]
fn a_killed_server_takes_its_worker_along() {
    let mut server = Server::start(&[]);
    let worker = server.worker();
    server.signal(Signal::KILL);
    server.wait();
    process::wait_for_end(worker);
}

/// Someone who starts `hearth worker` by hand is not left with a process that waits for ever.
#[test]
fn a_worker_without_a_server_ends() {
    let home = tempfile::tempdir().unwrap();
    let mut command = hearth(home.path());
    let output = command.args(["worker", "--log-level", "info"]).output().unwrap();
    assert!(output.status.code().is_some());
}

#[test]
fn a_short_answer_is_still_given() {
    let mut server = Server::start(&[]);
    let mut chunks = server.stream(&json!({"messages": [{"role": "user", "content": "Who are you?"}]}));
    chunks.next();
    server.signal(Signal::TERM);
    assert_eq!(chunks.last(), Some(json!("[DONE]")));
    assert_eq!(server.wait().0.code(), Some(0));
}
