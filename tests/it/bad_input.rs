//! Bad input ends in one clear sentence that names the culprit, with the right exit code or status; and a server that
//! got it carries on.

use hearth_tests::models::Copy;
use hearth_tests::{Server, hearth, http};
use serde_json::{Value, json};

/// What `hearth serve` and `hearth run` say when they cannot load a folder.
fn load_error(arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = hearth(home.path()).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("ERROR: ")).collect();
    assert_eq!(errors.len(), 1, "one sentence: {said}");
    assert_eq!(said.lines().last(), Some(errors[0]), "it comes last, and is one line: {said}");
    assert!(!said.contains("panicked"), "{said}");
    errors[0].to_owned()
}

#[test]
fn a_model_that_cannot_be_loaded() {
    let table = [
        ("config.json", Copy::of_ember("a").remove("config.json")),
        ("config.json", Copy::of_ember("a").write("config.json", "{")),
        ("frobnicator", Copy::of_ember("a").json("config.json", |c| c["model_type"] = "frobnicator".into())),
        ("model.safetensors", Copy::of_ember("a").cut("model.safetensors", 100_000)),
        ("model.safetensors", Copy::of_ember("a").write("model.safetensors", "")),
        ("safetensors", Copy::of_ember("a").remove("model.safetensors")),
        ("hidden_size", Copy::of_ember("a").json("config.json", |c| c["hidden_size"] = "wide".into())),
        ("tokenizer.json", Copy::of_ember("a").write("tokenizer.json", "{\"model\":")),
        ("tokenizer.json", Copy::of_ember("a").remove("tokenizer.json")),
        ("chat_template.jinja", Copy::of_ember("a").write("chat_template.jinja", "{% if %}")),
    ];
    for (culprit, model) in &table {
        let said = load_error(&["serve", "--port", "0", model.path()]);
        assert!(said.contains(culprit), "{culprit} is not named: {said}");
        let said = load_error(&["run", model.path(), "Hi"]);
        assert!(said.contains(culprit), "{culprit} is not named: {said}");
    }
}

#[test]
fn a_model_that_is_not_there() {
    let table =
        [("no-such-model", "no-such-model"), ("/no/such/folder", "/no/such/folder"), ("a/b", "hearth pull a/b")];
    for (name, part) in table {
        for arguments in [["serve", "--port=0", name], ["run", name, "Hi"]] {
            let said = load_error(&arguments);
            assert!(said.contains(part), "{said}");
        }
    }
}

struct Case {
    name: &'static str,
    body: String,
    status: u16,
    /// `code`, and `param` where it is one field's fault.
    code: Value,
    param: Value,
    /// What the sentence names.
    says: &'static [&'static str],
}

fn case(
    name: &'static str,
    body: Value,
    status: u16,
    code: Value,
    param: Value,
    says: &'static [&'static str],
) -> Case {
    Case { name, body: body.to_string(), status, code, param, says }
}

fn chat(change: Value) -> Value {
    let mut body = json!({"model": "", "messages": [{"role": "user", "content": "Hi"}]});
    let changes = change.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(changes);
    body
}

fn cases() -> Vec<Case> {
    // Some times the context of 2,048 tokens, and no more: encoding has a deadline, and this may be a slow build.
    let long = "word ".repeat(10_000);
    let none = Value::Null;
    let user = |text: &str| json!({"messages": [{"role": "user", "content": text}]});
    let mut cases = vec![
        case("no messages", json!({"model": ""}), 400, none.clone(), json!("messages"), &["messages"]),
        case("negative", chat(json!({"max_tokens": -1})), 400, none.clone(), json!("max_tokens"), &["max_tokens"]),
        case("hot", chat(json!({"temperature": "hot"})), 400, none.clone(), json!("temperature"), &["temperature"]),
        case("raise", chat(user("raise")), 400, none.clone(), json!("messages"), &["no thanks"]),
        case(
            "other model",
            chat(json!({"model": "gpt-4"})),
            404,
            json!("model_not_found"),
            json!("model"),
            &["gpt-4", "brittle"],
        ),
        case("too long", chat(user(&long)), 400, json!("context_length_exceeded"), json!("messages"), &["context"]),
        case("n", chat(json!({"n": 0})), 400, none.clone(), json!("n"), &["n"]),
        case(
            "role",
            chat(json!({"messages": [{"role": "king", "content": "Hi"}]})),
            400,
            none.clone(),
            json!("messages[0].role"),
            &["king"],
        ),
    ];
    cases.push(Case {
        name: "not JSON",
        body: "{\"model\": ".into(),
        status: 400,
        code: none.clone(),
        param: none,
        says: &["JSON"],
    });
    cases
}

/// A server whose template refuses one sentence.
fn brittle() -> Copy {
    let copy = Copy::of_ember("Brittle");
    let template = std::fs::read_to_string(copy.dir().join("chat_template.jinja")).unwrap();
    let raise = "{% if messages[-1].content == 'raise' %}{{ raise_exception('no thanks') }}{% endif %}";
    copy.write("chat_template.jinja", format!("{raise}{template}"))
}

#[test]
fn a_request_that_cannot_be_answered() {
    let model = brittle();
    let server = Server::start(&[model.path()]);
    for case in cases() {
        let url = format!("{}/v1/chat/completions", server.base());
        let answer = http::post(&url, &[("content-type", "application/json")], case.body);
        assert_eq!(answer.status, case.status, "{}: {answer:?}", case.name);
        let error = answer.json()["error"].clone();
        let message = error["message"].as_str().unwrap_or_else(|| panic!("{}: {answer:?}", case.name));
        for part in case.says {
            assert!(message.contains(part), "{}: {part} is not named: {message}", case.name);
        }
        assert_eq!((&error["code"], &error["param"]), (&case.code, &case.param), "{}: {error}", case.name);
        assert_eq!(server.chat(&chat(json!({"max_tokens": 1}))).status, 200, "it carries on after: {}", case.name);
    }
}

#[test]
fn what_is_no_chat_request_at_all() {
    let server = Server::start(&[]);
    let url = |path: &str| format!("{}{path}", server.base());
    let typed = [("content-type", "application/json")];
    let table = [
        ("unknown path", http::get(&url("/v1/nothing"), &[]), 404),
        ("unknown path, posted", http::post(&url("/v1/nothing"), &typed, "{}"), 404),
        ("wrong verb", http::get(&url("/v1/chat/completions"), &[]), 405),
        ("unknown model", http::get(&url("/v1/models/no/such"), &[]), 404),
        ("too much", http::post(&url("/v1/chat/completions"), &typed, " ".repeat(40 << 20)), 413),
        ("another type", http::post(&url("/v1/chat/completions"), &[("content-type", "text/plain")], "{}"), 415),
    ];
    for (name, answer, status) in table {
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(!answer.error().is_empty(), "{name}");
    }
    assert_eq!(server.chat(&chat(json!({}))).status, 200, "it carries on");
}
