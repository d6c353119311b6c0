//! Sessions from outside: both client styles, two at once, more than fit, over a restart.

use hearth_tests::Server;
use hearth_tests::models::random;
use serde_json::{Value, json};

use super::faults::cache_files;
use super::{bytes_under, cache, greedy, matched, message, restart, serve};

fn in_session(session: &str, messages: &[Value]) -> Value {
    let mut body = greedy(messages);
    body["session_id"] = session.into();
    body
}

fn content(answer: &Value) -> Value {
    let content = &answer["choices"][0]["message"]["content"];
    assert!(content.is_string(), "{answer}");
    content.clone()
}

/// The answer without any session or cache to a conversation of these turns.
fn expected(reference: &Server, said: &[&str]) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut answers = Vec::new();
    for said in said {
        messages.push(message("user", *said));
        let answer = content(&reference.chat(&greedy(&messages)).json());
        messages.push(message("assistant", answer.as_str().unwrap_or_default()));
        answers.push(answer);
    }
    answers
}

const SAID: [&str; 4] = ["the first turn of it", "and a second one", "something else", "the end"];

#[test]
fn a_client_may_send_its_whole_history_or_only_what_is_new() {
    let model = random("qwen2-f32");
    let reference = serve(model.path(), &["--cache-memory", "0"]);
    let answers = expected(&reference, &SAID);
    let server = serve(model.path(), &[]);
    let mut history = Vec::new();
    for (turn, (said, answer)) in SAID.iter().zip(&answers).enumerate() {
        history.push(message("user", *said));
        let whole = server.chat(&in_session("whole", &history)).json();
        let delta = server.chat(&in_session("delta", &[message("user", *said)])).json();
        assert_eq!((&content(&whole), &content(&delta)), (answer, answer), "turn {turn}");
        let names = if turn == 0 { ("new", "new") } else { ("continued", "delta") };
        assert_eq!(
            (&whole["hearth"]["session"]["turn"], &delta["hearth"]["session"]["turn"]),
            (&names.0.into(), &names.1.into())
        );
        // The second one finds at least what the first has left.
        assert!(matched(&delta) > 0 && (turn == 0 || matched(&whole) > 0), "{whole} {delta}");
        assert_eq!(cache(&delta)["miss"], Value::Null, "{delta}");
        history.push(message("assistant", answer.as_str().unwrap()));
    }
    let stored = server.get("/v1/sessions/delta").json();
    assert_eq!(stored["messages"].as_array().map(Vec::len), Some(8), "{stored}");
}

#[test]
fn sessions_are_listed_forked_and_deleted() {
    let model = random("qwen2-f32");
    let server = serve(model.path(), &[]);
    let reference = serve(model.path(), &["--cache-memory", "0"]);
    let answers = expected(&reference, &SAID[..3]);
    for said in &SAID[..2] {
        server.chat(&in_session("a", &[message("user", *said)])).message();
    }
    let fork = server.post("/v1/sessions/a/fork", &json!({"id": "b/ü"})).json();
    assert_eq!(fork["id"], "b/ü", "{fork}");
    for session in ["a", "b/ü"] {
        let answer = server.chat(&in_session(session, &[message("user", SAID[2])])).json();
        assert_eq!(content(&answer), answers[2], "{session}");
        assert!(matched(&answer) > 0, "{answer}");
    }
    let listed = server.get("/v1/sessions").json();
    let ids: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|session| &session["id"]).collect();
    assert_eq!(ids, ["b/ü", "a"], "{listed}");

    let url = format!("{}/v1/sessions/b%2F%C3%BC", server.base());
    let deleted = hearth_tests::http::delete(&url);
    assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(true)));
    assert_eq!(hearth_tests::http::delete(&url).status, 404);
    assert_eq!(server.get("/v1/sessions/b%2F%C3%BC").status, 404);
    assert_eq!(server.post("/v1/sessions/nobody/fork", &json!({})).status, 404);
}

#[test]
fn a_deleted_session_leaves_no_file_behind() {
    let model = random("llama-f32");
    let folder = tempfile::tempdir().unwrap();
    let start = || serve(model.path(), &["--cache-dir", folder.path().to_str().unwrap()]);
    let say = |server: &Server, session: &str| {
        server.chat(&in_session(session, &[message("user", format!("{session}, ").repeat(20))])).message()
    };
    let delete = |server: &Server, session: &str| {
        let url = format!("{}/v1/sessions/{session}", server.base());
        assert_eq!(hearth_tests::http::delete(&url).status, 200, "{session}");
    };
    let server = start();
    say(&server, "stays");
    say(&server, "goes");
    let server = restart(server, start);
    assert_eq!(cache_files(folder.path()).len(), 2);
    // One whose cache lies on disk, and one that has never been there.
    delete(&server, "goes");
    say(&server, "passes");
    delete(&server, "passes");
    let server = restart(server, start);
    assert_eq!(cache_files(folder.path()).len(), 1, "only what belongs to the other session");
    let left = server.get("/v1/sessions").json();
    assert_eq!((&left["data"][0]["id"], left["data"].as_array().map(Vec::len)), (&"stays".into(), Some(1)), "{left}");
    say(&server, "stays");
}

