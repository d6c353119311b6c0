//! Hearth's page and the link that opens it, as whoever types the commands meets them.

use std::path::Path;

use hearth_tests::http::{self, Answer};
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
fn the_link_in_the_banner_opens_everything_once() {
    let home = tempfile::tempdir().unwrap();
    let server = start(home.path());
    let link = server.banner().lines().find_map(|line| line.strip_prefix("Open      : ")).expect("a link");
    let token = format!("Bearer {}", sign_in(&server, link).json()["token"].as_str().unwrap());
    for path in ["/admin/v1/status", "/v1/models"] {
        assert_eq!(http::get(&format!("{}{path}", server.base()), &[("authorization", &token)]).status, 200, "{path}");
    }
    let again = sign_in(&server, link);
    assert_eq!((again.status, again.json()["error"]["code"].as_str()), (401, Some("invalid_key")));
    assert!(again.json()["error"]["message"].as_str().unwrap().contains("`hearth ui`"));
    let page = server.get("/ui/");
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'; script-src 'self'"));
    assert!([200, 404].contains(&page.status) && !page.text.is_empty(), "{page:?}");
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
