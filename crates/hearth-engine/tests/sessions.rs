//! Sessions from outside, with the fake runner: what reaches the model, and what is kept of what it says.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use hearth_core::chat::{ChatRequest, Message, Role, SessionRef, Tool};
use hearth_core::event::{AnswerReport, Event, MissReason, SessionUse, Turn};
use hearth_core::runner::Feed;
use hearth_core::{Error, ErrorKind};
use hearth_engine::fake::FakeRunner;
use hearth_engine::{
    CacheOptions, DiskOptions, Engine, EngineOptions, ForkError, LoadRequest, Placement, Progress, SessionOptions,
};
use serde_json::json;
use support::{ask as plain, collect, model, read, say, spec, status};
use tempfile::TempDir;

/// Each message ends with the token that ends an answer; what the model thought is always written.
const KEEPS: &str = "{% for m in messages %}{{ m.role }}: {% if m.reasoning_content %}<think>\
    {{ m.reasoning_content }}</think>{% endif %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}\
    <tool_call>{{ {'name': c.function.name, 'arguments': c.function.arguments} | tojson }}</tool_call>{% endfor %}\
    <|end|>{% endfor %}assistant: ";

/// The same, but thoughts are forgotten when the person speaks again.
fn drops() -> String {
    KEEPS.replace("{% if m.reasoning_content %}", "{% if m.reasoning_content and messages[-1].role != 'user' %}")
}

/// An engine, what it was told, and where its files are.
struct Setup {
    engine: Engine,
    /// The whole prompts, as text.
    prompts: Arc<Mutex<Vec<String>>>,
    /// All prompt tokens that were fed, in order, as text.
    fed: Arc<Mutex<String>>,
    _model: TempDir,
}

impl Setup {
    /// Nothing is cached, so that all of each prompt is fed.
    fn new(answer: &'static str, sessions: SessionOptions) -> Self {
        let cache = CacheOptions { memory: Some(0), ..Default::default() };
        Self::with(KEEPS, EngineOptions { sessions, cache, ..Default::default() }, move |_| answer.into(), None)
    }

    fn memory(answer: &'static str) -> Self {
        Self::new(answer, SessionOptions::default())
    }

    /// Steps wait for `gate`, where there is one, until its other end is dropped.
    fn with(
        template: &str,
        options: EngineOptions,
        answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
        gate: Option<std::sync::mpsc::Receiver<()>>,
    ) -> Self {
        let dir = model();
        let file = dir.path().join("template.jinja");
        fs::write(&file, template).unwrap();
        let prompts = Arc::new(Mutex::new(Vec::new()));
        let fed = Arc::new(Mutex::new(String::new()));
        let (seen, feeds, gate) = (prompts.clone(), fed.clone(), Arc::new(Mutex::new(gate)));
        let load = move |_: &LoadRequest, _: Progress<'_>| {
            let (seen, feeds, gate, answer) = (seen.clone(), feeds.clone(), gate.clone(), answer.clone());
            let said = feeds.clone();
            let runner = FakeRunner::new(move |prompt| {
                let prompt = text(prompt);
                let answer = answer(&prompt);
                if answer == "explode" {
                    said.lock().unwrap().push_str(&answer);
                }
                seen.lock().unwrap().push(prompt);
                answer.bytes().map(u32::from).collect()
            });
            let runner = runner.before_step(move |_, segments| {
                if let Some(gate) = &*gate.lock().unwrap() {
                    let _ = gate.recv();
                }
                for segment in segments {
                    if let Feed::Prompt { tokens, .. } = segment.feed {
                        feeds.lock().unwrap().push_str(&text(tokens));
                    }
                }
                match feeds.lock().unwrap().contains("explode") {
                    true => Err(Error::internal("it exploded")),
                    false => Ok(()),
                }
            });
            Ok(Box::new(runner) as Box<dyn hearth_core::runner::Runner>)
        };
        let options = EngineOptions { chat_template: Some(file), ..options };
        let engine = Engine::new(vec![spec(&dir)], Placement::Thread(Arc::new(load)), options);
        Self { engine, prompts, fed, _model: dir }
    }

    async fn say(&self, request: ChatRequest) -> AnswerReport {
        report(collect(self.engine.chat(request).await.unwrap()).await.unwrap())
    }

    fn last_prompt(&self) -> String {
        self.prompts.lock().unwrap().last().unwrap().clone()
    }

    /// What the session holds, in the notation of [`messages`].
    async fn stored(&self, id: &str) -> String {
        let Some((info, stored)) = self.engine.session(id, None).await.unwrap() else { return String::new() };
        assert_eq!(info.messages, stored.len());
        let line = |message: &Message| {
            let role = &message.role.as_str()[..1];
            let reasoning = message.reasoning.as_deref().map_or(String::new(), |text| format!("|{text}"));
            format!("{role}:{}{reasoning}", message.content.as_deref().unwrap_or("-"))
        };
        stored.iter().map(line).collect::<Vec<_>>().join(" ")
    }
}

