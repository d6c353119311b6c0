//! What is reused, and that the answer says so.

use hearth_tests::Server;
use hearth_tests::models::{ember, random};
use serde_json::{Value, json};

use super::{cache, greedy, matched, message, restart, serve};

/// Characters that are tokens, and a text of them.
fn text(seed: u8, length: usize) -> String {
    (0..length).map(|at| char::from(b'a' + ((at * at + usize::from(seed) * 7 + at / 3) % 26) as u8)).collect()
}

/// The answer to a conversation, and the conversation with it.
fn turn(server: &Server, messages: &mut Vec<Value>, said: &str) -> Value {
    messages.push(message("user", said));
    let answer = server.chat(&greedy(messages));
    messages.push(message("assistant", answer.message()["content"].as_str().unwrap_or_default()));
    answer.json()
}

#[test]
fn the_next_turn_finds_all_but_itself_also_after_a_restart() {
    for name in ["llama-f32", "gemma3_text-f32"] {
        let model = random(name);
        let folder = tempfile::tempdir().unwrap();
        let start = || serve(model.path(), &["--cache-dir", folder.path().to_str().unwrap()]);
        let server = start();
        let mut messages = Vec::new();
        let first = turn(&server, &mut messages, &text(1, 150));
        assert_eq!((&cache(&first)["source"], matched(&first)), (&json!("none"), 0), "{first}");
        assert_eq!(cache(&first)["miss"]["reason"], "cold", "{first}");

        let second = turn(&server, &mut messages, &text(2, 20));
        let history = first["usage"]["prompt_tokens"].as_u64().unwrap();
        assert_eq!(cache(&second)["source"], "memory", "{name}: {second}");
        assert!(matched(&second) + 16 >= history, "{name}: {second}");

        let server = restart(server, start);
        let third = turn(&server, &mut messages, &text(3, 20));
        let history = second["usage"]["prompt_tokens"].as_u64().unwrap();
        assert_eq!(cache(&third)["source"], "disk", "{name}: {third}");
        assert!(matched(&third) + 16 >= history, "{name}: {third}");
    }
}

#[test]
fn a_stream_says_it_in_the_chunk_that_ends_it() {
    let model = random("llama-f32");
    let server = serve(model.path(), &[]);
    let body = greedy(&[message("user", text(1, 100))]);
    server.chat(&body).message();
    let chunks: Vec<Value> = server.stream(&body).collect();
    let told: Vec<&Value> = chunks.iter().filter(|chunk| !chunk["hearth"].is_null()).collect();
    let [last] = told[..] else { panic!("one chunk tells: {chunks:?}") };
    assert!(last["choices"][0]["finish_reason"].is_string(), "{last}");
    assert_eq!(cache(last)["source"], "memory");
    for name in ["queue_ms", "load_ms", "restore_ms", "prefill_ms", "decode_ms"] {
        assert!(last["hearth"]["timings"][name].as_f64().is_some_and(|ms| ms >= 0.0), "{name}: {last}");
    }
}

#[test]
fn several_choices_of_a_new_prompt_are_the_answer_that_it_has_alone() {
    let model = random("qwen3-f32");
    let reference = serve(model.path(), &["--cache-memory", "0"]);
    let server = serve(model.path(), &[]);
    let mut body = greedy(&[message("user", text(5, 300))]);
    let alone = reference.chat(&body).json();
    body["n"] = 4.into();
    let answer = server.chat(&body).json();
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 4, "{answer}");
    assert!(choices.iter().all(|choice| choice["message"] == alone["choices"][0]["message"]), "{answer} {alone}");
    assert_eq!(answer["usage"]["prompt_tokens"], alone["usage"]["prompt_tokens"], "the prompt counts once");
    assert_eq!(matched(&answer), 0, "as the first choice found it");
}

#[test]
fn what_changed_is_named_by_its_message() {
    let model = random("llama-f32");
    let server = serve(model.path(), &[]);
    let system = message("system", text(1, 120));
    server.chat(&greedy(&[
        system.clone(),
        message("user", text(2, 40)),
        message("assistant", text(3, 20)),
        message("user", "a"),
    ]));
    let edited = [system, message("user", text(9, 40)), message("assistant", text(3, 20)), message("user", "a")];
    let answer = server.chat(&greedy(&edited)).json();
    assert_eq!(cache(&answer)["miss"], json!({"reason": "changed", "message_index": 1}), "{answer}");
    assert!(matched(&answer) > 100, "the system message was found: {answer}");
}

#[test]
fn a_shared_system_prompt_is_computed_once_for_clients_that_come_together() {
    let model = random("llama-f32");
    let server = serve(model.path(), &[]);
    let system = message("system", text(4, 300));
    let ask = |client: u8| server.chat(&greedy(&[system.clone(), message("user", text(client, 30))])).json();
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|client| scope.spawn(move || ask(client))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let cold = answers.iter().filter(|answer| matched(answer) < 250).count();
    assert_eq!(cold, 1, "{answers:?}");
}

#[test]
fn a_prompt_that_the_memory_cannot_hold_is_refused_with_both_numbers() {
    let model = random("llama-f32");
    // The weights take some 100 kB; a cache of 256 tokens 64 kB.
    let server = serve(model.path(), &["--memory", "300K", "--cache-memory", "0"]);
    let short = server.chat(&greedy(&[message("user", "a")]));
    assert_eq!(short.status, 200, "{short:?}");
    let long = server.chat(&greedy(&[message("user", text(1, 450))]));
    assert_eq!(long.status, 400, "{long:?}");
    let digits = long.error().split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).count();
    assert!(digits >= 2 && long.error().contains("memory"), "{long:?}");
    assert_eq!(server.chat(&greedy(&[message("user", "b")])).status, 200);
}

#[test]
fn quantized_caches_answer_alike_cold_and_warm() {
    let model = ember();
    let model = model.to_str().unwrap();
    for bits in ["8", "4"] {
        let cold = serve(model, &["--kv-bits", bits, "--cache-memory", "0"]);
        let warm = serve(model, &["--kv-bits", bits]);
        let mut messages = Vec::new();
        for seed in 0..4 {
            messages.push(message("user", text(seed, 60)));
            let (expected, found) = (cold.chat(&greedy(&messages)).message(), warm.chat(&greedy(&messages)));
            assert_eq!(found.message(), expected, "{bits} bits, turn {seed}");
            assert_eq!(matched(&found.json()) > 0, seed > 0, "{found:?}");
            messages.push(message("assistant", expected["content"].as_str().unwrap_or_default()));
        }
    }
    // What the model's heads do not allow is said at the start.
    let narrow = random("llama-f32");
    let home = tempfile::tempdir().unwrap();
    let output = hearth_tests::hearth(home.path())
        .args(["serve", "--port", "0", "--kv-bits", "8", narrow.path()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("head"), "{error}");
}
