//! Hearth's page and the link that opens it, as whoever types the commands meets them.

use std::path::Path;

use hearth_tests::http::{self, Answer};
use hearth_tests::process::Signal;
use hearth_tests::{Server, hearth};
use serde_json::json;

fn start(home: &Path) -> Server {
    Server::start_with(&["--api-key", "secret"], |command| _ = command.env("HEARTH_HOME", home))
}

/// Signs in as the page does, with the key of a link.
fn sign_in(server: &Server, link: &str) -> Answer {
    let key = link.strip_prefix(&format!("{}/ui/#key=", server.base())).expect("a link to this server's page");
    server.post("/admin/v1/session", &json!({ "key": key }))
}

#[test]
fn the_link_at_the_start_opens_everything_once() {
    let home = tempfile::tempdir().unwrap();
    let server = start(home.path());
    let link = server.banner().lines().find_map(|line| line.strip_prefix("Open in a browser: ")).expect("a link");
    let token = format!("Bearer {}", sign_in(&server, link).json()["token"].as_str().unwrap());
    for path in ["/admin/v1/status", "/v1/models"] {
        assert_eq!(http::get(&format!("{}{path}", server.base()), &[("authorization", &token)]).status, 200, "{path}");
    }
    let again = sign_in(&server, link);
    assert_eq!((again.status, again.json()["error"]["code"].as_str()), (401, Some("invalid_key")));
    assert!(again.json()["error"]["message"].as_str().unwrap().contains("`hearth ui`"));
    let page = server.get("/ui/");
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'; script-src 'self'"));
    // Which it is depends on whether the page was built.
    let expected = if page.status == 200 { "<!doctype html>" } else { "without its page: `npm start` builds it" };
    assert!([200, 404].contains(&page.status) && page.text.contains(expected), "{page:?}");
}

#[test]
fn hearth_ui_prints_a_link_of_the_server_that_runs() {
    let home = tempfile::tempdir().unwrap();
    let ui = || hearth(home.path()).args(["ui", "--no-open"]).output().unwrap();
    let refused = ui();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("`hearth serve`"), "{said}");
    let server = start(home.path());
    let links = [ui(), ui()].map(|output| String::from_utf8(output.stdout).unwrap());
    assert!(links[0] != links[1]);
    for link in links {
        assert_eq!(sign_in(&server, link.trim_end()).status, 200, "{link}");
    }
}

/// A server whose settings are changed in its page, and what the next one makes of them.
#[test]
fn what_is_set_in_the_page_counts_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let start =
        |arguments: &[&str]| Server::start_with(arguments, |command| _ = command.env("HEARTH_HOME", home.path()));
    let mut server = start(&[]);
    let token = |server: &Server| {
        let link = server.banner().lines().find_map(|line| line.strip_prefix("Open in a browser: ")).expect("a link");
        format!("Bearer {}", sign_in(server, link).json()["token"].as_str().unwrap())
    };
    let own = token(&server);
    let headers = [("content-type", "application/json"), ("authorization", own.as_str())];
    let admin = |server: &Server, path: &str| format!("{}/admin/v1{path}", server.base());
    let key = http::post(&admin(&server, "/key"), &headers, "{}").json()["key"].as_str().unwrap().to_owned();
    assert_eq!(server.get("/v1/models").status, 401);
    let changes = json!({"network": true, "cache_disk": 50_000_000, "idle_timeout": -1, "memory": 3_000_000_000_u64});
    let changed = http::patch(&admin(&server, "/settings"), &headers, changes.to_string()).json();
    assert_eq!((&changed["needs_restart"], &changed["in_force"]["network"]), (&json!(true), &json!(false)));
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());

    let server = start(&["--memory", "2G"]);
    assert!(server.banner().contains("Auth      : Bearer token enabled"));
    let own = token(&server);
    let settings = http::get(&admin(&server, "/settings"), &[("authorization", &own)]).json();
    let port: u16 = server.address().rsplit_once(':').unwrap().1.parse().unwrap();
    let in_force = json!({
        "port": port, "network": true, "memory": 2_u64 << 30, "cache_memory": null, "cache_disk": 50_000_000, "idle_timeout": -1
    });
    assert_eq!(settings["in_force"], in_force);
    let from = json!({
        "cache_disk": "setting", "cache_memory": "default", "idle_timeout": "setting", "memory": "flag",
        "network": "setting", "port": "flag"
    });
    assert_eq!((&settings["from"], &settings["needs_restart"]), (&from, &json!(false)));
    assert_eq!(http::get(&format!("{}/v1/models", server.base()), &[("x-api-key", &key)]).status, 200);
    let status = http::get(&admin(&server, "/status"), &[("authorization", &own)]).json();
    assert_eq!(status["cache"]["limit"], 50_000_000, "{status}");
}
