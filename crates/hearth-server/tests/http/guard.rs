//! Web pages of other sites stay out: T1 (DNS rebinding) and T2 (cross-site requests).

use hearth_engine::fake::FakeRunner;

use crate::support::{Server, Setup, request, saying};

const ROUTES: [(&str, &str); 12] = [
    ("GET", "/health"),
    ("GET", "/healthz"),
    ("GET", "/v1/models"),
    ("GET", "/models/test-model"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/chat/completions"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/sessions/s"),
    ("DELETE", "/sessions/s"),
    ("PATCH", "/sessions/s"),
    ("POST", "/v1/sessions/s/fork"),
    ("GET", "/nothing"),
];

const CHAT: &str = r#"{"messages":[{"role":"user","content":"Hi"}]}"#;
const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn t1_only_own_hosts_are_answered() {
    let server = saying("hi").await;
    let port = server.port;
    let [own, other] = [port, port ^ 1];
    for host in [
        "evil.com".to_owned(),
        format!("evil.com:{own}"),
        format!("evil.localhost.evil.com:{own}"),
        format!("127.0.0.1.nip.io:{own}"),
        format!("localhost.:{own}"),
        format!("127.0.0.1:{other}"),
        format!("localhost:{other}"),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        format!("[::1%25lo]:{own}"),
        format!("0.0.0.0:{own}"),
        format!("127.0.0.2:{own}"),
        format!("127.1:{own}"),
        format!("2130706433:{own}"),
        format!("user@localhost:{own}"),
        format!("localhost:{own}:{own}"),
        String::new(),
    ] {
        for (method, path) in ROUTES {
            let answer = server.raw(&request(method, path, &[("Host", &host), JSON], CHAT)).await;
            assert_eq!(answer.status, 403, "{host:?} {method} {path}");
            let error = &answer.json()["error"];
            assert_eq!(error["code"], "host_not_allowed");
            assert!(error["message"].as_str().unwrap().contains(&format!("use 127.0.0.1:{own}")), "{error}");
        }
    }
    for host in
        [format!("127.0.0.1:{own}"), format!("localhost:{own}"), format!("LocalHost:{own}"), format!("[::1]:{own}")]
    {
        for (method, path) in ROUTES {
            let answer = server.raw(&request(method, path, &[("Host", &host), JSON], CHAT)).await;
            assert_ne!(answer.status, 403, "{host:?} {method} {path}");
        }
    }
    assert_eq!(server.get("/health").await.json()["worker"], "ready", "the good hosts were served");
}

#[tokio::test]
async fn t1_a_request_names_one_host() {
    let server = saying("hi").await;
    let own = format!("127.0.0.1:{}", server.port);
    for (line, hosts, status) in [
        ("/health", vec![], 403),
        ("/health", vec![own.as_str(), own.as_str()], 403),
        ("/health", vec![own.as_str(), "evil.com"], 403),
        ("http://evil.com/health", vec![own.as_str()], 403),
        (&format!("http://{own}/health"), vec!["evil.com"], 403),
        (&format!("http://{own}/health"), vec![own.as_str()], 200),
    ] {
        let headers: Vec<_> = hosts.iter().map(|host| ("Host", *host)).collect();
        let answer = server.raw(&request("GET", line, &headers, "")).await;
        assert_eq!(answer.status, status, "{line} {hosts:?}");
    }
}

