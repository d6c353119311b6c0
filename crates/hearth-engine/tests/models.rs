//! Several models in one engine: who is loaded, who waits, who goes. Their workers are on threads, with fake runners.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod support;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use hearth_core::chat::{ChatRequest, SessionRef};
use hearth_core::model::KeepAlive;
use hearth_core::sampling::SamplingOverrides;
use hearth_core::{ErrorKind, Result};
use hearth_engine::fake::FakeRunner;
use hearth_engine::{
    CacheOptions, ChatStream, Engine, EngineOptions, LoadRequest, ModelSettings, ModelSpec, Placement, Progress,
    SessionOptions, Status, WorkerState,
};
use support::{ask as plain, collect, model, say, spec, status, whole};
use tempfile::TempDir;

/// The budget of all models, and so their floor for caches: 1,000.
const BUDGET: u64 = 16_000;

/// An engine of models `a`, `b` … that say their name.
struct Setup {
    engine: Engine,
    folders: HashMap<String, TempDir>,
    /// The names of those that were loaded, in order.
    loads: Arc<Mutex<Vec<String>>>,
    /// Opens the gate of a model's every step, once there is one.
    gates: Arc<Mutex<HashMap<String, Receiver<()>>>>,
}

impl Setup {
    fn new(models: &[(&str, u64)], options: EngineOptions) -> Self {
        let folders: HashMap<String, TempDir> = models.iter().map(|(id, _)| (id.to_string(), model())).collect();
        let loads = Arc::<Mutex<Vec<String>>>::default();
        let gates = Arc::<Mutex<HashMap<String, Receiver<()>>>>::default();
        let names: Vec<_> = folders.iter().map(|(id, dir)| (id.clone(), dir.path().to_owned())).collect();
        let (loaded, gated) = (loads.clone(), gates.clone());
        let weights: HashMap<String, u64> = models.iter().map(|(id, bytes)| (id.to_string(), *bytes)).collect();
        let load = move |request: &LoadRequest, _: Progress<'_>| {
            let (name, _) = names.iter().find(|(_, dir)| *dir == request.dir).unwrap();
            loaded.lock().unwrap().push(name.clone());
            let gate = gated.lock().unwrap().remove(name);
            let runner = FakeRunner::saying(name).with_memory(weights[name], BUDGET).before_step(move |_, _| {
                if let Some(gate) = &gate {
                    let _ = gate.recv();
                }
                Ok(())
            });
            Ok(Box::new(runner) as Box<dyn hearth_core::runner::Runner>)
        };
        let setup =
            Self { engine: Engine::new(Vec::new(), Placement::Thread(Arc::new(load)), options), folders, loads, gates };
        setup.engine.offer(models.iter().map(|(id, weights)| setup.spec(id, *weights)).collect());
        setup
    }

    /// Within the budget.
    fn within(models: &[(&str, u64)]) -> Self {
        let cache = CacheOptions { memory: Some(0), limit: Some(BUDGET), ..CacheOptions::default() };
        Self::new(models, EngineOptions { cache, ..EngineOptions::default() })
    }

    fn spec(&self, id: &str, weights: u64) -> ModelSpec {
        let source = format!("org/{id}");
        ModelSpec { id: id.into(), source, weight_bytes: Some(weights), ..spec(&self.folders[id]) }
    }

    /// Holds up the next load's steps until the sender is dropped.
    fn gate(&self, id: &str) -> Sender<()> {
        let (open, gate) = channel();
        self.gates.lock().unwrap().insert(id.into(), gate);
        open
    }

    async fn say(&self, id: &str) -> String {
        say(&self.engine, ask(id)).await
    }

    async fn begin(&self, id: &str) -> ChatStream {
        self.engine.chat(ask(id)).await.unwrap()
    }

    fn status(&self, id: &str) -> Status {
        self.engine.find(id).unwrap()
    }

    fn loaded(&self) -> String {
        let ready = self.engine.status().into_iter().filter(|status| status.worker == WorkerState::Ready);
        ready.map(|status| status.card.id).collect()
    }

    fn loads(&self) -> String {
        self.loads.lock().unwrap().concat()
    }

    async fn until_loaded(&self, expected: &str) {
        let wait = async {
            while self.loaded() != expected {
                tokio::task::yield_now().await;
            }
        };
        // No timer: the clock may stand still.
        wait.await;
    }
}

fn ask(model: &str) -> ChatRequest {
    ChatRequest { model: model.into(), ..plain("?") }
}

async fn end(stream: ChatStream) -> Result<String> {
    Ok(whole(collect(stream).await?).text)
}