fn text(tokens: &[u32]) -> String {
    tokens
        .iter()
        .map(|&token| u8::try_from(token).map_or("<|end|>".into(), |byte| char::from(byte).to_string()))
        .collect()
}

fn report(events: Vec<Event>) -> AnswerReport {
    match events.into_iter().last() {
        Some(Event::Finished { report, .. }) => *report,
        other => panic!("{other:?} is no end"),
    }
}

/// `s:`, `u:`, `a:` and `t:` begin messages of the four roles.
fn messages(text: &str) -> Vec<Message> {
    let message = |text: &str| {
        let (role, content) = text.split_once(':').unwrap();
        let roles = [Role::System, Role::User, Role::Assistant, Role::Tool];
        Message::text(roles.into_iter().find(|it| it.as_str().starts_with(role)).unwrap(), content)
    };
    text.split_whitespace().map(message).collect()
}

/// A request of the session that its client knows of.
fn ask(id: &str, text: &str) -> ChatRequest {
    let session = Some(SessionRef { id: id.into(), explicit: true });
    ChatRequest { messages: messages(text), session, ..Default::default() }
}

fn turn(report: &AnswerReport) -> (Turn, bool) {
    let session = report.session.as_ref().unwrap();
    (session.turn, session.kept)
}

#[tokio::test]
async fn both_kinds_of_clients_are_understood() {
    let setup = Setup::memory("<think>hm</think>ok");
    let whole = "user: 1<|end|>assistant: <think>hm</think>ok<|end|>user: 2<|end|>assistant: ";
    // What is sent, what it is to the session, what is answered, what is kept.
    let cases = [
        ("u:1", Turn::New, "user: 1<|end|>assistant: ", "u:1 a:ok|hm"),
        ("u:1 a:ok u:2", Turn::Continued, whole, "u:1 a:ok|hm u:2 a:ok|hm"),
        (
            "u:1 a:no u:2",
            Turn::Replaced,
            "user: 1<|end|>assistant: no<|end|>user: 2<|end|>assistant: ",
            "u:1 a:no u:2 a:ok|hm",
        ),
        ("s:x u:1", Turn::Replaced, "system: x<|end|>user: 1<|end|>assistant: ", "s:x u:1 a:ok|hm"),
        (
            "s:x u:2",
            Turn::Delta,
            "system: x<|end|>user: 1<|end|>assistant: <think>hm</think>ok<|end|>user: 2<|end|>assistant: ",
            "s:x u:1 a:ok|hm u:2 a:ok|hm",
        ),
    ];
    for (sent, expected, prompt, kept) in cases {
        let report = setup.say(ask("s", sent)).await;
        assert_eq!((turn(&report), setup.last_prompt().as_str()), ((expected, true), prompt), "{sent}");
        assert_eq!(setup.stored("s").await, kept, "{sent}");
    }
    let other = ChatRequest { session: Some(SessionRef { id: "s".into(), explicit: false }), ..ask("", "u:3") };
    assert_eq!(turn(&setup.say(other).await), (Turn::Replaced, true), "only who knows of sessions sends a part");
    assert_eq!(setup.stored("s").await, "u:3 a:ok|hm");
    assert_eq!((setup.say(plain("4")).await.session, setup.stored("s").await.as_str()), (None, "u:3 a:ok|hm"));
    let info = &setup.engine.sessions().await.unwrap()[0];
    let tokens = "user: 3<|end|>assistant: <think>hm</think>ok<|end|>".len() - 2 * "<|end|>".len() + 2;
    assert_eq!((info.id.as_str(), info.messages, info.tokens, info.busy), ("s", 2, tokens, false));
    assert!(info.created > 1_700_000_000 && info.last_used >= info.created && info.bytes > 10);
}

