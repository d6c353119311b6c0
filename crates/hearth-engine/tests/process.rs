//! The worker as a child process, and its death. Without the standard harness, because the test program is also the
//! worker: started with the argument `worker` it serves the fake runner, as the folder that it is told to load says.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use hearth_core::runner::Runner;
use hearth_core::{Error, ErrorKind, Result};
use hearth_engine::fake::FakeRunner;
use hearth_engine::worker::run_on_stdio;
use hearth_engine::{Engine, EngineOptions, LoadRequest, Placement, Progress, WorkerState};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use support::{ask, collect, model, read, say, spec, status, whole};
use tempfile::TempDir;

type Test = fn() -> BoxFuture<'static, ()>;

const TESTS: [(&str, Test); 13] = [
    ("a_child_answers_and_ends_with_the_engine", || a_child_answers_and_ends_with_the_engine().boxed()),
    ("killed_before_the_first_token", || killed_before_the_first_token().boxed()),
    ("killed_in_mid_stream", || killed_in_mid_stream().boxed()),
    ("killed_in_an_answer_that_is_not_streamed", || killed_in_an_answer_that_is_not_streamed().boxed()),
    ("killed_while_idle", || killed_while_idle().boxed()),
    ("a_worker_that_hangs_is_killed", || a_worker_that_hangs_is_killed().boxed()),
    ("a_load_that_fails_says_why", || a_load_that_fails_says_why().boxed()),
    ("a_load_does_not_hold_up_the_end", || a_load_does_not_hold_up_the_end().boxed()),
    ("a_load_that_aborts_says_how", || a_load_that_aborts_says_how().boxed()),
    ("a_program_that_is_missing_is_named", || a_program_that_is_missing_is_named().boxed()),
    ("a_program_that_is_no_worker_is_an_error", || a_program_that_is_no_worker_is_an_error().boxed()),
    ("an_engine_that_is_dropped_ends_its_child", || an_engine_that_is_dropped_ends_its_child().boxed()),
    ("a_child_ends_with_its_input", || async { a_child_ends_with_its_input() }.boxed()),
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let filter = args.next().unwrap_or_default();
    if filter == "worker" {
        return run_on_stdio(load);
    }
    for (name, test) in TESTS.into_iter().filter(|(name, _)| filter.starts_with('-') || name.contains(&filter)) {
        print!("test {name} ... ");
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
        println!("ok");
    }
    ExitCode::SUCCESS
}

/// The worker's side: what it does in its first life stands in the folder's file `first`.
fn load(request: &mut LoadRequest, progress: Progress<'_>) -> Result<Box<dyn Runner>> {
    println!("what a library prints must not reach the engine");
    let lives = request.dir.join("lives");
    let first = !lives.exists();
    fs::write(lives, "").unwrap();
    let act = fs::read_to_string(request.dir.join("first")).unwrap_or_default();
    let runner = FakeRunner::saying("still here");
    match act.split_once(' ') {
        _ if !first => Ok(Box::new(runner)),
        Some(("block", step)) => {
            let (step, dir): (usize, _) = (step.parse().unwrap(), request.dir.clone());
            Ok(Box::new(runner.before_step(move |at, _| {
                if at < step {
                    return Ok(());
                }
                fs::write(dir.join("blocked"), "").unwrap();
                loop {
                    std::thread::park();
                }
            })))
        }
        Some(("fail", why)) => Err(Error::model_load(why)),
        Some(("hang", _)) => {
            progress(3, 4);
            loop {
                std::thread::park();
            }
        }
        Some(("abort", _)) => std::process::abort(),
        _ => Ok(Box::new(runner)),
    }
}

/// An engine whose first worker does `first`.
fn engine(first: &str) -> (Engine, TempDir) {
    let executable = std::env::current_exe().unwrap();
    let dir = model();
    fs::write(dir.path().join("first"), first).unwrap();
    (Engine::new(vec![spec(&dir)], process(executable, "worker"), EngineOptions::default()), dir)
}

fn process(executable: impl Into<PathBuf>, arg: &str) -> Placement {
    Placement::Process { executable: executable.into(), args: vec![arg.into()] }
}

fn pid(engine: &Engine) -> Pid {
    Pid::from_raw(status(engine).pid.unwrap() as i32).unwrap()
}

fn kill(engine: &Engine) {
    kill_process(pid(engine), Signal::KILL).unwrap();
}

async fn a_child_answers_and_ends_with_the_engine() {
    let (engine, _dir) = engine("");
    assert_eq!(say(&engine, ask("?")).await, "still here");
    let pid = pid(&engine);
    assert_eq!(test_kill_process(pid), Ok(()));
    engine.shutdown().await;
    assert!(test_kill_process(pid).is_err(), "the child has ended and was waited for");
    let status = status(&engine);
    assert_eq!((status.worker, status.pid, status.deaths), (WorkerState::Stopped, None, 0));
}

async fn killed_before_the_first_token() {
    let (engine, _dir) = engine("block 0");
    let streams = [engine.chat(ask("?")).await.unwrap(), engine.chat(ask("?")).await.unwrap()];
    kill(&engine);
    for stream in streams {
        let (answer, error) = read(stream).await;
        assert_eq!((answer.text.as_str(), error), ("still here", None));
    }
    assert_eq!(status(&engine).deaths, 1);
}

