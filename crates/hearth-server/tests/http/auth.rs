//! API keys: who needs one, and in which forms it may come.

use hearth_engine::fake::FakeRunner;

use crate::support::Setup;

const PATHS: [(&str, &str); 9] = [
    ("GET", "/v1/models"),
    ("GET", "/models/x"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/sessions"),
    ("DELETE", "/v1/sessions/s"),
    ("PATCH", "/v1/sessions/s"),
    ("POST", "/sessions/s/fork"),
    ("GET", "/nothing"),
    ("GET", "/"),
];

async fn with_key() -> crate::support::Server {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.server.api_key = Some("s3cret".to_owned());
    setup.start().await
}

#[tokio::test]
async fn every_path_but_health_needs_the_key() {
    let server = with_key().await;
    for (method, path) in PATHS {
        let json = ("Content-Type", "application/json");
        for wrong in [
            ("X-Nothing", ""),
            ("Authorization", "Bearer s3cre"),
            ("Authorization", "Bearer s3cret2"),
            ("Authorization", "Basic s3cret"),
            ("Authorization", "s3cret"),
            ("Authorization", "Bearer "),
            ("x-api-key", "S3CRET"),
            ("x-api-key", ""),
        ] {
            let answer = server.send(method, path, &[json, wrong], "{}").await;
            assert_eq!(answer.status, 401, "{method} {path} {wrong:?}");
            assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(answer.error().contains("API key"));
        }
    }
    for path in ["/health", "/healthz"] {
        assert_eq!(server.get(path).await.status, 200);
    }
}

#[tokio::test]
async fn the_right_key_opens_in_each_form() {
    let server = with_key().await;
    for right in [
        ("Authorization", "Bearer s3cret"),
        ("authorization", "bearer s3cret"),
        ("x-api-key", "s3cret"),
        ("X-API-Key", "s3cret"),
    ] {
        assert_eq!(server.send("GET", "/v1/models", &[right], "").await.status, 200, "{right:?}");
    }
    let both = [("Authorization", "Bearer other"), ("x-api-key", "s3cret")];
    assert_eq!(server.send("GET", "/v1/models", &both, "").await.status, 200);
}

#[tokio::test]
async fn without_a_key_any_header_is_accepted() {
    let server = crate::support::saying("hi").await;
    for header in [("Authorization", "Bearer not-needed"), ("Authorization", "nonsense"), ("x-api-key", "x")] {
        assert_eq!(server.send("GET", "/v1/models", &[header], "").await.status, 200, "{header:?}");
    }
}
