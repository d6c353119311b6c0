//! Chat completions end to end, whole and streamed.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc,
};
use std::time::Duration;

use hearth_core::{Error, ErrorKind};
use hearth_engine::fake::FakeRunner;
use serde_json::{Value, json};

use crate::support::{Server, Setup, saying};

/// A request that the echoing runner answers with `text`.
fn echo(text: &str, more: &str) -> String {
    let text = Value::from(text);
    format!(r#"{{"messages":[{{"role":"user","content":{text}}}]{more}}}"#)
}

async fn echoing() -> Server {
    Setup::new(FakeRunner::echoing).start().await
}

const TOOLS: &str = r#","tools":[{"type":"function","function":{"name":"fetch_tide","parameters":{"type":"object"}}}]"#;

#[tokio::test]
async fn an_answer_has_its_text_and_its_usage() {
    let server = saying("Hello, Ada!").await;
    for path in ["/v1/chat/completions", "/chat/completions"] {
        let body = r#"{"model":"org/Test-Model","messages":[{"role":"user","content":"Hi"}]}"#;
        let answer = server.send("POST", path, &[("Content-Type", "application/json")], body).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let body = answer.json();
        assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("test-model")));
        assert!(body["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")), "{body}");
        let choice = &body["choices"][0];
        let message = json!({ "role": "assistant", "content": "Hello, Ada!", "refusal": null });
        assert_eq!((&choice["message"], &choice["finish_reason"]), (&message, &json!("stop")));
        let prompt = "user: Hi\nassistant: ".len();
        assert_eq!(body["usage"]["prompt_tokens"], prompt);
        assert_eq!(body["usage"]["completion_tokens"], "Hello, Ada!".len() + 1, "the end is a token too");
    }
}

/// What a client puts together of one choice.
fn joined(chunks: &[Value], index: usize) -> (String, String, Vec<(String, String)>, Value) {
    let (mut content, mut reasoning, mut calls, mut reason) = (String::new(), String::new(), Vec::new(), Value::Null);
    let choices = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().expect("choices"));
    for choice in choices.filter(|choice| choice["index"] == index) {
        let delta = &choice["delta"];
        content += delta["content"].as_str().unwrap_or_default();
        reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            if let Some(name) = call["function"]["name"].as_str() {
                calls.push((name.to_owned(), String::new()));
            }
            let index = call["index"].as_u64().expect("an index") as usize;
            calls[index].1 += call["function"]["arguments"].as_str().expect("arguments");
        }
        if !choice["finish_reason"].is_null() {
            reason = choice["finish_reason"].clone();
        }
    }
    (content, reasoning, calls, reason)
}

/// The same of a whole answer.
fn whole(body: &Value, index: usize) -> (String, String, Vec<(String, String)>, Value) {
    let choice = &body["choices"][index];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let calls = choice["message"]["tool_calls"].as_array().into_iter().flatten();
    let calls = calls.map(|call| (text(&call["function"]["name"]), text(&call["function"]["arguments"]))).collect();
    let message = &choice["message"];
    (text(&message["content"]), text(&message["reasoning_content"]), calls, choice["finish_reason"].clone())
}

