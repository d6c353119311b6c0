//! What the page remembers of its chats: over HTTP, as the page does it.

use serde_json::{Value, json};

use crate::admin::{World, code};

async fn done(world: &World, method: &str, path: &str, body: Value) -> Value {
    let answer = world.ask(method, path, &body.to_string()).await;
    assert!([200, 201].contains(&answer.status), "{method} {path} {body}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_conversation_is_a_tree_that_is_kept() {
    let world = World::new(None).await;
    let start = json!({"model": "one", "sampling": {"temperature": 0.5}});
    let made = done(&world, "POST", "/conversations", start).await;
    let at = format!("/conversations/{}", made["id"].as_str().unwrap());
    let empty = json!({"title": null, "system": null, "leaf": null, "model": "one", "sampling": {"temperature": 0.5}});
    for (key, value) in empty.as_object().unwrap() {
        assert_eq!(&made[key], value, "{key}");
    }
    let messages = format!("{at}/messages");
    let question = json!({"parent": null, "role": "user", "content": "What is a mast?"});
    let question = done(&world, "POST", &messages, question).await;
    let answer = json!({"parent": question["id"], "role": "assistant", "content": ""});
    let first = done(&world, "POST", &messages, answer.clone()).await;
    let second = done(&world, "POST", &messages, answer).await;
    let end = json!({"content": "A pole.", "reasoning": "hm", "finish_reason": "stop", "session": "s", "report": {"cache": null}});
    let second = done(&world, "PATCH", &format!("{messages}/{}", second["id"].as_str().unwrap()), end).await;
    let leaf = json!({ "leaf": first["id"], "title": "Ships" });
    let changed = done(&world, "PATCH", &at, leaf).await;
    assert_eq!((&changed["title"], &changed["leaf"]), (&json!("Ships"), &first["id"]));
    let whole = world.get(&at).await;
    assert_eq!(whole, json!({"conversation": changed, "messages": [question, first, second]}));
    let found = world.get("/conversations?q=pol").await;
    assert_eq!((&found["more"], &found["conversations"][0]["snippet"]), (&json!(false), &json!("A pole.")));
    assert_eq!(world.get("/conversations?q=rope").await["conversations"], json!([]));
    assert_eq!(world.get("/conversations?q=%00%20ships%00").await["conversations"][0]["id"], made["id"]);
    let listed = world.get("/conversations?limit=1").await;
    assert_eq!(listed, json!({"conversations": [changed], "more": false}));
    let before = format!("/conversations?before={}", changed["updated_at"]);
    assert_eq!(world.get(&before).await["conversations"], json!([]));
    assert_eq!(done(&world, "DELETE", &at, json!({})).await, json!({"id": made["id"], "deleted": true}));
    assert_eq!(code(&world.ask("GET", &at, "").await), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_is_named() {
    let world = World::new(None).await;
    let id = done(&world, "POST", "/conversations", json!({})).await["id"].as_str().unwrap().to_owned();
    let (at, messages) = (format!("/conversations/{id}"), format!("/conversations/{id}/messages"));
    for (method, path, body, status, param) in [
        ("POST", "/conversations", r#"{"titel": "x"}"#, 400, "titel"),
        ("PATCH", &at, r#"{"title": 7}"#, 400, "title"),
        ("PATCH", &at, r#"{"sampling": "hot"}"#, 400, "sampling"),
        ("PATCH", &at, r#"{"leaf": "none"}"#, 404, ""),
        ("POST", &messages, r#"{"role": "system", "content": "x"}"#, 400, "role"),
        ("POST", &messages, r#"{"role": "user"}"#, 400, "content"),
        ("POST", &messages, r#"{"role": "user", "content": "x", "parent": "none"}"#, 404, ""),
        ("POST", &messages, r#"{"role": "user", "content": "x", "tool_calls": {}}"#, 400, "tool_calls"),
        ("PATCH", &format!("{messages}/none"), r#"{"role": "user"}"#, 400, "role"),
        ("PATCH", &format!("{messages}/none"), "{}", 404, ""),
        ("DELETE", "/conversations/none", "", 404, ""),
        ("GET", "/conversations?limit=x", "", 400, ""),
    ] {
        let answer = world.ask(method, path, body).await;
        answer.error();
        let named = answer.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, named.as_str()), (status, param), "{method} {path} {body}");
    }
    assert_eq!(world.get(&at).await["messages"], json!([]));
}

#[tokio::test]
async fn a_message_may_be_long_and_goes_with_its_session() {
    let world = World::new(None).await;
    let id = done(&world, "POST", "/conversations", json!({})).await["id"].as_str().unwrap().to_owned();
    let body = json!({
        "model": "one", "session_id": "chat-1", "messages": [{ "role": "user", "content": "hi" }]
    });
    let key = [crate::admin::JSON, ("x-api-key", "key")];
    assert_eq!(world.server.send("POST", "/v1/chat/completions", &key, &body.to_string()).await.status, 200);
    let session = async || world.server.send("GET", "/v1/sessions/chat-1", &key[1..], "").await.status;
    assert_eq!(session().await, 200);
    let long = json!({"role": "user", "content": "word ".repeat(1 << 19), "session": "chat-1"});
    let message = done(&world, "POST", &format!("/conversations/{id}/messages"), long.clone()).await;
    assert_eq!(message["content"], long["content"]);
    done(&world, "DELETE", &format!("/conversations/{id}"), json!({})).await;
    assert_eq!(session().await, 404);
}