async fn killed_in_mid_stream() {
    let (engine, _dir) = engine("block 4");
    let mut begun = engine.chat(ask("?")).await.unwrap();
    for _ in 0..3 {
        begun.next().await.unwrap().unwrap();
    }
    let waiting = engine.chat(ask("?")).await.unwrap();
    kill(&engine);
    let error = read(begun).await.1.unwrap();
    assert_eq!(error.kind, ErrorKind::WorkerDied);
    assert!(error.message.contains("fake-1 died: it was ended by signal 9"), "{}", error.message);
    assert_eq!(read(waiting).await.0.text, "still here");
    assert_eq!(say(&engine, ask("?")).await, "still here");
}

async fn killed_in_an_answer_that_is_not_streamed() {
    let (engine, _dir) = engine("block 4");
    let stream = engine.chat(ask("?")).await.unwrap();
    let answer = tokio::spawn(collect(stream));
    while status(&engine).completion_tokens < 3 {
        tokio::task::yield_now().await;
    }
    kill(&engine);
    assert_eq!(whole(answer.await.unwrap().unwrap()).text, "still here");
}

async fn killed_while_idle() {
    let (engine, _dir) = engine("");
    say(&engine, ask("?")).await;
    kill(&engine);
    assert_eq!(say(&engine, ask("?")).await, "still here");
    assert_eq!(status(&engine).deaths, 1);
}

async fn a_worker_that_hangs_is_killed() {
    let (engine, dir) = engine("block 0");
    engine.load("", None).await.unwrap();
    let (hung, mut changes) = (pid(&engine), engine.changes());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(500)).await;
    tokio::time::resume();
    let first = engine.chat(ask("?")).await.unwrap();
    while !dir.path().join("blocked").exists() {
        tokio::task::yield_now().await;
    }
    drop(first);
    // What it had reported by then is read with this.
    drop(engine.chat(ask("?")).await.unwrap());
    // A clock that stands still runs on by itself where only a worker is waited for.
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    for _ in 0..4 {
        let given_up = engine.chat(ask("?")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(given_up);
    }
    let stream = engine.chat(ask("?")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(58)).await;
    assert_eq!(status(&engine).deaths, 0, "it may be idle for as long as it likes");
    tokio::time::resume();
    while status(&engine).deaths == 0 {
        changes.changed().await.unwrap();
    }
    assert!(asked.elapsed().as_secs() < 320, "those who gave up waited for it, too: {:?}", asked.elapsed());
    assert!(test_kill_process(hung).is_err(), "it is gone before another comes");
    assert_eq!(read(stream).await.0.text, "still here");
    assert_ne!(pid(&engine), hung);
}

async fn a_load_that_fails_says_why() {
    let (engine, _dir) = engine("fail config.json: unknown model_type \"gpt9\".");
    let error = engine.load("", None).await.unwrap_err();
    assert_eq!(error, Error::model_load("config.json: unknown model_type \"gpt9\"."));
    assert_eq!(say(&engine, ask("?")).await, "still here");
}

async fn a_load_does_not_hold_up_the_end() {
    let (engine, _dir) = engine("hang here");
    let load = tokio::spawn({
        let engine = engine.clone();
        async move { engine.load("", None).await }
    });
    while status(&engine).progress == 0.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((status(&engine).worker, status(&engine).progress), (WorkerState::Loading, 0.75));
    let pid = pid(&engine);
    engine.shutdown().await;
    assert!(test_kill_process(pid).is_err());
    assert_eq!(load.await.unwrap().unwrap_err().kind, ErrorKind::ShuttingDown);
}

async fn a_load_that_aborts_says_how() {
    let (engine, _dir) = engine("abort now");
    let error = engine.load("", None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::WorkerDied);
    assert!(error.message.contains("signal 6"), "{}", error.message);
    assert_eq!(say(&engine, ask("?")).await, "still here");
}

async fn a_program_that_is_missing_is_named() {
    let dir = model();
    let engine = Engine::new(vec![spec(&dir)], process("/nowhere/hearth", "worker"), EngineOptions::default());
    let error = engine.load("", None).await.unwrap_err();
    assert!(error.message.contains("/nowhere/hearth"), "{}", error.message);
}

async fn a_program_that_is_no_worker_is_an_error() {
    let dir = model();
    let engine =
        Engine::new(vec![spec(&dir)], process("/bin/echo", "hello, I am not a worker"), EngineOptions::default());
    let error = engine.load("", None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::WorkerDied);
}

async fn an_engine_that_is_dropped_ends_its_child() {
    let (engine, _dir) = engine("");
    say(&engine, ask("?")).await;
    let pid = pid(&engine);
    drop(engine);
    while test_kill_process(pid).is_ok() {
        tokio::task::yield_now().await;
    }
}

/// The child alone, with these bytes on its input: whether it succeeded, and its log.
fn child(input: &[u8]) -> (bool, String) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let child = child.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

fn a_child_ends_with_its_input() {
    assert_eq!(child(b""), (true, String::new()));
    // A load request, and nothing more.
    let dir = model();
    let folder = dir.path().to_str().unwrap();
    let frame =
        [&[folder.len() as u8 + 8, 0, 0, 0, 0, folder.len() as u8], folder.as_bytes(), &[0, 1, 0, 0, 0, 0]].concat();
    let (ended, log) = child(&frame);
    assert!(ended && dir.path().join("lives").exists(), "{log}");
    let (ended, log) = child(b"GET / HTTP/1.1\r\n\r\n");
    assert!(!ended && log.contains("is over the limit"), "{log}");
    let (ended, log) = child(&[1, 0, 0, 0, 77]);
    assert!(!ended && log.contains("is not a message"), "{log}");
    let (ended, log) = child(&[2, 0, 0, 0, 3]);
    assert!(!ended && log.contains("broken"), "{log}");
}
