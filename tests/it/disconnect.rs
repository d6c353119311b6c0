//! A client that leaves takes its request along: nothing runs on for nobody.

use hearth_tests::Server;
use hearth_tests::models::tireless_ember;
use serde_json::json;

#[test]
fn a_stream_that_nobody_reads_any_more_ends() {
    let model = tireless_ember();
    let server = Server::start(&[model.path()]);
    let body = json!({
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 90_000,
    });
    let streams: Vec<_> = (0..3).map(|_| server.stream(&body)).collect();
    let load = || server.get("/health").json();
    while load()["running"] != 3 {}
    drop(streams);
    while load()["running"] != 0 {}

    let short = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4});
    assert_eq!(server.chat(&short).status, 200);
}