#[tokio::test]
async fn each_model_is_loaded_once_however_many_ask_first() {
    let setup = Setup::within(&[("a", 5_000), ("b", 5_000)]);
    let asks = (0..20).map(|n| setup.say(if n % 2 == 0 { "a" } else { "ORG/B" }));
    assert_eq!(join_all(asks).await.concat(), "ab".repeat(10));
    let mut loads = setup.loads.lock().unwrap().clone();
    loads.sort();
    assert_eq!(loads, ["a", "b"]);
}

#[tokio::test]
async fn names_are_those_of_the_offer_and_the_first_is_the_default() {
    let setup = Setup::within(&[("a", 1), ("b", 1)]);
    let alias = ModelSpec { aliases: vec!["A".into(), "Second".into()], ..setup.spec("b", 1) };
    setup.engine.offer(vec![setup.spec("a", 1), alias]);
    for (name, said) in [("", "a"), ("a", "a"), ("second", "b"), ("org/b", "b")] {
        assert_eq!(setup.say(name).await, said, "{name}");
    }
    let error = setup.engine.find("c").unwrap_err();
    assert_eq!((error.kind, error.message.contains("installed are `a`, `b`")), (ErrorKind::ModelNotFound, true));
    setup.engine.offer(Vec::new());
    assert_eq!(setup.engine.find("").unwrap_err().kind, ErrorKind::ModelNotFound);
}

#[tokio::test]
async fn the_least_recently_used_makes_room() {
    let setup = Setup::within(&[("a", 6_000), ("b", 6_000), ("c", 6_000)]);
    for id in ["a", "b", "a", "c", "a", "b"] {
        assert_eq!(setup.say(id).await, id);
    }
    assert_eq!((setup.loads().as_str(), setup.loaded().as_str()), ("abcb", "ab"));
}

#[tokio::test]
async fn a_pinned_model_stays_and_what_can_never_be_is_told_at_once() {
    let setup = Setup::within(&[("a", 8_000), ("b", 5_000), ("c", 5_000), ("d", 7_000), ("e", 16_001)]);
    let settings = ModelSettings { pinned: true, ..ModelSettings::default() };
    let others = [("b", 5_000), ("c", 5_000), ("d", 7_000), ("e", 16_001)].map(|(id, bytes)| setup.spec(id, bytes));
    let offer = |settings| {
        setup
            .engine
            .offer([ModelSpec { settings, ..setup.spec("a", 8_000) }].into_iter().chain(others.clone()).collect());
    };
    setup.say("a").await;
    offer(settings);
    setup.say("b").await;
    setup.say("c").await;
    assert_eq!((setup.loads().as_str(), setup.loaded().as_str()), ("abc", "ac"), "it is used less lately than b");
    assert!(status(&setup.engine).pinned && status(&setup.engine).unloads_in.is_none());

    let error = setup.engine.chat(ask("d")).await.map(drop).unwrap_err();
    assert_eq!(error.kind, ErrorKind::OutOfMemory);
    assert!(error.message.contains("a (0.0 MB, pinned)"), "{}", error.message);
    let error = setup.engine.chat(ask("e")).await.map(drop).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ModelLoad);
    assert!(error.message.contains("--memory"), "{}", error.message);
    assert_eq!(setup.loads(), "abc");
    offer(ModelSettings::default());
    assert_eq!(
        (setup.say("d").await.as_str(), setup.loads().as_str()),
        ("d", "abcd"),
        "it runs on with other settings"
    );
}

#[tokio::test]
async fn a_request_waits_until_a_model_is_idle() {
    let setup = Setup::within(&[("a", 8_000), ("b", 8_000)]);
    let gate = setup.gate("a");
    let stream = setup.begin("a").await;
    let mut waiting = Box::pin(setup.say("b"));
    assert!((&mut waiting).now_or_never().is_none());
    drop(gate);
    assert_eq!((end(stream).await.unwrap().as_str(), waiting.await.as_str()), ("a", "b"));
    assert_eq!(setup.loaded(), "b");
}

#[tokio::test]
async fn nobody_waits_for_memory_for_more_than_two_minutes() {
    let setup = Setup::within(&[("a", 8_000), ("b", 8_000)]);
    let _gate = setup.gate("a");
    let _stream = setup.begin("a").await;
    // A clock that stands still runs on by itself where only a worker is waited for.
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    let error = setup.engine.chat(ask("b")).await.map(drop).unwrap_err();
    assert_eq!((error.kind, asked.elapsed().as_secs()), (ErrorKind::OutOfMemory, 120));
    assert!(error.message.contains("for b, which needs") && error.message.contains("a (0.0 MB, in use)"), "{error}");
    assert_eq!((setup.status("b").queued, setup.loads().as_str()), (0, "a"));
}

