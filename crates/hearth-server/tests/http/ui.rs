//! Hearth's own page: what browsers get of it, and how one signs in.

use std::borrow::Cow;

use hearth_engine::fake::FakeRunner;
use serde_json::json;

use crate::{
    admin::{JSON, World, code},
    support::{Server, Setup},
};

fn files(path: &str) -> Option<Cow<'static, [u8]>> {
    match path {
        "index.html" => Some(b"<!doctype html>"[..].into()),
        "assets/index-1a2b.js" => Some(b"run()"[..].into()),
        path if path.contains("secret") => Some(b"not a part of the page"[..].into()),
        _ => None,
    }
}

async fn serving(files: hearth_server::Files) -> Server {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.server.ui = Some(files);
    setup.server.api_key = Some("key".into());
    setup.start().await
}

#[tokio::test]
async fn the_page_loads_without_a_key_and_nothing_from_elsewhere() {
    let server = serving(files).await;
    for (path, kind, cache, body) in [
        ("/ui/", "text/html; charset=utf-8", "no-cache", "<!doctype html>"),
        ("/ui/index.html", "text/html; charset=utf-8", "no-cache", "<!doctype html>"),
        ("/ui/assets/index-1a2b.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "run()"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
        assert_eq!(
            (answer.header("content-type"), answer.header("cache-control")),
            (Some(kind), Some(cache)),
            "{path}"
        );
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; ") && policy.contains("frame-ancestors 'none'")
        );
        let headers = ["x-content-type-options", "referrer-policy"].map(|name| answer.header(name));
        assert_eq!(headers, [Some("nosniff"), Some("no-referrer")]);
    }
    assert_eq!(server.get("/ui/assets/other.js").await.status, 404);
    for path in ["/ui/../secret", "/ui/..%2Fsecret", "/ui/assets/../../secret", "/ui//secret", "/ui/%2Fsecret"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    assert_eq!(server.send("POST", "/ui/", &[JSON], "").await.status, 401);
}

#[tokio::test]
async fn browsers_find_the_page_and_programs_find_nothing() {
    let server = serving(files).await;
    let browser = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for path in ["/", "/ui"] {
        let answer = server.send("GET", path, &[browser], "").await;
        assert_eq!((answer.status, answer.header("location")), (307, Some("/ui/")), "{path}");
    }
    assert_eq!(server.get("/").await.status, 401);
    let key = ("x-api-key", "key");
    assert_eq!(code(&server.send("GET", "/", &[key], "").await), (404, "unknown_path".to_owned()));
    assert_eq!(crate::support::saying("hi").await.send("GET", "/ui/", &[browser], "").await.status, 404);
}

#[tokio::test]
async fn a_build_without_the_page_says_how_to_come_by_it() {
    let answer = serving(|_| None).await.get("/ui/").await;
    assert!(answer.status == 404 && answer.body.contains("`npm start` builds it"), "{answer:?}");
}

#[tokio::test]
async fn a_link_gives_the_token_once() {
    let world = World::new(None).await;
    let link = world.ask("POST", "/links", "{}").await.json();
    let (page, key) = link["url"].as_str().unwrap().split_once("#key=").unwrap();
    assert_eq!(page, "http://127.0.0.1:1/ui/");
    let sign_in = async |body: String| world.server.send("POST", "/admin/v1/session", &[JSON], &body).await;
    let wrong = (401, "invalid_key".to_owned());
    for body in [json!({}), json!({ "key": "" }), json!({ "key": null }), json!({ "key": &key[1..] })] {
        assert_eq!(code(&sign_in(body.to_string()).await), wrong, "{body}");
    }
    let good = json!({ "key": key }).to_string();
    let token = sign_in(good.clone()).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(code(&sign_in(good).await), wrong);
    let bearer = format!("Bearer {token}");
    let answer = world.server.send("GET", "/admin/v1/status", &[("Authorization", &bearer)], "").await;
    assert_eq!(answer.status, 200);
    // A link is made by those who have the token.
    assert_eq!(
        code(&world.server.send("POST", "/admin/v1/links", &[JSON], "{}").await),
        (401, "invalid_token".to_owned())
    );
}