#[tokio::test]
async fn tool_calls_are_kept_as_they_were_made() {
    let call = "<tool_call>{\"name\": \"f\", \"arguments\": {\"n\": 1}}</tool_call>";
    let setup = Setup::memory("<tool_call>{\"name\": \"f\", \"arguments\": {\"n\": 1}}</tool_call>");
    let tool = Tool { name: "f".into(), definition: json!({"type": "function", "function": {"name": "f"}}) };
    let tools = vec![tool];
    setup.say(ChatRequest { tools: tools.clone(), ..ask("s", "u:1") }).await;
    let (_, stored) = setup.engine.session("s", None).await.unwrap().unwrap();
    let made = &stored[1].tool_calls[0];
    assert_eq!((made.name.as_str(), json!(made.arguments), &stored[1].content), ("f", json!({"n": 1}), &None));
    assert!(made.id.starts_with("call_"));

    let answer = Message { tool_call_id: Some(made.id.clone()), ..Message::text(Role::Tool, "ok") };
    let request = ChatRequest { tools: tools.clone(), messages: vec![answer.clone()], ..ask("s", "") };
    assert_eq!(turn(&setup.say(request).await), (Turn::Delta, true));
    assert_eq!(setup.last_prompt(), format!("user: 1<|end|>assistant: {call}<|end|>tool: ok<|end|>assistant: "));

    // Cut off in its middle, a call is no part of the turn.
    setup.say(ChatRequest { tools, max_tokens: Some(40), ..ask("cut", "u:1") }).await;
    assert_eq!(
        (
            setup.stored("cut").await.as_str(),
            setup.engine.session("cut", None).await.unwrap().unwrap().1[1].tool_calls.len()
        ),
        ("u:1 a:", 0)
    );
}

/// A gate, and whoever opens it.
fn gated(answer: &'static str) -> (Setup, Sender<()>) {
    let (open, gate) = channel();
    let cache = CacheOptions { memory: Some(0), ..Default::default() };
    let options = EngineOptions { cache, ..Default::default() };
    (Setup::with(KEEPS, options, move |_| answer.into(), Some(gate)), open)
}

#[tokio::test]
async fn two_at_once_are_both_right_and_the_first_is_kept() {
    let (setup, gate) = gated("ok");
    let first = setup.engine.chat(ask("s", "u:1")).await.unwrap();
    let second = setup.engine.chat(ask("s", "u:2")).await.unwrap();
    drop(gate);
    let (first, second) = tokio::join!(collect(first), collect(second));
    assert_eq!(turn(&report(first.unwrap())), (Turn::New, true));
    assert_eq!(turn(&report(second.unwrap())), (Turn::New, false));
    assert_eq!(setup.stored("s").await, "u:1 a:ok");
    let prompts = ["user: 1<|end|>assistant: ", "user: 2<|end|>assistant: "];
    let mut seen = setup.prompts.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, prompts);
    assert_eq!(turn(&setup.say(ask("s", "u:3")).await), (Turn::Delta, true));
}

#[tokio::test]
async fn an_answer_that_does_not_end_well_leaves_the_session_as_it_was() {
    let setup = Setup::memory("a longer answer");
    setup.say(ask("s", "u:1")).await;
    let before = setup.stored("s").await;

    let mut dropped = setup.engine.chat(ask("s", "u:2")).await.unwrap();
    dropped.next().await.unwrap().unwrap();
    assert!(setup.engine.sessions().await.unwrap()[0].busy);
    drop(dropped);
    assert_eq!((setup.stored("s").await, setup.engine.sessions().await.unwrap()[0].busy), (before.clone(), false));

    let long = setup.engine.chat(ask("s", &format!("u:{}", "x".repeat(5000)))).await.map(drop).unwrap_err();
    assert_eq!(long.kind, ErrorKind::ContextLengthExceeded);
    let (_, error) = read(setup.engine.chat(ask("s", "u:explode")).await.unwrap()).await;
    assert_eq!(error.unwrap().message, "it exploded");
    assert_eq!((setup.stored("s").await, setup.engine.sessions().await.unwrap()[0].busy), (before, false));
}