#[tokio::test]
async fn a_model_that_turns_out_to_need_more_is_tried_once_more() {
    let setup = Setup::within(&[("a", 7_900), ("b", 8_000), ("c", 16_000)]);
    setup.engine.offer(vec![setup.spec("a", 7_900), setup.spec("b", 1), setup.spec("c", 1)]);
    assert_eq!((setup.say("a").await.as_str(), setup.say("b").await.as_str()), ("a", "b"));
    assert_eq!((setup.loads().as_str(), setup.loaded().as_str()), ("abb", "b"), "the second time without the other");
    let error = setup.engine.load("c", None).await.unwrap_err();
    assert_eq!((error.kind, setup.loads().as_str()), (ErrorKind::ModelLoad, "abbc"));
    assert_eq!(setup.loaded(), "b", "nobody goes for one that does not fit at all");
}

#[tokio::test]
async fn all_who_ask_first_for_a_model_that_needs_more_get_their_answer() {
    let setup = Setup::within(&[("a", 7_900), ("b", 8_000)]);
    setup.engine.offer(vec![setup.spec("a", 7_900), setup.spec("b", 1)]);
    assert_eq!(setup.say("a").await, "a");
    assert_eq!(join_all((0..3).map(|_| setup.say("b"))).await, ["b"; 3]);
    assert_eq!(setup.loaded(), "b", "without the other");
}

#[tokio::test]
async fn the_first_model_to_load_tells_what_the_machine_has() {
    let setup = Setup::new(&[("a", 8_000), ("b", 8_000), ("c", 7_000)], EngineOptions::default());
    assert_eq!(join_all(["a", "b"].map(|id| setup.say(id))).await, ["a", "b"]);
    assert_eq!(setup.loads().len(), 2);
    assert_eq!(setup.loaded().len(), 1, "the second waited for the first, and they do not fit together");
    assert_eq!((setup.say("c").await.as_str(), setup.loaded().as_str()), ("c", "c"));
}

