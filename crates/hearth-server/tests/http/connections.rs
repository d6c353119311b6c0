//! Connections that are silent, slow, too many, or left: F10 to F13, and the graceful stop.

use std::time::{Duration, Instant};

use hearth_engine::fake::FakeRunner;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Answer, Setup, request, saying, until};

const CHAT: &str = r#"{"messages":[{"role":"user","content":"Hi"}]}"#;
const STREAM: &str = r#"{"messages":[{"role":"user","content":"Hi"}],"stream":true}"#;

/// Answers without end, one token a millisecond.
fn endless() -> Setup {
    let runner = || FakeRunner::saying(&"word ".repeat(100_000)).with_context(1 << 20).before_step(pause);
    Setup::new(runner)
}

fn pause(_: usize, _: &[hearth_core::runner::Segment<'_>]) -> hearth_core::Result<()> {
    std::thread::sleep(Duration::from_millis(1));
    Ok(())
}

/// How long until the server closes the connection; an answer or a reset are a close too.
async fn closed(mut stream: TcpStream) -> Duration {
    let start = Instant::now();
    let mut bytes = Vec::new();
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("the server closes");
    start.elapsed()
}

#[tokio::test]
async fn f13_half_and_silent_requests_are_closed_and_others_served() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.serve.first_request = Duration::from_millis(300);
    let server = setup.start().await;
    let mut idle = Vec::new();
    for i in 0..40 {
        let mut stream = server.connect().await;
        if i % 2 == 0 {
            stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n").await.expect("the server reads");
        }
        idle.push(stream);
    }
    assert_eq!(server.chat(CHAT).await.status, 200);
    for stream in idle {
        assert!(closed(stream).await < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_first_request_may_take_longer_than_its_head() {
    let mut setup = endless();
    setup.serve.first_request = Duration::from_millis(20);
    let server = setup.start().await;
    let short = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":60}"#;
    assert_eq!(server.chat(short).await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_a_while() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.serve.idle = Duration::from_millis(200);
    let server = setup.start().await;
    let mut stream = server.connect().await;
    let get = format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", server.port);
    for _ in 0..3 {
        stream.write_all(get.as_bytes()).await.expect("the server reads");
        let mut bytes = [0; 1024];
        let length = stream.read(&mut bytes).await.expect("an answer");
        assert!(bytes[..length].starts_with(b"HTTP/1.1 200"), "the same connection serves again");
    }
    let waited = closed(stream).await;
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn f12_connections_beyond_the_limit_wait_for_their_turn() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.serve.connections = 2;
    setup.serve.first_request = Duration::from_millis(100);
    let server = setup.start().await;
    let silent = [server.connect().await, server.connect().await];
    let others: Vec<_> = (0..20).map(|_| server.chat(CHAT)).collect();
    let answers = futures_util::future::join_all(others).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    drop(silent);
}

#[tokio::test]
async fn f10_whoever_leaves_frees_the_device() {
    let server = endless().start().await;
    for body in [CHAT, STREAM] {
        for leave in ["close", "half", "reset"] {
            let mut stream = server.ask(body).await;
            server.until_open(1).await;
            if body == STREAM {
                let mut some = [0; 64];
                assert!(stream.read(&mut some).await.expect("a beginning") > 0);
            }
            match leave {
                "half" => stream.shutdown().await.expect("the writing side closes"),
                "reset" => stream.set_zero_linger().expect("the option is set"),
                _ => {}
            }
            if leave != "half" {
                drop(stream);
            }
            server.until_open(0).await;
        }
    }
    assert_eq!(server.chat(r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":1}"#).await.status, 200);
}

#[tokio::test]
async fn f11_a_client_that_does_not_read_is_dropped() {
    let mut setup = Setup::new(|| FakeRunner::saying(&"word ".repeat(1_000_000)).with_context(1 << 30));
    setup.serve.stalled = Duration::from_millis(100);
    let server = setup.start().await;
    let stream = server.ask(STREAM).await;
    server.until_open(1).await;
    server.until_open(0).await;
    let mut bytes = Vec::new();
    let mut stream = stream;
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(!bytes.ends_with(b"0\r\n\r\n"), "the stream was cut, not finished");
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_finishes_requests() {
    let mut server = endless().start().await;
    let silent = server.connect().await;
    let mut idle = server.connect().await;
    let get = format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", server.port);
    idle.write_all(get.as_bytes()).await.expect("the server reads");
    assert!(idle.read(&mut [0; 1024]).await.expect("an answer") > 0);
    let mut busy = server.ask(r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":200}"#).await;
    server.until_open(1).await;
    let start = Instant::now();
    server.stop();
    closed(silent).await;
    closed(idle).await;
    assert_eq!(Answer::read(&mut busy).await.status, 200, "a request in flight is answered");
    let port = server.port;
    server.ended().await;
    assert!(start.elapsed() < Duration::from_secs(4), "nobody waited for the end of the grace");
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_stop_cuts_what_outlives_its_grace() {
    let mut setup = endless();
    setup.serve.grace = Duration::from_millis(50);
    let mut server = setup.start().await;
    let stream = server.ask(STREAM).await;
    server.until_open(1).await;
    server.stop();
    closed(stream).await;
    server.until_open(0).await;
    server.ended().await;
}

#[tokio::test]
async fn streams_end_in_their_own_words_when_the_engine_stops() {
    let mut server = endless().start().await;
    let mut stream = server.ask(STREAM).await;
    server.until_open(1).await;
    assert!(stream.read(&mut [0; 4]).await.expect("a beginning") > 0);
    server.stop();
    server.engine.shutdown().await;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("the rest");
    let error = rest.rsplit("data: ").next().expect("a last event");
    assert!(error.contains(r#""code":"shutting_down""#), "{error}");
    server.ended().await;
}

#[tokio::test]
async fn after_the_engine_stopped_requests_are_a_503() {
    let server = saying("hi").await;
    assert_eq!(server.chat(CHAT).await.status, 200);
    server.engine.shutdown().await;
    let answer = server.chat(CHAT).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    until(|| server.open() == 0, "the end of the runner").await;
}

#[tokio::test]
async fn heads_beyond_reason_are_refused() {
    let server = saying("hi").await;
    let long = "x".repeat(100_000);
    let host = format!("127.0.0.1:{}", server.port);
    let many: Vec<_> = (0..200).map(|i| format!("x-{i}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).chain([("Host", host.as_str())]).collect();
    for headers in [vec![("Host", host.as_str()), ("x-long", &long)], many] {
        let mut stream = server.connect().await;
        let _ = stream.write_all(request("GET", "/healthz", &headers, "").as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}
