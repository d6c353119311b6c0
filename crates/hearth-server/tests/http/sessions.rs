//! Sessions over HTTP: which conversation a request joins, and the routes that show, copy and delete them.

use hearth_engine::fake::FakeRunner;
use serde_json::{Value, json};

use crate::support::{Answer, Server, Setup};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A server that repeats the last message.
async fn echoing() -> Server {
    Setup::new(FakeRunner::echoing).start().await
}

/// Says `text` in a request with more fields.
async fn say(server: &Server, text: &str, more: Value) -> Value {
    let mut body = json!({ "messages": [{ "role": "user", "content": text }] });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    let answer = server.chat(&body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn fork(server: &Server, id: &str, body: &str) -> Answer {
    server.send("POST", &format!("/v1/sessions/{id}/fork"), &[JSON], body).await
}

async fn delete(server: &Server, id: &str) -> Answer {
    server.send("DELETE", &format!("/v1/sessions/{id}"), &[], "").await
}

async fn rename(server: &Server, id: &str, body: &str) -> Answer {
    server.send("PATCH", &format!("/v1/sessions/{id}"), &[JSON], body).await
}

/// Ids, in the order in which they are listed.
async fn ids(server: &Server) -> Vec<Value> {
    let list = server.get("/v1/sessions").await.json();
    assert_eq!(list["object"], "list");
    let cards = list["data"].as_array().expect("a list").iter();
    cards.inspect(|card| assert_eq!(card["object"], "session")).map(|card| card["id"].clone()).collect()
}

/// The contents of a session's messages.
async fn said(server: &Server, id: &str) -> Vec<Value> {
    let session = server.get(&format!("/v1/sessions/{id}")).await.json();
    let messages = session["messages"].as_array().unwrap_or_else(|| panic!("{session}"));
    messages.iter().map(|message| message["content"].clone()).collect()
}

#[tokio::test]
async fn a_session_goes_on_with_new_turns_alone() {
    let server = echoing().await;
    let first = say(&server, "Hello", json!({ "session_id": "tea" })).await;
    assert_eq!(first["hearth"]["session"], json!({ "id": "tea", "turn": "new", "kept": true }));
    let second = say(&server, "And?", json!({ "session_id": "tea" })).await;
    assert_eq!(second["hearth"]["session"]["turn"], "delta");
    let prompt = "user: Hello\nassistant: Hello\nuser: And?\nassistant: ".len();
    assert_eq!(second["usage"]["prompt_tokens"], prompt, "the model read the stored turns too");
    assert_eq!(said(&server, "tea").await, ["Hello", "Hello", "And?", "And?"]);

    let card = server.get("/sessions/tea").await.json();
    assert_eq!((&card["object"], &card["id"]), (&json!("session"), &json!("tea")));
    assert_eq!((&card["message_count"], &card["busy"]), (&json!(4), &json!(false)));
    assert!(card["created"].as_u64() > Some(1_700_000_000) && card["last_used"].as_u64() >= card["created"].as_u64());
}

#[tokio::test]
async fn the_header_names_a_session_where_the_body_does_not() {
    let server = echoing().await;
    let body = |more: &str| format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}]{more}}}"#);
    for (more, header, id) in [
        ("", Some("from-header"), json!("from-header")),
        (r#","session_id":"from-body""#, Some("from-header"), json!("from-body")),
        (r#","prompt_cache_key":"key""#, Some("from-header"), json!("from-header")),
        (r#","prompt_cache_key":"key""#, None, json!("prompt_cache_key:key")),
        (r#","metadata":{"user_id":"ada","plan":3}"#, None, json!("user_id:ada")),
        (r#","session_id":null"#, None, Value::Null),
    ] {
        let headers: Vec<_> = [JSON].into_iter().chain(header.map(|id| ("X-Session-Id", id))).collect();
        let answer = server.send("POST", "/v1/chat/completions", &headers, &body(more)).await.json();
        assert_eq!(answer["hearth"]["session"]["id"], id, "{more} {header:?}: {answer}");
    }
    let headers = [JSON, ("X-Session-Id", "")];
    let answer = server.send("POST", "/v1/chat/completions", &headers, &body("")).await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("X-Session-Id")), "{answer:?}");
}

#[tokio::test]
async fn a_stream_tells_of_its_session_beside_the_finish_reason() {
    let server = echoing().await;
    for (id, n) in [("s", 1), ("t", 3)] {
        let messages = json!([{ "role": "user", "content": "Hi" }]);
        let body = json!({ "messages": messages, "stream": true, "session_id": id, "n": n });
        let chunks = server.chat(&body.to_string()).await.chunks();
        let (last, others) = chunks.split_last().expect("chunks");
        assert_eq!((&last["choices"][0]["index"], &last["choices"][0]["finish_reason"]), (&json!(0), &json!("stop")));
        assert_eq!(last["hearth"]["session"], json!({ "id": id, "turn": "new", "kept": true }));
        assert!(last["hearth"]["cache"]["source"].is_string() && last["hearth"]["timings"].is_object(), "{last}");
        assert!(others.iter().all(|chunk| chunk.get("hearth").is_none()), "{others:?}");
        assert_eq!(said(&server, id).await, ["Hi", "Hi"]);
    }
}

/// All choices answer the same conversation, and one of them becomes its next turn.
#[tokio::test]
async fn one_of_several_choices_is_kept() {
    let server = echoing().await;
    say(&server, "Hello", json!({ "session_id": "s" })).await;
    let answer = say(&server, "And?", json!({ "session_id": "s", "n": 3 })).await;
    assert_eq!(answer["hearth"]["session"], json!({ "id": "s", "turn": "delta", "kept": true }));
    assert_eq!(answer["choices"].as_array().map(Vec::len), Some(3));
    let prompt = "user: Hello\nassistant: Hello\nuser: And?\nassistant: ".len();
    assert_eq!(answer["usage"]["prompt_tokens"], prompt);
    assert_eq!(said(&server, "s").await, ["Hello", "Hello", "And?", "And?"]);
}

#[tokio::test]
async fn sessions_show_reasoning_and_calls_as_clients_send_them_back() {
    let call = r#"<think>Ask.</think><tool_call>{"name":"tide","arguments":{"place":"Oban"}}</tool_call>"#;
    let server = Setup::new(move || FakeRunner::saying(call)).start().await;
    let tools = json!([{ "type": "function", "function": { "name": "tide", "parameters": { "type": "object" } } }]);
    say(&server, "When?", json!({ "session_id": "s", "tools": tools })).await;
    let session = server.get("/v1/sessions/s").await.json();
    let turn = &session["messages"][1];
    assert_eq!((&turn["role"], &turn["reasoning_content"]), (&json!("assistant"), &json!("Ask.")), "{turn}");
    let function = json!({ "name": "tide", "arguments": r#"{"place":"Oban"}"# });
    assert_eq!((&turn["tool_calls"][0]["type"], &turn["tool_calls"][0]["function"]), (&json!("function"), &function));
    let again = json!({ "messages": session["messages"], "session_id": "s" });
    let answer = server.chat(&again.to_string()).await;
    assert_eq!(answer.json()["hearth"]["session"]["turn"], "continued", "{answer:?}");
}

#[tokio::test]
async fn the_newest_comes_first() {
    let server = echoing().await;
    assert_eq!(ids(&server).await, Vec::<Value>::new());
    for id in ["a", "b", "c", "a"] {
        say(&server, "Hi", json!({ "session_id": id })).await;
    }
    assert_eq!(ids(&server).await, ["a", "c", "b"]);
}

#[tokio::test]
async fn an_id_in_a_path_is_percent_decoded() {
    let server = echoing().await;
    for (id, path) in [
        ("org/tea 2", "org%2Ftea%202"),
        ("grün 🌊", "gr%C3%BCn%20%F0%9F%8C%8A"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("fork", "fork"),
        ("100%", "100%25"),
    ] {
        say(&server, "Hi", json!({ "session_id": id })).await;
        assert_eq!(server.get(&format!("/v1/sessions/{path}")).await.json()["id"], id);
        let copy = fork(&server, path, r#"{"id":"copy"}"#).await;
        assert_eq!((copy.status, &copy.json()["id"]), (200, &json!("copy")), "{id}");
        let deleted = json!({ "id": id, "object": "session.deleted", "deleted": true });
        assert_eq!(delete(&server, path).await.json(), deleted);
        delete(&server, "copy").await;
        assert_eq!(ids(&server).await, Vec::<Value>::new());
    }
    let answer = server.get("/v1/sessions/%FF").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    answer.error();
}

#[tokio::test]
async fn a_fork_goes_its_own_way() {
    let server = echoing().await;
    say(&server, "Hello", json!({ "session_id": "a" })).await;
    let copy = fork(&server, "a", r#"{"id":"b"}"#).await.json();
    assert_eq!((&copy["object"], &copy["id"], &copy["message_count"]), (&json!("session"), &json!("b"), &json!(2)));
    say(&server, "On", json!({ "session_id": "b" })).await;
    assert_eq!(said(&server, "a").await.len(), 2);
    assert_eq!(said(&server, "b").await, ["Hello", "Hello", "On", "On"]);

    let unnamed = fork(&server, "a", "").await.json();
    let id = unnamed["id"].as_str().expect("an id of its own");
    assert!(!id.is_empty() && id != "a" && id != "b");
    assert_eq!(ids(&server).await.len(), 3);
}

#[tokio::test]
async fn a_title_stays_while_the_session_goes_on() {
    let server = echoing().await;
    for id in ["a", "b"] {
        say(&server, "Hello", json!({ "session_id": id })).await;
    }
    let renamed = rename(&server, "a", r#"{"title":" Green tea "}"#).await.json();
    assert_eq!((&renamed["id"], &renamed["title"]), (&json!("a"), &json!("Green tea")));
    assert_eq!(ids(&server).await, ["b", "a"], "that is no use of it");
    say(&server, "On", json!({ "session_id": "a" })).await;
    assert_eq!(server.get("/v1/sessions/a").await.json()["title"], "Green tea");
    assert_eq!(fork(&server, "a", r#"{"id":"c"}"#).await.json()["title"], "Green tea");
    assert_eq!(rename(&server, "a", r#"{"title":" "}"#).await.json()["title"], Value::Null);
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(201));
    for (body, says) in [
        ("{}", "title is missing"),
        (r#"{"title":7}"#, "title must be a string, not 7"),
        (r#"{"id":"d"}"#, "id of a session cannot be changed"),
        (long.as_str(), "at most 200 characters, not 201"),
        ("[]", "must be a JSON object"),
    ] {
        let answer = rename(&server, "c", body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.error().contains(says), "{body}: {answer:?}");
    }
    assert_eq!(server.get("/v1/sessions/c").await.json()["title"], "Green tea");
}

#[tokio::test]
async fn what_cannot_be_done_with_a_session_is_said() {
    let server = echoing().await;
    for id in ["a", "b"] {
        say(&server, "Hi", json!({ "session_id": id })).await;
    }
    let unknown = [
        server.get("/v1/sessions/nope").await,
        delete(&server, "nope").await,
        rename(&server, "nope", r#"{"title":"x"}"#).await,
        fork(&server, "nope", "").await,
        fork(&server, "nope", r#"{"id":"b"}"#).await,
    ];
    for answer in unknown {
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("session_not_found")), "{answer:?}");
        assert!(answer.error().contains("\"nope\""), "{answer:?}");
    }
    let taken = fork(&server, "a", r#"{"id":"b"}"#).await;
    assert_eq!((taken.status, &taken.json()["error"]["param"]), (409, &json!("id")), "{taken:?}");
    assert!(taken.error().contains("\"b\" already"), "{taken:?}");
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(257));
    for (body, says) in [
        (r#"{"id":7}"#, "id must be a string, not 7"),
        (r#"{"id":""}"#, "1 to 256 characters"),
        (long.as_str(), "1 to 256 characters, not 257"),
        ("[]", "must be a JSON object"),
        ("nonsense", "not JSON"),
    ] {
        let answer = fork(&server, "a", body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.error().contains(says), "{body}: {answer:?}");
    }
    assert_eq!(ids(&server).await.len(), 2, "nothing was copied");
    let answer = server.send("POST", "/v1/sessions", &[JSON], "{}").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")));
}

/// T2: other sites' pages can neither copy nor delete.
#[tokio::test]
async fn t2_pages_of_other_sites_change_no_session() {
    let server = echoing().await;
    say(&server, "Hi", json!({ "session_id": "a" })).await;
    for headers in [[JSON, ("Origin", "https://evil.example")], [JSON, ("Sec-Fetch-Site", "cross-site")]] {
        for (method, path) in
            [("DELETE", "/v1/sessions/a"), ("PATCH", "/v1/sessions/a"), ("POST", "/v1/sessions/a/fork")]
        {
            let answer = server.send(method, path, &headers, "").await;
            assert_eq!(answer.status, 403, "{method} {headers:?}");
        }
    }
    let plain = server.send("POST", "/v1/sessions/a/fork", &[("Content-Type", "text/plain")], "").await;
    assert_eq!(plain.status, 415, "a form of another site may send that");
    assert_eq!(ids(&server).await, ["a"]);
}

#[tokio::test]
async fn a_model_chooses_among_sessions_of_one_id() {
    let server = echoing().await;
    for model in ["test-model", "other-model", "test-model"] {
        say(&server, "Hi", json!({ "session_id": "tea", "model": model })).await;
    }
    let count =
        async |query: &str| server.get(&format!("/v1/sessions/tea{query}")).await.json()["message_count"].clone();
    assert_eq!((count("?model=org/other-model").await, count("?model=test-model").await), (json!(2), json!(4)));
    assert_eq!(ids(&server).await, ["tea", "tea"]);
    assert_eq!(server.get("/v1/sessions/tea?model=none").await.status, 404);
    let fork = fork(&server, "tea", r#"{"id":"milk"}"#).await.json();
    assert_eq!(fork["model"], "test-model", "the one last used");
    assert_eq!(delete(&server, "tea?model=other-model").await.status, 200);
    assert_eq!(delete(&server, "tea?model=other-model").await.status, 404);
    assert_eq!(count("").await, json!(4));
    say(&server, "Hi", json!({ "session_id": "tea", "model": "other-model" })).await;
    assert_eq!(delete(&server, "tea").await.status, 200);
    assert_eq!(ids(&server).await, ["milk"]);
}
