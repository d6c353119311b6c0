//! Bounds on the files, with a clock that is moved by hand.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use hearth_core::chat::Role;

use super::*;

type Keys = Arc<Mutex<Vec<SessionKey>>>;

/// Where keys are noted that are to be forgotten.
fn noting() -> (Keys, Forget) {
    let keys = Keys::default();
    let noted = keys.clone();
    (keys, Arc::new(move |key| noted.lock().unwrap().push(key)))
}

fn in_memory() -> Sessions {
    Sessions::new("m", SessionOptions::default(), clock(), noting().1)
}

/// A request that says `text`, taken up; and its messages.
async fn begin(sessions: &Sessions, id: &str, explicit: bool, text: &str) -> (Claim, Vec<Message>) {
    let mut request = ChatRequest { messages: vec![Message::text(Role::System, text)], ..Default::default() };
    let claim = sessions.begin(&SessionRef { id: id.into(), explicit }, &mut request).await.unwrap();
    (claim, request.messages)
}

/// A turn that ends well; the messages as they are stored.
async fn say(sessions: &Sessions, id: &str, text: &str) -> Arc<[Message]> {
    let (claim, messages) = begin(sessions, id, true, text).await;
    claim.store(messages, [1, 2].into()).unwrap()
}

fn count(dir: &Path) -> usize {
    std::fs::read_dir(dir.join(folder_name("m"))).unwrap().count()
}

#[tokio::test]
async fn a_session_that_goes_takes_its_file_and_its_caches_along() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicU64::new(1_000));
    let clock: Clock = {
        let time = time.clone();
        Arc::new(move || {
            let unix = time.load(SeqCst);
            Now { unix, uptime: Duration::from_secs(unix) }
        })
    };
    let idle = Duration::from_secs(60);
    let options = SessionOptions { count: 2, idle, dir: Some(dir.path().into()), ..Default::default() };
    let (keys, forget) = noting();
    let sessions = Sessions::new("m", options, clock, forget);
    let gone = |ids: &[&str]| {
        let expected: Vec<SessionKey> = ids.iter().map(|id| sessions.key(id)).collect();
        assert_eq!(std::mem::take(&mut *keys.lock().unwrap()), expected, "{ids:?}");
    };
    let files = async || {
        assert!(sessions.flush(Duration::from_secs(10)).await);
        count(dir.path())
    };
    for (id, seconds) in [("a", 0), ("b", 10), ("c", 20)] {
        time.store(1_000 + seconds, SeqCst);
        say(&sessions, id, id).await;
    }
    assert_eq!((files().await, sessions.list().await.unwrap().len()), (2, 2), "by count");
    gone(&["a"]);
    time.store(1_070, SeqCst);
    assert_eq!((sessions.list().await.unwrap()[0].id.as_str(), files().await), ("c", 1), "by idle time");
    gone(&["b"]);
    assert!(sessions.delete("c").await.unwrap());
    assert_eq!(files().await, 0);
    gone(&["c"]);
    assert!(!sessions.delete("never").await.unwrap());
    gone(&["never"]);
}

#[tokio::test]
async fn nothing_is_left_of_requests_whose_session_was_deleted() {
    let (keys, forget) = noting();
    let sessions = Sessions::new("m", SessionOptions::default(), clock(), forget);
    let (first, messages) = begin(&sessions, "s", true, "a").await;
    let (second, _) = begin(&sessions, "s", true, "b").await;
    sessions.delete("s").await.unwrap();
    assert_eq!(first.store(messages, [1].into()), None);
    drop(first);
    drop(second);
    assert_eq!(*keys.lock().unwrap(), [sessions.key("s"); 3], "at once, and when each has ended");
}

#[tokio::test]
async fn what_is_prepared_for_a_session_comes_too_late_once_it_has_changed() {
    let (keys, forget) = noting();
    let sessions = Sessions::new("m", SessionOptions::default(), clock(), forget);
    let prepares = |messages: &Arc<[Message]>| {
        let mut done = false;
        sessions.if_unchanged("s", messages, || done = true);
        done
    };
    let first = say(&sessions, "s", "a").await;
    assert!(prepares(&first));
    let (claim, _) = begin(&sessions, "s", true, "a").await;
    assert!(!prepares(&first), "it is in use");
    drop(claim);
    let second = say(&sessions, "s", "a").await;
    assert!(!prepares(&first), "it has gone on");
    assert!(prepares(&second) && keys.lock().unwrap().is_empty());
    assert!(sessions.delete("s").await.unwrap());
    assert!(!prepares(&second), "it was deleted");
    assert!(prepares(&say(&sessions, "s", "a").await) && !prepares(&second), "another one of the same words");
}