#[tokio::test]
async fn each_model_is_told_what_the_others_leave() {
    let setup = Setup::within(&[("a", 4_000), ("b", 4_000)]);
    // 64 bytes a token: alone 180 tokens fit into 12,000 bytes, beside another model only 62 do.
    let long = |id| ChatRequest { max_tokens: Some(1), ..ChatRequest { model: id, ..plain(&"x".repeat(100)) } };
    assert_eq!(say(&setup.engine, long("a".into())).await, "a");
    setup.say("b").await;
    for id in ["a", "b"] {
        let error = end(setup.engine.chat(long(id.into())).await.unwrap()).await.unwrap_err();
        assert!(error.message.contains("the model leaves only 0.0 MB"), "{error}");
    }
    setup.engine.unload("a", false).await.unwrap();
    while end(setup.engine.chat(long("b".into())).await.unwrap()).await.is_err() {
        // It is told once the other's worker is gone.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_model_that_nobody_uses_is_unloaded_after_its_time() {
    let setup = Setup::within(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    let settings = |keep_alive, pinned| ModelSettings { keep_alive, pinned, ..ModelSettings::default() };
    let with = |id, settings| ModelSpec { settings, ..setup.spec(id, 1) };
    setup.engine.offer(vec![
        setup.spec("a", 1),
        with("b", settings(Some(KeepAlive::Forever), false)),
        with("c", settings(Some(KeepAlive::For(Duration::from_secs(900))), false)),
        with("d", settings(None, true)),
    ]);
    for id in ["a", "b", "c", "d"] {
        setup.engine.load(id, None).await.unwrap();
    }
    tokio::time::pause();
    assert!(setup.status("a").unloads_in.is_some_and(|left| left.as_secs() > 590), "{:?}", setup.status("a"));
    tokio::time::sleep(Duration::from_secs(590)).await;
    assert_eq!(setup.loaded(), "abcd");
    tokio::time::sleep(Duration::from_secs(11)).await;
    setup.until_loaded("bcd").await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    setup.until_loaded("bd").await;
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    assert_eq!(setup.loaded(), "bd");
    assert_eq!(setup.loads(), "abcd");
}

#[tokio::test]
async fn a_time_that_is_changed_holds_for_a_loaded_model() {
    let setup = Setup::within(&[("a", 1)]);
    let offer = |minutes: u64| {
        let keep_alive = Some(KeepAlive::For(Duration::from_secs(60 * minutes)));
        let settings = ModelSettings { keep_alive, ..ModelSettings::default() };
        setup.engine.offer(vec![ModelSpec { settings, ..setup.spec("a", 1) }]);
    };
    setup.say("a").await;
    offer(20);
    while setup.status("a").unloads_in.is_none_or(|left| left <= Duration::from_secs(600)) {
        tokio::task::yield_now().await;
    }
    say(&setup.engine, ChatRequest { keep_alive: Some(KeepAlive::Forever), ..ask("a") }).await;
    offer(20);
    setup.say("a").await;
    assert_eq!(setup.status("a").unloads_in, None, "a request's word stands until the setting changes");
    offer(0);
    setup.until_loaded("").await;
}

#[tokio::test]
async fn a_request_says_how_long_its_model_stays() {
    let setup = Setup::within(&[("a", 1), ("b", 1)]);
    let keep = |id: &str, keep_alive| ChatRequest { keep_alive: Some(keep_alive), ..ask(id) };
    say(&setup.engine, keep("a", KeepAlive::Forever)).await;
    assert_eq!(setup.say("a").await, "a");
    assert_eq!((setup.status("a").unloads_in, setup.loaded().as_str()), (None, "a"), "the word stands");
    say(&setup.engine, keep("a", KeepAlive::For(Duration::ZERO))).await;
    setup.until_loaded("").await;
    assert_eq!(setup.say("a").await, "a");
    assert!(setup.status("a").unloads_in.is_some(), "not for the model's next life");
    setup.engine.load("b", Some(KeepAlive::For(Duration::ZERO))).await.unwrap();
    setup.until_loaded("a").await;
}

#[tokio::test]
async fn unloading_is_refused_while_it_answers_but_by_force() {
    let setup = Setup::within(&[("a", 1)]);
    let gate = setup.gate("a");
    let stream = setup.begin("a").await;
    let error = setup.engine.unload("a", false).await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("1 request")), (ErrorKind::ModelBusy, true));
    drop(gate);
    assert_eq!(end(stream).await.unwrap(), "a");

    let mut stream = setup.begin("a").await;
    stream.next().await.unwrap().unwrap();
    setup.engine.unload("a", true).await.unwrap();
    assert_eq!((setup.loaded().as_str(), setup.loads().as_str()), ("", "a"));
    // What had come before may still be read.
    let end = end(stream).await;
    assert!(end.as_ref().is_ok_and(|rest| rest.is_empty()) || end.is_err_and(|e| e.kind == ErrorKind::ModelUnloaded));
    for _ in 0..2 {
        setup.engine.unload("a", false).await.unwrap();
    }
    assert_eq!((setup.say("a").await.as_str(), setup.loads().as_str()), ("a", "aa"));
}

#[tokio::test]
async fn a_model_that_is_offered_no_more_ends_what_it_is_doing() {
    let setup = Setup::within(&[("a", 10_000), ("b", 10_000)]);
    let gate = setup.gate("a");
    let stream = setup.begin("a").await;
    setup.engine.offer(vec![setup.spec("b", 10_000)]);
    assert_eq!(setup.engine.chat(ask("a")).await.map(drop).unwrap_err().kind, ErrorKind::ModelNotFound);
    assert_eq!(setup.engine.status().len(), 1);
    let other = setup.say("b");
    drop(gate);
    assert_eq!(end(stream).await.unwrap(), "a");
    assert_eq!((other.await.as_str(), setup.loads().as_str()), ("b", "ab"));
    setup.engine.offer(vec![setup.spec("b", 10_000), setup.spec("a", 10_000)]);
    assert_eq!(setup.say("a").await, "a");
}