#[test]
fn two_requests_on_one_session_at_once_are_both_right() {
    let model = random("llama-f32");
    let reference = serve(model.path(), &["--cache-memory", "0"]);
    let server = serve(model.path(), &[]);
    let said = ["hello", "one way", "another way"];
    let base = [message("user", said[0])];
    let first = content(&reference.chat(&greedy(&base)).json());
    let after = |say: &str, earlier: &[(&str, &Value)]| {
        let turns = [&[(said[0], &first)], earlier].concat();
        let turns = turns.iter().flat_map(|(say, answer)| {
            [message("user", *say), message("assistant", answer.as_str().unwrap_or_default())]
        });
        let messages: Vec<Value> = turns.chain([message("user", say)]).collect();
        content(&reference.chat(&greedy(&messages)).json())
    };
    let right = [after(said[1], &[]), after(said[2], &[])];
    for round in 0..20 {
        let session = format!("s{round}");
        assert_eq!(content(&server.chat(&in_session(&session, &base)).json()), first);
        let ask = |at: usize| server.chat(&in_session(&session, &[message("user", said[at])])).json();
        let (one, other) = std::thread::scope(|scope| {
            let (one, other) = (scope.spawn(|| ask(1)), scope.spawn(|| ask(2)));
            (one.join().unwrap(), other.join().unwrap())
        });
        let kept = |answer: &Value| answer["hearth"]["session"]["kept"] == true;
        let answers = [content(&one), content(&other)];
        if kept(&one) && kept(&other) {
            // They came one after the other after all: the later one continues the earlier one.
            let one_first = [right[0].clone(), after(said[2], &[(said[1], &right[0])])];
            let other_first = [after(said[1], &[(said[2], &right[1])]), right[1].clone()];
            assert!(answers == one_first || answers == other_first, "{round}: {answers:?}");
        } else {
            assert_eq!(answers, right, "round {round}");
            assert!(kept(&one) || kept(&other), "one of them goes on");
        }
    }
}

#[test]
fn more_sessions_than_fit_lose_nothing_but_speed() {
    let model = random("llama-f32");
    // A session of up to 256 tokens takes 64 kB: room for 20.
    let server = serve(model.path(), &["--cache-memory", "1310720", "--cache-disk", "0"]);
    let reference = serve(model.path(), &["--cache-memory", "0"]);
    let said = |session: usize, turn: usize| format!("session {session} says its turn {turn}");
    let mut conversations: Vec<Vec<Value>> = vec![Vec::new(); 100];
    for turn in 0..3 {
        for (session, messages) in conversations.iter_mut().enumerate() {
            messages.push(message("user", said(session, turn)));
            let delta = [message("user", said(session, turn))];
            let found = content(&server.chat(&in_session(&format!("s{session}"), &delta)).json());
            assert_eq!(found, content(&reference.chat(&greedy(messages)).json()), "session {session}, turn {turn}");
            messages.push(message("assistant", found.as_str().unwrap_or_default()));
        }
    }
}

#[test]
fn their_files_never_take_the_room_of_all() {
    const DISK: u64 = 80 << 10;
    let model = random("llama-f32");
    let folder = tempfile::tempdir().unwrap();
    let start = || serve(model.path(), &["--cache-disk", "80K", "--cache-dir", folder.path().to_str().unwrap()]);
    let server = start();
    for session in 0..180 {
        let said = format!("{session} {}", "long ".repeat(70));
        server.chat(&in_session(&format!("s{session}"), &[message("user", said)])).message();
        assert!(bytes_under(folder.path()) <= DISK, "session {session}");
    }
    // A cache that fits: it takes 64 kB in memory.
    server.chat(&greedy(&[message("user", "short")])).message();
    let server = restart(server, start);
    assert!(bytes_under(folder.path()) <= DISK && !cache_files(folder.path()).is_empty());
    assert_eq!(server.get("/v1/sessions").json()["data"][0]["id"], "s179", "the last one is there");
}

#[test]
fn a_session_outlives_a_restart_and_a_crash_of_the_worker() {
    let model = random("qwen3-f32");
    let folder = tempfile::tempdir().unwrap();
    let start = || serve(model.path(), &["--cache-dir", folder.path().to_str().unwrap()]);
    let reference = serve(model.path(), &["--cache-memory", "0"]);
    let answers = expected(&reference, &SAID);
    let mut server = start();
    for (turn, (said, answer)) in SAID.iter().zip(&answers).enumerate() {
        let found = server.chat(&in_session("s", &[message("user", *said)])).json();
        assert_eq!(&content(&found), answer, "turn {turn}");
        match turn {
            0 => server = restart(server, start),
            1 => hearth_tests::process::signal(server.worker(), hearth_tests::process::Signal::KILL),
            _ => {}
        }
    }
}

#[test]
fn other_protocols_names_for_a_conversation_never_add_to_it() {
    let model = random("llama-f32");
    let server = serve(model.path(), &[]);
    let body = |name: &str| {
        let mut body = greedy(&[message("user", "the same question")]);
        match name {
            "user_id" => body["metadata"] = json!({"user_id": "u"}),
            _ => body["prompt_cache_key"] = "k".into(),
        }
        body
    };
    for name in ["user_id", "prompt_cache_key"] {
        let first = server.chat(&body(name)).json();
        let second = server.chat(&body(name)).json();
        assert_eq!(first["usage"]["prompt_tokens"], second["usage"]["prompt_tokens"], "{name}: {second}");
        assert_eq!(second["hearth"]["session"]["turn"], "replaced", "{name}");
    }
}