#[tokio::test]
async fn only_who_goes_on_with_a_session_takes_its_cache_over() {
    let sessions = in_memory();
    for (id, explicit) in [("hearth's", true), ("other", false)] {
        let (first, messages) = begin(&sessions, id, explicit, "a").await;
        assert_eq!((first.turn, first.takes_over()), (Turn::New, true));
        assert!(!begin(&sessions, id, explicit, "a").await.0.takes_over(), "another has it");
        assert!(first.store(messages, [1].into()).is_some());
        drop(first);
        let (again, _) = begin(&sessions, id, explicit, "a").await;
        assert_eq!((again.turn, again.takes_over()), (Turn::Continued, true));
        drop(again);
        let (edited, _) = begin(&sessions, id, explicit, "b").await;
        assert_eq!((edited.turn, edited.takes_over()), (Turn::Replaced, explicit));
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_read_are_not_waited_for_without_end() {
    let state = Arc::new(State { store: Mutex::new(None), loaded: watch::Sender::new(false) });
    let inner = Inner { model: "m".into(), clock: clock(), state: state.clone(), files: None, forget: noting().1 };
    let sessions = Sessions { inner: Arc::new(inner) };
    assert_eq!(sessions.list().await.unwrap_err().kind, ErrorKind::Overloaded);
    let read = async { state.begin(Store::new("m", SessionOptions::default()), Vec::new(), clock()()) };
    assert_eq!(tokio::join!(sessions.get("a"), read).0, Ok(None));
}

#[tokio::test]
async fn forks_are_refused_for_a_reason() {
    let sessions = in_memory();
    say(&sessions, "a", "a").await;
    let (_begun, _) = begin(&sessions, "begun", true, "a").await;
    let fork = async |id: &str, to: &str| sessions.fork(id, Some(to.into())).await.map(|info| info.id);
    assert_eq!(fork("a", "b").await, Ok("b".into()));
    assert_eq!((fork("a", "b").await, fork("a", "begun").await), (Err(ForkError::Taken), Err(ForkError::Taken)));
    assert_eq!((fork("z", "b").await, fork("begun", "c").await), (Err(ForkError::Unknown), Err(ForkError::Unknown)));
    assert!(matches!(fork("a", "").await, Err(ForkError::Refused(error)) if error.param.as_deref() == Some("id")));
}

/// At the start: what is over the bounds is removed, and nothing that is not this model's.
#[tokio::test]
async fn files_that_nobody_will_read_again_go_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let start = |model: &str, count, idle| {
        let (keys, forget) = noting();
        let options = SessionOptions { count, idle, dir: Some(dir.path().into()), ..Default::default() };
        (Sessions::new(model, options, clock(), forget), keys)
    };
    let day = Duration::from_secs(24 * 60 * 60);
    let (sessions, _) = start("m", 9, day);
    for (age, id) in ["c", "b", "a"].into_iter().enumerate() {
        say(&sessions, id, id).await;
        assert!(sessions.flush(Duration::from_secs(10)).await);
        let file = dir.path().join(folder_name("m")).join(file_name("m", id)).with_extension("json");
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(100 * (3 - age as u64))).unwrap();
    }
    let (other, keys) = start("n", 1, day);
    assert!(other.list().await.unwrap().is_empty() && keys.lock().unwrap().is_empty());
    assert_eq!(count(dir.path()), 3, "another model's");
    let (fewer, keys) = start("m", 2, day);
    let ids: Vec<String> = fewer.list().await.unwrap().into_iter().map(|info| info.id).collect();
    assert_eq!((ids.len(), count(dir.path())), (2, 2));
    assert_eq!(*keys.lock().unwrap(), [sessions.key("c")], "the oldest");
    let (expired, keys) = start("m", 9, Duration::from_secs(150));
    assert_eq!((expired.list().await.unwrap().len(), count(dir.path())), (1, 1));
    assert_eq!(*keys.lock().unwrap(), [sessions.key("b")]);
    let file = std::fs::read_dir(dir.path().join(folder_name("m"))).unwrap().next().unwrap().unwrap().path();
    for n in 0..12 {
        std::fs::write(dir.path().join(folder_name("m")).join(format!("{n:064x}.json.bad")), "").unwrap();
    }
    std::fs::write(file, "").unwrap();
    let (broken, _) = start("m", 9, day);
    assert_eq!((broken.list().await.unwrap().len(), count(dir.path())), (0, 8), "a few that are broken are kept");
    start("n", 1, Duration::ZERO).0.list().await.unwrap();
    assert!(!dir.path().join(folder_name("m")).exists(), "what is over goes, whatever its model");
}

#[test]
fn keys_and_names_are_of_the_model_and_the_id() {
    let sessions = |model| Sessions::new(model, SessionOptions::default(), clock(), noting().1);
    assert_eq!(sessions("m").key("a"), sessions("m").key("a"));
    assert_ne!(sessions("m").key("a"), sessions("m").key("b"));
    assert_ne!(sessions("m").key("a"), sessions("n").key("a"));
    assert_ne!(file_name("ma", "b"), file_name("m", "ab"));
    assert_eq!(file_name("m", "../a").len(), 64);
}