#[tokio::test]
async fn a_stream_joined_is_the_whole_answer() {
    let server = echoing().await;
    let call = "<tool_call>\n{\"name\":\"fetch_tide\",\"arguments\":{\"place\":\"Oban 🌊\"}}\n</tool_call>";
    for (text, more) in [
        ("Grüß Gott, 世界 🌊!", ""),
        ("", ""),
        ("<think>Let me see.</think>Here it is.", ""),
        (call, TOOLS),
        (&format!("I look. {call}\n{call}"), TOOLS),
        (call, r#","tool_choice":"none""#),
        ("one two three four", r#","max_tokens":7"#),
        ("one STOP two", r#","stop":"STOP""#),
        ("one STOP two", r#","stop":["xyz","ST","two"]"#),
        ("data: x\n\ndata: [DONE]\n\n\u{1b}[31m", ""),
    ] {
        let body = server.chat(&echo(text, more)).await;
        assert_eq!(body.status, 200, "{body:?}");
        let streamed = server.chat(&echo(text, &format!(r#","stream":true{more}"#))).await;
        assert_eq!(joined(&streamed.chunks(), 0), whole(&body.json(), 0), "{text} {more}");
        let first = &streamed.chunks()[0]["choices"][0]["delta"];
        assert_eq!(*first, json!({ "role": "assistant", "content": "" }));
    }
}

#[tokio::test]
async fn calls_reasoning_and_stops_come_out_as_themselves() {
    let server = echoing().await;
    let call = "<tool_call>\n{\"name\":\"fetch_tide\",\"arguments\":{\"place\":\"Oban\"}}\n</tool_call>";
    let tide = vec![("fetch_tide".to_owned(), r#"{"place":"Oban"}"#.to_owned())];
    let none = Vec::new();
    for (text, more, content, reasoning, calls, reason) in [
        (call, TOOLS, "", "", &tide, "tool_calls"),
        ("<think>Hm.</think>Yes.", "", "Yes.", "Hm.", &none, "stop"),
        ("one STOP two", r#","stop":"STOP""#, "one ", "", &none, "stop"),
        ("one two", r#","max_completion_tokens":3"#, "one", "", &none, "length"),
    ] {
        let body = server.chat(&echo(text, more)).await.json();
        let expected = (content.to_owned(), reasoning.to_owned(), calls.clone(), json!(reason));
        assert_eq!(whole(&body, 0), expected, "{text}");
        assert_eq!(body["choices"][0]["message"]["content"].is_null(), reason == "tool_calls");
    }
}

#[tokio::test]
async fn a_client_may_ask_for_one_call_at_a_time() {
    let server = echoing().await;
    let call =
        |place: &str| format!(r#"<tool_call>{{"name":"fetch_tide","arguments":{{"place":"{place}"}}}}</tool_call>"#);
    let text = call("Oban") + &call("Rhyl");
    for (parallel, count) in [("true", 2), ("null", 2), ("false", 1)] {
        let more = format!(r#"{TOOLS},"parallel_tool_calls":{parallel},"session_id":"{parallel}""#);
        let (content, _, calls, reason) = whole(&server.chat(&echo(&text, &more)).await.json(), 0);
        assert_eq!((content.as_str(), calls.len(), reason), ("", count, json!("tool_calls")), "{parallel}");
        assert_eq!(calls[0].1, r#"{"place":"Oban"}"#);
        let session = server.get(&format!("/v1/sessions/{parallel}")).await.json();
        let stored = session["messages"][1]["tool_calls"].as_array().map(Vec::len);
        assert_eq!(stored, Some(count), "what the client saw is what was said: {session}");
        let chunks = server.chat(&echo(&text, &format!(r#"{more},"stream":true"#))).await.chunks();
        assert_eq!(joined(&chunks, 0).2, calls, "{parallel}");
    }
}

/// What a stream has given away cannot be taken back; a whole answer leaves it out.
#[tokio::test]
async fn a_call_that_breaks_off_is_not_passed_off_as_one() {
    let server = echoing().await;
    let broken = r#"<tool_call>{"name":"fetch_tide","arguments":{"place":oops}}</tool_call>"#;
    let short = format!(r#"{TOOLS},"max_tokens":50"#);
    for (text, more, content, reason) in [
        (broken, TOOLS, "", "stop"),
        (&format!("{broken}\nSorry."), TOOLS, "Sorry.", "stop"),
        (r#"<tool_call>{"name":"fetch_tide","arguments":{"place":"Oban"}}</tool_call>"#, &short, "", "length"),
    ] {
        let body = server.chat(&echo(text, more)).await.json();
        assert_eq!(whole(&body, 0), (content.to_owned(), String::new(), vec![], json!(reason)), "{body}");
        let chunks = server.chat(&echo(text, &format!(r#"{more},"stream":true"#))).await.chunks();
        let (said, _, calls, ended) = joined(&chunks, 0);
        assert_eq!((said.as_str(), ended), (content, json!(reason)));
        let [(name, part)] = &calls[..] else { panic!("{calls:?}") };
        assert!(name == "fetch_tide" && part.starts_with("{\"pla") && serde_json::from_str::<Value>(part).is_err());
    }
}

#[tokio::test]
async fn a_stream_has_the_headers_that_proxies_need() {
    let server = saying("Hi").await;
    let answer = server.chat(&echo("Hi", r#","stream":true"#)).await;
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
    {
        assert_eq!(answer.header(name), Some(value));
    }
}

#[tokio::test]
async fn usage_comes_when_asked_for_and_last() {
    let server = saying("Hi").await;
    // From the second time on, all but the prompt's last token is cached.
    server.chat(&echo("x", "")).await.json();
    let plain = server.chat(&echo("x", "")).await.json()["usage"].clone();
    let chunks = server.chat(&echo("x", r#","stream":true,"stream_options":{"include_usage":true}"#)).await.chunks();
    let (last, others) = chunks.split_last().expect("chunks");
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &plain));
    assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    let chunks = server.chat(&echo("x", r#","stream":true"#)).await.chunks();
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none() && chunk["choices"] != json!([])));
}

#[tokio::test]
async fn n_answers_come_with_their_index() {
    let server = echoing().await;
    let body = server.chat(&echo("abc", r#","n":3,"seed":5"#)).await.json();
    let indices: Vec<_> = body["choices"].as_array().expect("choices").iter().map(|c| c["index"].clone()).collect();
    assert_eq!(indices, [0, 1, 2]);
    let chunks = server.chat(&echo("abc", r#","n":3,"stream":true"#)).await.chunks();
    for index in 0..3 {
        assert_eq!(joined(&chunks, index), whole(&body, index));
        assert_eq!(joined(&chunks, index).0, "abc");
    }
    let usage = &body["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&json!("user: abc\nassistant: ".len()), &json!(12))
    );
    server.until_open(0).await;
}

#[tokio::test]
async fn log_probabilities_cover_every_token() {
    let server = echoing().await;
    let more = r#","logprobs":true,"top_logprobs":2"#;
    let body = server.chat(&echo("añb", more)).await.json();
    let tokens = body["choices"][0]["logprobs"]["content"].as_array().expect("tokens").clone();
    let bytes: Vec<_> = tokens.iter().flat_map(|token| token["bytes"].as_array().expect("bytes").clone()).collect();
    assert_eq!(bytes, "añb".bytes().map(Value::from).collect::<Vec<_>>());
    assert!(tokens.iter().all(|token| token["top_logprobs"].as_array().map(Vec::len) == Some(2)), "{tokens:?}");
    let chunks = server.chat(&echo("añb", &format!(r#","stream":true{more}"#))).await.chunks();
    let content = |chunk: &Value| chunk["choices"][0]["logprobs"]["content"].as_array().cloned().unwrap_or_default();
    assert_eq!(chunks.iter().flat_map(content).collect::<Vec<_>>(), tokens);
}

#[tokio::test]
async fn requests_that_cannot_be_served_keep_their_status_streamed_or_not() {
    let server = Setup::new(|| FakeRunner::saying("hi").with_context(100)).start().await;
    for stream in ["", r#","stream":true"#] {
        let long = "x".repeat(200);
        for (text, more, status, code, param, says) in [
            (long.as_str(), "", 400, json!("context_length_exceeded"), json!("messages"), "100"),
            ("refuse", "", 400, json!(null), json!("messages"), "I refuse."),
            ("x", r#","model":"nope""#, 404, json!("model_not_found"), json!("model"), "test-model"),
            ("x", r#","max_tokens":-1"#, 400, json!(null), json!("max_tokens"), "at least 1"),
        ] {
            let answer = server.chat(&echo(text, &format!("{more}{stream}"))).await;
            assert_eq!(answer.status, status, "{answer:?}");
            let error = &answer.json()["error"];
            assert_eq!((&error["code"], &error["param"]), (&code, &param), "{error}");
            assert_eq!(error["type"], "invalid_request_error");
            assert!(answer.error().contains(says), "{error}");
        }
    }
}

fn on_fire() -> hearth_core::Result<()> {
    Err(Error::internal("The device is on fire."))
}

#[tokio::test]
async fn a_failure_before_the_first_token_keeps_its_status() {
    let server = Setup::new(|| FakeRunner::saying("hi").before_step(|_, _| on_fire())).start().await;
    for stream in ["", r#","stream":true"#] {
        let answer = server.chat(&echo("x", stream)).await;
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (500, &json!("server_error")), "{answer:?}");
    }
}

#[tokio::test]
async fn memory_that_others_hold_is_a_503_with_a_time_to_come_back() {
    let full = || Err(Error::new(ErrorKind::OutOfMemory, "It needs 3 GB, and 1 GB is free."));
    let server = Setup::new(move || FakeRunner::saying("hi").before_step(move |_, _| full())).start().await;
    for stream in ["", r#","stream":true"#] {
        let answer = server.chat(&echo("x", stream)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
        assert_eq!(answer.json()["error"]["code"], "out_of_memory");
        assert_eq!(answer.error(), "It needs 3 GB, and 1 GB is free.");
    }
}

#[tokio::test]
async fn a_failure_after_it_is_an_error_frame() {
    let runner = || FakeRunner::saying("Hello, Ada!").before_step(|step, _| if step < 6 { Ok(()) } else { on_fire() });
    let server = Setup::new(runner).start().await;
    let answer = server.chat(&echo("x", r#","stream":true"#)).await;
    assert_eq!(answer.status, 200);
    let events = answer.events();
    let last: Value = serde_json::from_str(events.last().expect("events")).expect("JSON");
    assert_eq!(last["error"]["type"], "server_error", "{events:?}");
    assert!(events.len() > 2 && !events.contains(&"[DONE]"), "{events:?}");
}

/// A runner that waits at each step until the sender is dropped or sends.
fn gated() -> (mpsc::Sender<()>, Setup) {
    let (open, gate) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let runner = move || {
        let gate = Arc::clone(&gate);
        FakeRunner::saying("Hello!").before_step(move |_, _| {
            let _ = gate.lock().expect("no panic").recv();
            Ok(())
        })
    };
    (open, Setup::new(runner))
}

#[tokio::test]
async fn a_full_house_is_a_429_with_a_time_to_come_back() {
    let (gate, mut setup) = gated();
    (setup.engine.max_batch, setup.engine.queue) = (1, 1);
    let server = setup.start().await;
    let mut streams = vec![server.ask(&echo("x", "")).await, server.ask(&echo("x", "")).await];
    crate::support::until(|| server.engine.status()[0].requests == 2, "two requests in the house").await;
    for more in ["", r#","stream":true"#] {
        let answer = server.chat(&echo("x", more)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")), "{answer:?}");
        let error = &answer.json()["error"];
        assert_eq!((&error["type"], &error["code"]), (&json!("rate_limit_error"), &json!("rate_limit_exceeded")));
    }
    drop(gate);
    for stream in &mut streams {
        assert_eq!(crate::support::Answer::read(stream).await.status, 200);
    }
    assert_eq!(server.chat(&echo("x", "")).await.status, 200);
}

#[tokio::test]
async fn a_silent_model_is_bridged_by_comments() {
    let (gate, mut setup) = gated();
    setup.server.keep_alive = Duration::from_millis(10);
    let server = setup.start().await;
    let mut stream = server.ask(&echo("x", r#","stream":true"#)).await;
    server.until_open(1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(gate);
    let answer = crate::support::Answer::read(&mut stream).await;
    let comments = answer.body.matches(": keep-alive\n\n").count();
    assert!(comments >= 1, "{answer:?}");
    assert_eq!(joined(&answer.chunks(), 0).0, "Hello!");
}

#[tokio::test]
async fn a_model_that_does_not_load_is_a_500_that_says_why() {
    let loaded = Arc::new(AtomicBool::new(false));
    let (missing, ready) = ("config.json is missing in the model's folder.", Arc::clone(&loaded));
    let runner = move || match ready.load(Ordering::SeqCst) {
        true => Ok(FakeRunner::saying("hi")),
        false => Err(Error::new(ErrorKind::ModelLoad, missing)),
    };
    let server = Setup::loading(runner).start().await;
    let answer = server.chat(&echo("x", "")).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (500, &json!("model_load_failed")), "{answer:?}");
    assert!(answer.error().contains("config.json is missing"), "{answer:?}");
    loaded.store(true, Ordering::SeqCst);
    assert_eq!(server.chat(&echo("x", "")).await.status, 200);
}

#[tokio::test]
async fn a_panic_in_the_device_is_no_end_of_the_server() {
    let once = Arc::new(AtomicBool::new(true));
    let server = Setup::new(move || {
        let once = Arc::clone(&once);
        FakeRunner::saying("Hello!").before_step(move |step, _| {
            assert!(step != 3 || !once.swap(false, Ordering::SeqCst), "the test's panic");
            Ok(())
        })
    });
    let server = server.start().await;
    let answer = server.chat(&echo("x", "")).await;
    assert_eq!(answer.status, 200, "the request is run again: {answer:?}");
}
