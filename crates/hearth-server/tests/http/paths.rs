//! Which paths answer, and in whose words the others refuse.

use serde_json::json;

use crate::support::saying;

#[tokio::test]
async fn models_are_listed_with_and_without_the_prefix() {
    let server = saying("hi").await;
    for path in ["/v1/models", "/models"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let list = answer.json();
        let created = list["data"][0]["created"].as_u64().expect("a time");
        assert!(created > 1_700_000_000, "{created}");
        let card = &list["data"][0];
        assert_eq!(
            (&card["id"], &card["object"], &card["owned_by"]),
            (&json!("test-model"), &json!("model"), &json!("hearth"))
        );
        assert_eq!((&card["type"], &card["display_name"]), (&json!("model"), &json!("Test-Model")));
        assert!(card["created_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{card}");
        assert_eq!((&list["object"], &list["has_more"]), (&json!("list"), &json!(false)));
        assert_eq!((&list["first_id"], &list["last_id"]), (&json!("test-model"), &json!("other-model")));
    }
}

#[tokio::test]
async fn a_model_answers_to_each_of_its_names() {
    let server = saying("hi").await;
    for name in ["test-model", "Test-Model", "org/Test-Model", "org%2FTest-Model", "ORG/test-model", "default"] {
        for prefix in ["/v1", ""] {
            let answer = server.get(&format!("{prefix}/models/{name}")).await;
            assert_eq!((answer.status, &answer.json()["id"]), (200, &json!("test-model")), "{prefix} {name}");
        }
    }
    assert_eq!(server.get("/v1/models/org/Other-Model").await.json()["id"], "other-model");
    for name in ["other", "org/other", "org%2Fother", "..%2F..%2Fetc%2Fpasswd", "%00"] {
        let answer = server.get(&format!("/v1/models/{name}")).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("model_not_found")), "{name}");
        assert!(answer.error().contains("test-model"), "the installed names are told: {answer:?}");
    }
    let answer = server.get("/v1/models/%FF").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    answer.error();
}

#[tokio::test]
async fn the_context_is_told_once_the_model_is_loaded() {
    let server = saying("hi").await;
    let card = |answer: crate::support::Answer| answer.json()["data"][0].clone();
    assert_eq!(card(server.get("/v1/models").await)["context_length"], json!(null));
    server.engine.load("", None).await.expect("the fake loads");
    let card = card(server.get("/v1/models").await);
    assert_eq!((&card["context_length"], &card["max_model_len"]), (&json!(4096), &json!(4096)));
}

#[tokio::test]
async fn health_says_what_there_is_and_wakes_nothing() {
    let server = saying("hi").await;
    for _ in 0..2 {
        let health = server.get("/health").await.json();
        assert_eq!((&health["status"], &health["model"]), (&json!("ok"), &json!("test-model")));
        assert_eq!(
            (&health["models"], &health["protocols"]),
            (&json!(["test-model", "other-model"]), &json!(["openai"]))
        );
        assert_eq!((&health["worker"], &health["version"]), (&json!("stopped"), &json!(env!("CARGO_PKG_VERSION"))));
    }
    assert_eq!(server.get("/healthz").await.json(), json!({ "status": "ok" }));
    server.engine.load("", None).await.expect("the fake loads");
    assert_eq!(server.get("/health").await.json()["worker"], "ready");
}

#[tokio::test]
async fn an_unknown_path_is_refused_in_the_words_of_its_prefix() {
    let server = saying("hi").await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v2/models",
        "/v1/chat/completions/x",
        "/health/x",
        "/apis",
        "/v1/messagesx",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.error(), format!("Unknown path: GET {path}."));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!(server.get("/api/tags").await.json(), json!({ "error": "Unknown path: GET /api/tags." }));
    let expected = json!({ "type": "not_found_error", "message": "Unknown path: GET /v1/messages/x." });
    assert_eq!(server.get("/v1/messages/x").await.json(), json!({ "type": "error", "error": expected }));
}

#[tokio::test]
async fn a_wrong_method_is_refused_with_the_right_ones() {
    let server = saying("hi").await;
    for (method, path, allow) in [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/chat/completions", "POST"),
        ("PUT", "/v1/models", "GET,HEAD"),
        ("POST", "/v1/models/x", "GET,HEAD"),
        ("GET", "/v1/models/load", "POST"),
        ("POST", "/models/status", "GET,HEAD"),
        ("POST", "/health", "GET,HEAD"),
    ] {
        let answer = server.send(method, path, &[("Content-Type", "application/json")], "{}").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(answer.error(), format!("{path} does not take {method}."));
    }
    let head = server.send("HEAD", "/v1/models", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}