/// One choice runs at a time: the first has ended when the second begins.
#[tokio::test]
async fn of_several_choices_the_first_is_kept_when_all_have_ended_well() {
    let options = EngineOptions { max_batch: 1, ..Default::default() };
    let answers = Arc::new(Mutex::new(["1", "2", "3", "4", "5", "explode"].into_iter()));
    let answer = move |_: &str| answers.lock().unwrap().next().unwrap().into();
    let setup = Setup::with(KEEPS, options, answer, None);
    let ask = |text| setup.engine.choices(ask("s", text), 2);
    let mut ends = Vec::new();
    let mut stream = ask("u:1").await.unwrap();
    while let Some(event) = stream.next().await {
        if let (index, Event::Finished { report, .. }) = event.unwrap() {
            ends.push((index, report.session));
        }
    }
    let kept = SessionUse { id: "s".into(), turn: Turn::New, kept: true };
    assert_eq!(ends, [(1, None), (0, Some(kept))]);
    let before = setup.stored("s").await;
    assert_eq!(before, "u:1 a:1");
    let status = status(&setup.engine);
    assert_eq!((status.requests, status.prompt_tokens), (1, "user: 1.assistant: ".len() as u64), "it is read once");

    let mut dropped = ask("u:2").await.unwrap();
    while dropped.next().await.unwrap().unwrap().0 == 0 {}
    drop(dropped);
    assert_eq!((setup.stored("s").await, setup.engine.sessions().await.unwrap()[0].busy), (before.clone(), false));

    let (_, error) = read(ask("u:3").await.unwrap()).await;
    assert_eq!(error.unwrap().message, "it exploded");
    assert_eq!((setup.stored("s").await, setup.engine.sessions().await.unwrap()[0].busy), (before, false));
}

#[tokio::test]
async fn an_answer_that_was_begun_again_is_kept_once() {
    let life = Arc::new(Mutex::new(0));
    let dir = model();
    let load = move |_: &LoadRequest, _: Progress<'_>| {
        let mut life = life.lock().unwrap();
        *life += 1;
        let lives = *life;
        let runner = FakeRunner::saying("still here").before_step(move |at, _| {
            assert!(lives > 1 || at < 5, "the runner panics, as this test wants");
            Ok(())
        });
        Ok(Box::new(runner) as Box<dyn hearth_core::runner::Runner>)
    };
    let engine = Engine::new(vec![spec(&dir)], Placement::Thread(Arc::new(load)), EngineOptions::default());
    let report = report(collect(engine.chat(ask("s", "u:1")).await.unwrap()).await.unwrap());
    assert_eq!((turn(&report), status(&engine).deaths), ((Turn::New, true), 1));
    assert_eq!(engine.session("s", None).await.unwrap().unwrap().1[1].content.as_deref(), Some("still here"));
    assert_eq!(engine.session("s", None).await.unwrap().unwrap().0.tokens, "user: 1\nassistant: still here".len() + 1);
}

#[tokio::test]
async fn ids_are_checked_and_unknown_ones_begin_a_session() {
    let setup = Setup::memory("ok");
    for id in ["", &"é".repeat(257)] {
        let error = setup.engine.chat(ask(id, "u:1")).await.map(drop).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::InvalidRequest, Some("session_id")));
    }
    assert_eq!(turn(&setup.say(ask(&"é".repeat(256), "t:1")).await), (Turn::New, true));
    let many = ChatRequest { messages: vec![Message::text(Role::User, ""); 4095], ..ask(&"é".repeat(256), "") };
    let error = setup.engine.chat(many).await.map(drop).unwrap_err();
    assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::InvalidRequest, Some("messages")));
    assert!(!setup.engine.sessions().await.unwrap()[0].busy);
}

