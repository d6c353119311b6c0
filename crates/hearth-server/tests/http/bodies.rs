//! Bodies that are too large, too slow, too deep, or not JSON: each a clear 4xx, never a broken connection (T9).

use std::time::Duration;

use hearth_engine::fake::FakeRunner;
use tokio::io::AsyncWriteExt;

use crate::support::{Answer, Setup, saying};

/// A valid request with one more field.
fn chat_with(field: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"x"}}],{field}}}"#)
}

#[tokio::test]
async fn what_is_not_json_is_a_clear_400() {
    let server = saying("hi").await;
    let deep = |depth: usize| format!(r#"{{"messages":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let nested = |depth: usize| {
        let schema = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let function = format!(r#"{{"name":"f","parameters":{schema}}}"#);
        format!(
            r#"{{"messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{function}}}]}}"#
        )
    };
    for (body, says) in [
        ("".to_owned(), "The body is not JSON"),
        ("hello".to_owned(), "The body is not JSON"),
        (r#"{"messages":[}"#.to_owned(), "The body is not JSON"),
        (r#"{"temperature":NaN}"#.to_owned(), "The body is not JSON"),
        ("[]".to_owned(), "must be a JSON object"),
        ("{}".to_owned(), "messages must hold"),
        (deep(127), "messages[0] must be an object"),
        (deep(200_000), "messages[0] must be an object"),
        (nested(200), "recursion limit"),
        (nested(200_000), "is the limit"),
        (format!(r#"{{"messages":[{}5]}}"#, "{},".repeat(1_000_000)), "more than 4096 elements"),
        (chat_with(&format!(r#""n":{}"#, "9".repeat(1_000_000))), "n must be a whole number"),
        (r#"{"messages":[{"role":"user","content":"\ud800"}]}"#.to_owned(), "messages[0].content is not valid JSON"),
        (r#"{"messages":[],"messages":[]}"#.to_owned(), "twice"),
    ] {
        let answer = server.chat(&body).await;
        let error = answer.error();
        assert_eq!(answer.status, 400, "{error}");
        assert!(error.contains(says), "{error}");
        assert!(error.len() < 300, "{error}");
    }
    assert_eq!(server.chat(&nested(100)).await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.server.max_body = 100_000;
    let server = setup.start().await;
    let body = |length: usize| {
        let (start, end) = (r#"{"messages":[{"role":"user","content":"x"}],"pad":""#, r#""}"#);
        format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
    };
    assert_eq!(server.chat(&body(100_000)).await.status, 200);
    for length in [100_001, 150_000, 200_000] {
        let answer = server.chat(&body(length)).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &"request_too_large".into()));
        assert!(answer.error().contains("100000 bytes"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.server.body_timeout = Duration::from_millis(50);
    let server = setup.start().await;
    let mut stream = server.connect().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{{",
        server.port
    );
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    let answer = Answer::read(&mut stream).await;
    assert_eq!(answer.status, 408);
    assert!(answer.error().contains("paused for 0.05 seconds"), "{answer:?}");
}
