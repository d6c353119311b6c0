//! Several real models in one server: each answers as it does alone, and leaves nothing behind when it is unloaded.

use std::thread;

use hearth_tests::models::random;
use hearth_tests::{Server, http, process};
use serde_json::{Value, json};

fn ask(model: &str, n: usize) -> Value {
    let messages = json!([{ "role": "user", "content": format!("{}What is the capital of France, for the {n}th time?", "Well, ".repeat(30)) }]);
    json!({ "model": model, "messages": messages, "max_tokens": 12, "temperature": 0 })
}

fn change(server: &Server, what: &str, model: &str) -> Value {
    let answer = server.post(&format!("/v1/models/{what}"), &json!({ "model": model }));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn status(server: &Server, model: &str) -> Value {
    let all = server.get("/v1/models/status").json();
    let cards = all["data"].as_array().unwrap().clone();
    cards.into_iter().find(|card| card["id"] == model).unwrap_or_else(|| panic!("{model}: {all}"))
}

fn pid(server: &Server, model: &str) -> u32 {
    let card = status(server, model);
    card["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or_else(|| panic!("{card}"))
}

#[test]
fn two_models_answer_at_once_as_they_do_alone() {
    let other = random("qwen3-f32");
    let server = Server::start(&["ember", other.path()]);
    assert!(server.banner().contains(": ember, qwen3-f32"), "{}", server.banner());
    assert_eq!(
        (&status(&server, "ember")["state"], &status(&server, "qwen3-f32")["state"]),
        (&json!("ready"), &json!("unloaded"))
    );

    let say = |model: &str, n| server.chat(&ask(model, n)).message()["content"].clone();
    let asks: Vec<(&str, usize)> = (0..20).map(|n| (if n % 2 == 0 { "ember" } else { "qwen3-f32" }, n)).collect();
    let together: Vec<Value> = thread::scope(|scope| {
        let started: Vec<_> = asks.iter().map(|&(model, n)| scope.spawn(move || say(model, n))).collect();
        started.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_ne!(pid(&server, "ember"), pid(&server, "qwen3-f32"));
    for (&(model, n), said) in asks.iter().zip(&together) {
        assert_eq!(*said, say(model, n), "{model} {n}");
    }
    let weights = status(&server, "qwen3-f32")["memory"]["weights"].as_u64().unwrap();
    assert!(weights > 100_000, "{weights}");
}

#[test]
fn a_model_comes_and_goes_any_number_of_times() {
    let other = random("qwen3-f32");
    let server = Server::start(&["ember", other.path(), "--idle-timeout", "never"]);
    let ember = pid(&server, "ember");
    let expected = server.chat(&ask("qwen3-f32", 1)).message();
    for _ in 0..20 {
        assert_eq!(change(&server, "load", "qwen3-f32"), json!({ "success": true, "model": "qwen3-f32" }));
        let worker = pid(&server, "qwen3-f32");
        assert_eq!(server.chat(&ask("qwen3-f32", 1)).message(), expected);
        change(&server, "unload", "qwen3-f32");
        assert!(!process::is_alive(worker), "its memory is given back when the answer comes");
    }
    assert_eq!(pid(&server, "ember"), ember, "the other one is not touched");
}

#[test]
fn a_load_tells_how_far_it_is() {
    let server = Server::start(&[]);
    change(&server, "unload", "ember");
    let body = json!({ "model": "ember", "stream": true }).to_string();
    let events: Vec<Value> = http::stream(&format!("{}/v1/models/load", server.base()), body).collect();
    let (steps, end) = events.split_at(events.len() - 2);
    assert_eq!(end, [json!({ "success": true, "model": "ember" }), json!("[DONE]")]);
    assert!(steps.iter().all(|step| step["progress"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share))));
    assert!(!steps.is_empty());
}

#[test]
fn a_model_that_nobody_uses_goes_and_comes_back_with_its_caches() {
    let server = Server::start(&["--idle-timeout", "0"]);
    let ask = ask("ember", 1);
    let first = server.chat(&ask).json();
    while status(&server, "ember")["state"] != "unloaded" {
        thread::yield_now();
    }
    let second = server.chat(&ask).json();
    assert_eq!(first["choices"], second["choices"]);
    assert_eq!(second["hearth"]["cache"]["source"], "disk", "{second}");
}