#[tokio::test]
async fn the_least_recently_used_session_makes_room() {
    let setup = Setup::new("ok", SessionOptions { count: 2, ..Default::default() });
    for (id, expected) in
        [("a", Turn::New), ("b", Turn::New), ("a", Turn::Delta), ("c", Turn::New), ("a", Turn::Delta), ("b", Turn::New)]
    {
        assert_eq!(turn(&setup.say(ask(id, "u:1")).await), (expected, true), "{id}");
    }
    let ids: Vec<String> = setup.engine.sessions().await.unwrap().into_iter().map(|session| session.id).collect();
    assert_eq!(ids, ["b", "a"]);
    let none = Setup::new("ok", SessionOptions { count: 0, ..Default::default() });
    assert_eq!(turn(&none.say(ask("a", "u:1")).await), (Turn::New, false));
}

#[tokio::test]
async fn a_fork_goes_its_own_way() {
    let setup = Setup::memory("ok");
    setup.say(ask("a", "u:1")).await;
    let fork = setup.engine.fork_session("a", None, Some("b".into())).await.unwrap();
    assert_eq!((fork.id.as_str(), fork.messages), ("b", 2));
    setup.say(ask("b", "u:2")).await;
    assert_eq!((setup.stored("a").await.as_str(), setup.stored("b").await.as_str()), ("u:1 a:ok", "u:1 a:ok u:2 a:ok"));
    let random = setup.engine.fork_session("a", None, None).await.unwrap().id;
    assert_eq!((random.len(), setup.stored(&random).await.as_str()), (40, "u:1 a:ok"));
    assert_eq!(setup.engine.fork_session("z", None, None).await.unwrap_err(), ForkError::Unknown);
}

#[tokio::test]
async fn a_deleted_session_does_not_come_back() {
    let (setup, gate) = gated("ok");
    let running = setup.engine.chat(ask("s", "u:1")).await.unwrap();
    assert!(setup.engine.delete_session("s", None).await.unwrap(), "it is in use, if not stored yet");
    assert!(!setup.engine.delete_session("s", None).await.unwrap());
    drop(gate);
    assert_eq!(turn(&report(collect(running).await.unwrap())), (Turn::New, false));
    assert!(setup.engine.sessions().await.unwrap().is_empty());
    setup.say(ask("s", "u:1")).await;
    assert!(
        setup.engine.delete_session("s", None).await.unwrap()
            && setup.engine.session("s", None).await.unwrap().is_none()
    );
}

/// Also of the one that is not kept: what was said there is no less private.
#[tokio::test]
async fn no_cache_is_left_of_a_deleted_session() {
    let (open, gate) = channel();
    let setup = Setup::with(KEEPS, EngineOptions::default(), |_| "ok".into(), Some(gate));
    let first = setup.engine.chat(ask("s", "u:first")).await.unwrap();
    let second = setup.engine.chat(ask("s", "u:second")).await.unwrap();
    drop(open);
    let (first, second) = tokio::join!(collect(first), collect(second));
    assert!(turn(&report(first.unwrap())).1 && !turn(&report(second.unwrap())).1);
    let implicit = Some(SessionRef { id: "s".into(), explicit: false });
    setup.say(ChatRequest { session: implicit, ..ask("", "u:third") }).await;
    assert!(setup.engine.delete_session("s", None).await.unwrap());
    for said in ["second", "third", "first"] {
        let found = setup.say(plain(said)).await.matched_tokens;
        assert!(found <= "user: ".len(), "{said}: {found}");
    }
}

#[tokio::test]
async fn a_deleted_session_is_forgotten_though_the_next_worker_ends_too_soon() {
    let (dir, caches, lives) = (model(), tempfile::tempdir().unwrap(), AtomicUsize::new(0));
    let load = move |_: &LoadRequest, _: Progress<'_>| match lives.fetch_add(1, SeqCst) {
        1 => Err(Error::model_load("it stumbles")),
        _ => Ok(Box::new(FakeRunner::saying("ok")) as Box<dyn hearth_core::runner::Runner>),
    };
    let disk = Some(DiskOptions { dir: caches.path().into(), bytes: 1 << 20 });
    let options = EngineOptions { cache: CacheOptions { disk, ..Default::default() }, ..Default::default() };
    let engine = Engine::new(vec![spec(&dir)], Placement::Thread(Arc::new(load)), options);
    let matched = async |request| report(collect(engine.chat(request).await.unwrap()).await.unwrap()).matched_tokens;
    let long = "x".repeat(500);
    matched(ask("s", &format!("u:{long}"))).await;
    engine.unload("", false).await.unwrap();
    assert!(engine.delete_session("s", None).await.unwrap());
    assert!(engine.load("", None).await.is_err());
    assert_eq!(matched(plain(&long)).await, 0);
}

