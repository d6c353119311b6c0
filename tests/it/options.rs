//! What options change in the answers, and under which names a model answers.

use std::fs;
use std::os::unix::fs::symlink;

use hearth_tests::models::{Copy, ember, tireless_ember};
use hearth_tests::process::Signal;
use hearth_tests::{Answer, Server};
use serde_json::{Value, json};

fn ask(server: &Server, change: Value) -> Answer {
    let mut body = json!({"messages": [{"role": "user", "content": "Who are you?"}]});
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    server.chat(&body)
}

#[test]
fn a_file_bounds_answers_and_sets_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("short.jinja");
    fs::write(&template, "{{ messages[-1].content }}").unwrap();
    let file = folder.path().join("hearth.toml");
    let model = tireless_ember();
    let named = format!("model = {:?}", model.path());
    let lines = [&named, "max-tokens = 3", "context = 40", "max-batch = 1", &format!("chat-template = {template:?}")];
    fs::write(&file, lines.join("\n")).unwrap();
    let server = Server::start(&["-C", file.to_str().unwrap()]);

    let answer = ask(&server, json!({})).json();
    assert_eq!(
        (&answer["usage"]["completion_tokens"], &answer["choices"][0]["finish_reason"]),
        (&json!(3), &json!("length"))
    );
    // The template adds nothing to the words of the question.
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() < 10, "{answer}");
    assert_eq!(ask(&server, json!({"max_tokens": 5})).json()["usage"]["completion_tokens"], 5);
    assert_eq!(ask(&server, json!({"max_tokens": 50})).json()["error"]["code"], "context_length_exceeded");
    assert_eq!(server.get("/v1/models").json()["data"][0]["context_length"], 40);
}

#[test]
fn a_model_of_the_hub_cache_answers_to_all_its_names() {
    let cache = tempfile::tempdir().unwrap();
    let repo = cache.path().join("hub/models--acme--Tiny-Ember");
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::create_dir_all(repo.join("snapshots")).unwrap();
    fs::write(repo.join("refs/main"), "0123abcd").unwrap();
    symlink(ember(), repo.join("snapshots/0123abcd")).unwrap();
    let server = Server::start_with(&["acme/Tiny-Ember"], |command| _ = command.env("HF_HOME", cache.path()));

    assert_eq!(server.get("/health").json()["model"], "tiny-ember");
    for name in ["tiny-ember", "acme/Tiny-Ember", "ACME/tiny-ember", "Tiny-Ember", "", "default"] {
        let answer = ask(&server, json!({"model": name, "max_tokens": 1}));
        assert_eq!(answer.json()["model"], "tiny-ember", "{name}: {answer:?}");
    }
    for name in ["tiny", "acme", "acme/Tiny"] {
        assert_eq!(ask(&server, json!({"model": name})).status, 404, "{name}");
    }
    assert_eq!(server.get("/v1/models/acme/Tiny-Ember").json()["id"], "tiny-ember");
}

#[test]
fn a_service_without_a_home_works_without_files() {
    let model = Copy::of_ember("ember");
    let mut server = Server::start_with(&[model.path()], |command| {
        for name in ["HEARTH_HOME", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
    });
    assert_eq!(ask(&server, json!({})).status, 200);
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("WARN nothing is kept on disk") && log.contains("--cache-dir"), "{log}");
}
