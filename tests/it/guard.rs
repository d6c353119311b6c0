//! Who may talk to the server: a web page that another site's name leads here may not, nor may one of another origin,
//! nor anyone without the key where there is one.

use hearth_tests::{Server, http};

const BODY: &str = r#"{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}"#;

fn post(server: &Server, headers: &[(&str, &str)]) -> http::Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    http::post(&format!("{}/v1/chat/completions", server.base()), &headers, BODY)
}

#[test]
fn only_names_of_this_machine_and_allowed_ones_lead_here() {
    let server = Server::start(&["--allowed-host", "my-mac.local"]);
    let port = server.address().rsplit_once(':').unwrap().1;
    let table = [
        ("127.0.0.1", 200),
        ("localhost", 200),
        ("LOCALHOST", 200),
        ("[::1]", 200),
        ("my-mac.local", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("0.0.0.0", 403),
    ];
    for (host, status) in table {
        let host = format!("{host}:{port}");
        let answer = http::get(&format!("{}/v1/models", server.base()), &[("host", &host)]);
        assert_eq!(answer.status, status, "{host}: {answer:?}");
        assert_eq!(post(&server, &[("host", &host)]).status, status, "{host}");
    }
}

#[test]
fn pages_of_other_origins_are_kept_out_unless_allowed() {
    let server = Server::start(&["--cors-origin", "http://localhost:3000"]);
    let table =
        [("http://localhost:3000", 200), ("http://evil.example", 403), ("http://localhost:3001", 403), ("null", 403)];
    for (origin, status) in table {
        let answer = post(&server, &[("origin", origin)]);
        assert_eq!(answer.status, status, "{origin}: {answer:?}");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, (status == 200).then_some(origin), "{origin}");
    }
}

#[test]
fn with_a_key_only_those_who_have_it_are_answered() {
    let server = Server::start_with(&[], |command| _ = command.env("HEARTH_API_KEY", "open sesame".replace(' ', "-")));
    let table: [(&[(&str, &str)], u16); 5] = [
        (&[("authorization", "Bearer open-sesame")], 200),
        (&[("x-api-key", "open-sesame")], 200),
        (&[("authorization", "Bearer open-sesam")], 401),
        (&[("authorization", "open-sesame")], 401),
        (&[], 401),
    ];
    for (headers, status) in table {
        let answer = post(&server, headers);
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        assert!(status == 200 || !answer.error().is_empty());
    }
    for path in ["/health", "/healthz"] {
        assert_eq!(server.get(path).status, 200, "{path} needs no key");
    }
}

#[test]
fn without_a_key_any_header_will_do() {
    let server = Server::start(&[]);
    assert_eq!(post(&server, &[("authorization", "Bearer not-needed")]).status, 200);
    assert_eq!(post(&server, &[("authorization", "anything")]).status, 200);
}
