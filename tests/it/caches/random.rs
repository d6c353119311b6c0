//! Conversations at random, with caches and without: extended, branched, edited, given up in the middle, evicted,
//! continued after a restart, sent whole or turn by turn in a session. The answers are the same, token by token.

use hearth_tests::Server;
use hearth_tests::models::random;
use serde_json::Value;

use super::{bytes_under, greedy, matched, message, restart, serve};

/// Conversations of each model.
const CONVERSATIONS: usize = 40;
const TURNS: usize = 5;
/// Characters, each a token, that fit the models' context of 512 with some room.
const LONGEST: usize = 380;
/// Small enough that most of what is kept has to go again.
const MEMORY: &str = "1M";
const DISK: u64 = 2 << 20;

#[test]
fn llama() {
    check("llama-f32", &[]);
}

#[test]
fn mistral() {
    check("mistral-f32", &[]);
}

#[test]
fn qwen2() {
    check("qwen2-f32", &[]);
}

#[test]
fn qwen3() {
    check("qwen3-f32", &[]);
}

#[test]
fn gemma3_whose_windows_cannot_be_cut_back() {
    check("gemma3_text-f32", &[]);
}

fn check(name: &str, arguments: &[&str]) {
    let model = random(name);
    let reference = serve(model.path(), &[&["--cache-memory", "0"], arguments].concat());
    let folder = tempfile::tempdir().unwrap();
    let disk = DISK.to_string();
    let caching = ["--cache-memory", MEMORY, "--cache-disk", &disk, "--cache-dir", folder.path().to_str().unwrap()];
    let start = || serve(model.path(), &[&caching, arguments].concat());
    let mut cached = start();
    let (mut reused, mut deltas) = (0, 0);
    let mut dice = fastrand::Rng::with_seed(2024);
    let mut conversations: Vec<Vec<Value>> = Vec::new();
    for round in 0..CONVERSATIONS {
        if round % 10 == 9 {
            cached = restart(cached, start);
        }
        let mut messages = begin(&mut dice, &conversations);
        let mut session = dice.bool().then(|| Session { id: format!("session {round}"), held: Vec::new() });
        for turn in 0..dice.usize(1..TURNS) {
            change(&mut dice, &mut messages);
            if length(&messages) > LONGEST {
                break;
            }
            if dice.usize(0..6) == 0 {
                give_up(&cached, &messages);
            }
            let body = session.as_ref().map_or_else(|| greedy(&messages), |session| session.ask(&mut dice, &messages));
            let (expected, found) = (reference.chat(&greedy(&messages)), cached.chat(&body));
            let said = expected.message()["content"].clone();
            assert_eq!(found.message()["content"], said, "{name}, conversation {round}, turn {turn}: {messages:?}");
            reused += matched(&found.json());
            assert!(bytes_under(folder.path()) <= DISK, "the files take more than they may");
            messages.push(message("assistant", said.as_str().unwrap_or_default()));
            if let Some(session) = &mut session {
                deltas += session.note(&found.json(), &messages);
            }
        }
        conversations.push(messages);
    }
    assert!(reused > 0 && deltas > 0, "nothing was ever reused, so nothing was tested");
    assert!(bytes_under(&folder.path().join("sessions")) > 0, "the cap was held without any session's file");
}

/// A session, and the messages that the server holds of it.
struct Session {
    id: String,
    held: Vec<Value>,
}

impl Session {
    /// A request for the answer to `messages`: all of them, or only those that are new.
    fn ask(&self, dice: &mut fastrand::Rng, messages: &[Value]) -> Value {
        let goes_on = !self.held.is_empty() && messages.starts_with(&self.held);
        let mut body = match goes_on && dice.usize(0..3) > 0 {
            true => greedy(&messages[self.held.len()..]),
            false => greedy(messages),
        };
        // A conversation that was edited back to before its first answer looks as if it were to be added.
        let answered = messages.iter().any(|message| message["role"] == "assistant");
        if self.held.is_empty() || answered {
            body["session_id"] = self.id.as_str().into();
        }
        body
    }

    /// Notes what is held after an answer that made the conversation `messages`; 1 where only new ones were sent.
    fn note(&mut self, answer: &Value, messages: &[Value]) -> usize {
        let used = &answer["hearth"]["session"];
        if !used.is_null() {
            assert_eq!(used["kept"], true, "{answer}");
            self.held = messages.to_vec();
        }
        usize::from(used["turn"] == "delta")
    }
}

/// A new conversation, or a branch of one that there was.
fn begin(dice: &mut fastrand::Rng, conversations: &[Vec<Value>]) -> Vec<Value> {
    match dice.choice(conversations) {
        Some(old) if dice.bool() => old[..dice.usize(0..=old.len())].to_vec(),
        _ if dice.bool() => vec![message("system", text(dice, 60))],
        _ => Vec::new(),
    }
}

/// The person's next turn, perhaps after an edit of what was said before.
fn change(dice: &mut fastrand::Rng, messages: &mut Vec<Value>) {
    if !messages.is_empty() && dice.usize(0..5) == 0 {
        let at = dice.usize(0..messages.len());
        messages[at]["content"] = text(dice, 30).into();
        messages.truncate(dice.usize(at + 1..=messages.len()));
    }
    messages.push(message("user", text(dice, 60)));
}

fn text(dice: &mut fastrand::Rng, longest: usize) -> String {
    (0..dice.usize(1..=longest)).map(|_| dice.char('a'..='h')).collect()
}

fn length(messages: &[Value]) -> usize {
    messages.iter().map(|message| message["content"].as_str().unwrap_or_default().chars().count() + 12).sum()
}

/// A client that leaves after the first piece.
fn give_up(server: &Server, messages: &[Value]) {
    server.stream(&greedy(messages)).take(2).for_each(drop);
}