/// The files in the one folder that is there, and that.
fn folder(dir: &Path) -> std::path::PathBuf {
    let names = files(dir);
    let [name] = names.as_slice() else { panic!("{names:?}") };
    assert!(name.len() == 16, "{name}");
    dir.join(name)
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn sessions_outlive_a_restart_in_files_that_are_private() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cache/sessions");
    let options = || SessionOptions { dir: Some(dir.clone()), ..Default::default() };
    let first = Setup::new("<think>hm</think>ok", options());
    for id in ["../../a", "b", "c"] {
        first.say(ask(id, "u:1")).await;
    }
    assert!(first.engine.delete_session("c", None).await.unwrap());
    let created = first.engine.session("b", None).await.unwrap().unwrap().0.created;
    first.engine.shutdown().await;
    let top = folder(&dir);
    let names = files(&top);
    assert_eq!(names.len(), 2);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&top)), (0o700, 0o700));
    for name in &names {
        assert!(name.len() == 69 && name.ends_with(".json"), "{name}");
        assert_eq!(mode(&top.join(name)), 0o600);
    }

    let second = Setup::new("ok", options());
    assert_eq!((second.stored("../../a").await.as_str(), second.stored("c").await.as_str()), ("u:1 a:ok|hm", ""));
    assert_eq!(second.engine.session("b", None).await.unwrap().unwrap().0.created, created);
    assert_eq!(turn(&second.say(ask("b", "u:2")).await), (Turn::Delta, true));
    assert_eq!(second.last_prompt(), "user: 1<|end|>assistant: <think>hm</think>ok<|end|>user: 2<|end|>assistant: ");
    second.engine.shutdown().await;

    // One broken, one under another's name, one that a dead process left, one of another version, strangers'.
    let [zero, one] = [0, 1].map(|n| format!("{n:064x}.json"));
    fs::write(top.join(&names[0]), "{\"version\": 1, \"id\": \"secret").unwrap();
    fs::copy(top.join(&names[1]), top.join(&zero)).unwrap();
    fs::write(top.join(format!("{}.999999999.tmp", &names[0][..64])), "half").unwrap();
    fs::write(top.join(&one), "{\"version\": 2}").unwrap();
    fs::write(top.join("notes.json"), "mine").unwrap();
    fs::write(dir.join("notes.json"), "mine").unwrap();
    let third = Setup::new("ok", options());
    assert_eq!(third.engine.sessions().await.unwrap().len(), 1);
    let mut expected =
        vec![format!("{zero}.bad"), one, format!("{}.bad", names[0]), names[1].clone(), "notes.json".into()];
    expected.sort();
    assert_eq!(files(&top), expected);

    let short = SessionOptions { idle: Duration::ZERO, dir: Some(dir.clone()), ..Default::default() };
    let expired = Setup::new("ok", short);
    assert!(expired.engine.sessions().await.unwrap().is_empty());
    assert_eq!(
        (files(&top), fs::read(dir.join("notes.json")).unwrap()),
        (vec!["notes.json".to_owned()], b"mine".into())
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_nothing_but_the_files() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let setup = Setup::new("ok", SessionOptions { dir: Some(file.join("sessions")), ..Default::default() });
    setup.say(ask("s", "u:1")).await;
    assert_eq!(turn(&setup.say(ask("s", "u:2")).await), (Turn::Delta, true));
    setup.engine.shutdown().await;
    assert_eq!(fs::read(&file).unwrap(), b"");
}

/// Waits until nothing is under way but the two tasks of the pool: the model's, and that of idle ones.
async fn settled() {
    let tasks = tokio::runtime::Handle::current().metrics();
    let settled = async {
        while tasks.num_alive_tasks() > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), settled).await.unwrap();
}