#[tokio::test]
async fn a_model_that_is_offered_no_more_does_not_stay_for_ever() {
    let keep_alive = KeepAlive::For(Duration::ZERO);
    let setup = Setup::new(&[("a", 1)], EngineOptions { keep_alive, ..EngineOptions::default() });
    let gate = setup.gate("a");
    (0..100).for_each(|_| gate.send(()).unwrap());
    say(&setup.engine, ChatRequest { keep_alive: Some(KeepAlive::Forever), ..ask("a") }).await;
    setup.engine.offer(Vec::new());
    // Its worker holds the other end.
    while gate.send(()).is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_that_leaves_while_it_waits_leaves_nothing_behind() {
    let setup = Setup::within(&[("a", 8_000), ("b", 8_000)]);
    let gate = setup.gate("a");
    let stream = setup.begin("a").await;
    assert!(setup.engine.chat(ask("b")).now_or_never().is_none());
    drop(gate);
    assert_eq!(end(stream).await.unwrap(), "a");
    assert_eq!((setup.status("b").queued, setup.loads().as_str()), (0, "a"));
    assert_eq!(setup.say("b").await, "b");
}

#[tokio::test]
async fn what_is_set_for_a_model_stands_between_the_request_and_its_files() {
    let setup = Setup::within(&[("a", 1)]);
    let sampling = SamplingOverrides { temperature: Some(0.5), ..Default::default() };
    let file = setup.folders["a"].path().join("other.jinja");
    std::fs::write(&file, "{{ messages[0].content }}").unwrap();
    let settings = ModelSettings { context: Some(10), sampling, chat_template: Some(file), ..ModelSettings::default() };
    setup.engine.offer(vec![ModelSpec { settings, ..setup.spec("a", 1) }]);
    let facts = setup.engine.load("a", None).await.unwrap();
    assert_eq!((facts.context_length, facts.sampling.temperature), (10, Some(0.5)));
    assert_eq!(setup.begin("a").await.prompt_tokens(), 1);
}

#[tokio::test]
async fn each_models_sessions_are_its_own() {
    let setup = Setup::within(&[("a", 1), ("b", 1)]);
    let tea = |id: &str| {
        let session = Some(SessionRef { id: "tea".into(), explicit: true });
        say(&setup.engine, ChatRequest { session, ..ask(id) }).map(|_| ())
    };
    assert!(setup.engine.sessions().await.unwrap().is_empty());
    tea("a").await;
    tea("b").await;
    tea("a").await;
    let messages = async |model| setup.engine.session("tea", model).await.unwrap().map(|(info, _)| info.messages);
    assert_eq!((messages(Some("a")).await, messages(Some("b")).await), (Some(4), Some(2)));
    assert!(setup.engine.session("tea", Some("c")).await.is_err());
    let mut models: Vec<_> = setup.engine.sessions().await.unwrap().into_iter().map(|info| info.model).collect();
    models.sort();
    assert_eq!(models, ["a", "b"]);
    assert_eq!(setup.engine.fork_session("tea", Some("b"), Some("milk".into())).await.unwrap().model, "b");
    assert!(setup.engine.delete_session("tea", Some("b")).await.unwrap());
    assert_eq!((messages(None).await, messages(Some("b")).await), (Some(4), None));
    tea("b").await;
    assert!(setup.engine.delete_session("tea", None).await.unwrap());
    assert_eq!(messages(None).await, None);
}

#[tokio::test]
async fn a_model_whose_settings_change_goes_on_with_its_sessions() {
    let setup = Setup::within(&[("a", 1)]);
    let session = |id: &str| Some(SessionRef { id: id.into(), explicit: true });
    let gate = setup.gate("a");
    let old = setup.engine.chat(ChatRequest { session: session("tea"), ..ask("a") }).await.unwrap();
    let settings = ModelSettings { context: Some(1000), ..ModelSettings::default() };
    setup.engine.offer(vec![ModelSpec { settings, ..setup.spec("a", 1) }]);
    say(&setup.engine, ChatRequest { session: session("milk"), ..ask("a") }).await;
    drop(gate);
    end(old).await.unwrap();
    let sessions = setup.engine.sessions().await.unwrap();
    assert_eq!(sessions.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["tea", "milk"]);
}

#[tokio::test]
async fn sessions_with_a_model_that_is_off_offer_can_be_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = SessionOptions { dir: Some(dir.path().into()), ..Default::default() };
    let setup = || Setup::new(&[("a", 1)], EngineOptions { sessions: sessions.clone(), ..Default::default() });
    let files = || {
        let folders = std::fs::read_dir(dir.path()).unwrap().flatten();
        folders.map(|folder| std::fs::read_dir(folder.path()).unwrap().count()).collect::<Vec<_>>()
    };
    let first = setup();
    for id in ["one", "two", "three", "four"] {
        let session = Some(SessionRef { id: id.into(), explicit: true });
        say(&first.engine, ChatRequest { session, ..ask("a") }).await;
    }
    first.engine.offer(Vec::new());
    assert!(first.engine.delete_session("one", None).await.unwrap());
    first.engine.shutdown().await;
    assert_eq!(files(), [3]);
    // Now they are in files alone.
    let engine = setup().engine;
    engine.forget_sessions("a").await.unwrap();
    assert_eq!(files(), [3], "it is on offer");
    engine.offer(Vec::new());
    assert!(engine.delete_session("two", None).await.unwrap());
    assert!(!engine.delete_session("two", None).await.unwrap());
    assert_eq!(files(), [2]);
    engine.forget_sessions("a").await.unwrap();
    assert!(files().is_empty());
}