#[tokio::test]
async fn other_hosts_are_answered_where_the_operator_says_so() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.server.allowed_hosts = vec!["hearth.example".to_owned(), "mac.local:9000".to_owned()];
    let server = setup.start().await;
    for (host, status) in [
        ("hearth.example", 200),
        ("Hearth.Example:443", 200),
        ("mac.local:9000", 200),
        ("mac.local", 403),
        ("mac.local:9001", 403),
        ("a.hearth.example", 403),
    ] {
        let answer = server.raw(&request("GET", "/health", &[("Host", host)], "")).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

async fn post(server: &Server, headers: &[(&str, &str)]) -> u16 {
    server.send("POST", "/v1/chat/completions", headers, CHAT).await.status
}

#[tokio::test]
async fn t2_cross_site_requests_change_nothing() {
    let server = saying("hi").await;
    let own = format!("http://127.0.0.1:{}", server.port);
    let types = [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("Application/JSON"), 200),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data; boundary=x"), 415),
        (Some("text/plain; application/json"), 415),
        (Some("application/jsonp"), 415),
        (None, 415),
    ];
    let origins = [
        (None, true),
        (Some(own.as_str()), true),
        (Some("null"), false),
        (Some("https://evil.example"), false),
        (Some("http://localhost:3000"), false),
        (Some("tauri://localhost"), false),
        (Some("chrome-extension://abc"), false),
        (Some("http://127.0.0.1"), false),
    ];
    for (kind, without_origin) in types {
        for (origin, admitted) in origins {
            let headers = [kind.map(|kind| ("Content-Type", kind)), origin.map(|origin| ("Origin", origin))];
            let headers: Vec<_> = headers.into_iter().flatten().collect();
            let answer = server.send("POST", "/v1/chat/completions", &headers, CHAT).await;
            assert_eq!(answer.status, if admitted { without_origin } else { 403 }, "{kind:?} {origin:?}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
            if answer.status != 200 {
                answer.error();
            }
        }
    }
    assert_eq!(server.engine.status()[0].requests, 3 * 2, "nothing else reached the engine");
}

#[tokio::test]
async fn t2_what_the_browser_says_of_the_site_counts() {
    let server = saying("hi").await;
    let own = format!("http://127.0.0.1:{}", server.port);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        assert_eq!(post(&server, &[JSON, ("Sec-Fetch-Site", site)]).await, status, "{site}");
        let get = server.send("GET", "/v1/models", &[("Sec-Fetch-Site", site)], "").await;
        assert_eq!(get.status, 200, "reading is harmless: no page can see the answer");
    }
    assert_eq!(post(&server, &[JSON, ("Sec-Fetch-Site", "same-origin"), ("Origin", &own)]).await, 200);
    let get = server.send("GET", "/v1/models", &[("Origin", "https://evil.example")], "").await;
    assert_eq!((get.status, get.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() {
    let server = saying("hi").await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
         Origin: https://evil.example\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n",
        server.port
    );
    assert_eq!(server.raw(&head).await.status, 403);
}

#[tokio::test]
async fn listed_origins_may_call_and_read() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.server.cors_origins = vec!["https://chat.example".to_owned(), "tauri://localhost".to_owned()];
    setup.server.api_key = Some("key".to_owned());
    let server = setup.start().await;
    for origin in ["https://chat.example", "tauri://localhost"] {
        let preflight = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization, content-type"),
        ];
        let answer = server.send("OPTIONS", "/v1/chat/completions", &preflight, "").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some(origin)));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, PATCH, DELETE"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization, content-type"));

        let call = [JSON, ("Origin", origin), ("Sec-Fetch-Site", "cross-site"), ("Authorization", "Bearer key")];
        let answer = server.send("POST", "/v1/chat/completions", &call, CHAT).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
        assert_eq!(answer.header("vary"), Some("origin"));
        let refused = server.send("POST", "/v1/chat/completions", &call[..3], CHAT).await;
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(origin)));
    }
    let foreign = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    let answer = server.send("OPTIONS", "/v1/chat/completions", &foreign, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
}

#[tokio::test]
async fn any_origin_may_call_where_the_operator_says_so() {
    let mut setup = Setup::new(|| FakeRunner::saying("hi"));
    setup.server.cors_origins = vec!["*".to_owned()];
    let server = setup.start().await;
    let call = [JSON, ("Origin", "https://any.example")];
    let answer = server.send("POST", "/v1/chat/completions", &call, CHAT).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("https://any.example")));
}