#[tokio::test]
async fn the_cache_is_brought_to_the_form_of_the_next_turn() {
    let strict = format!("{{% if messages | length > 2 %}}{{{{ raise_exception('no') }}}}{{% endif %}}{}", drops());
    // The next turn's prompt goes on where the cache ends.
    let longer = KEEPS.replace("<|end|>{% endfor %}", "<|end|><|end|>{% endfor %}");
    let drops = drops();
    let cases =
        [(KEEPS, "", false), (&longer, "", false), (&drops, "", true), (KEEPS, "ok", true), (&strict, "", false)];
    for (template, stop, filled) in cases {
        let setup = Setup::with(template, EngineOptions::default(), |_| "<think>hm</think>ok".into(), None);
        let request = ChatRequest { stop: vec![stop.into()], ..ask("s", "u:1") };
        let first = setup.say(request).await;
        assert_eq!(turn(&first), (Turn::New, true));
        settled().await;
        let prompt = setup.prompts.lock().unwrap()[0].clone();
        let fed = || setup.fed.lock().unwrap().strip_prefix(&prompt).unwrap().to_owned();
        let wait = async {
            while fed().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        if filled {
            tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
        }
        // Commands are taken in order: with this, a fill that was sent has been seen.
        assert_eq!(say(&setup.engine, plain("zebra")).await, "ok");
        let fed = fed();
        let (fill, _) = fed.split_once("zebra").unwrap();
        let history = if stop.is_empty() { "assistant: ok<|end|>" } else { "assistant: <think>hm</think><|end|>" };
        let expected = format!("user: 1<|end|>{history}");
        let fill = fill.trim_end_matches("user: ");
        assert_eq!(!fill.is_empty(), filled, "{template}: {fed}");
        assert!(expected.ends_with(fill), "{template}: {fed}");
        let status = status(&setup.engine);
        assert_eq!((status.requests, status.running, status.queued), (2, 0, 0), "it counts for nothing");
        let answers = 2 * ("<think>hm</think>ok".len() as u64 + 1);
        assert!(status.completion_tokens <= answers, "nor do its tokens: {}", status.completion_tokens);
    }
}

#[tokio::test]
async fn a_fill_holds_up_neither_a_request_nor_the_end() {
    let (open, gate) = channel();
    let setup = Setup::with(&drops(), EngineOptions::default(), |_| "<think>hm</think>ok".into(), Some(gate));
    for _ in 0..100 {
        open.send(()).unwrap();
    }
    setup.say(ask("s", "u:1")).await;
    settled().await;
    let status = status(&setup.engine);
    assert_eq!((status.running, status.queued), (0, 0));
    drop(open);
    assert_eq!(turn(&setup.say(ask("s", "u:2")).await), (Turn::Delta, true));
    assert_eq!(setup.last_prompt(), "user: 1<|end|>assistant: ok<|end|>user: 2<|end|>assistant: ");
    let end = tokio::time::timeout(Duration::from_secs(10), setup.engine.shutdown());
    end.await.unwrap();
}

#[tokio::test]
async fn an_answer_reports_what_it_was_made_of() {
    let setup = Setup::memory("ok");
    let report = setup.say(plain("1")).await;
    assert_eq!((report.matched_tokens, report.miss.unwrap().reason, report.session), (0, MissReason::Cold, None));
    let times = report.timings;
    assert!(times.load_ms > 0.0 && times.prefill_ms > 0.0 && times.decode_ms > 0.0, "{times:?}");
    let all = [times.queue_ms, times.load_ms, times.restore_ms, times.prefill_ms, times.decode_ms];
    assert!(all.iter().all(|time| (0.0..60_000.0).contains(time)), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_make_the_answer_slow() {
    let setup = Setup::memory("a long answer");
    let mut stream = setup.engine.chat(ask("s", "u:1")).await.unwrap();
    stream.next().await.unwrap().unwrap();
    while status(&setup.engine).completion_tokens < 14 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_secs(100)).await;
    let events: Vec<Event> = stream.map(|event| event.unwrap().1).collect().await;
    let times = report(events).timings;
    assert!(times.prefill_ms + times.decode_ms + times.load_ms < 50_000.0, "{times:?}");
}
