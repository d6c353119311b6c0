//! What caches may never change, and what they are for: a cached answer is the answer, whatever happened before, and a
//! conversation's next turn finds what is known of it, also after a restart.

mod faults;
mod random;
mod reuse;
mod sessions;

use hearth_tests::Server;
use hearth_tests::process::Signal;
use serde_json::{Value, json};

/// A server on `model` with further `arguments`.
fn serve(model: &str, arguments: &[&str]) -> Server {
    Server::start(&[&[model], arguments].concat())
}

/// Ends a server in order and starts the next.
fn restart(mut server: Server, start: impl Fn() -> Server) -> Server {
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    start()
}

/// A request for a few tokens, always the same ones for the same conversation.
fn greedy(messages: &[Value]) -> Value {
    json!({"messages": messages, "temperature": 0, "max_tokens": 8})
}

fn message(role: &str, content: impl Into<String>) -> Value {
    json!({"role": role, "content": content.into()})
}

/// What the answer says of its caches.
fn cache(answer: &Value) -> &Value {
    &answer["hearth"]["cache"]
}

fn matched(answer: &Value) -> u64 {
    let matched = cache(answer)["matched_tokens"].as_u64().unwrap_or_else(|| panic!("no report: {answer}"));
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], matched, "{answer}");
    matched
}

/// Bytes of all files under `dir`, whatever they are.
fn bytes_under(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // A file that went away meanwhile has no bytes.
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_under(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}
