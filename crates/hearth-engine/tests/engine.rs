//! The engine from outside, its worker on a thread with the fake runner.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use hearth_core::chat::{ChatRequest, Tool, ToolChoice};
use hearth_core::event::{Event, FinishReason};
use hearth_core::sampling::SamplingOverrides;
use hearth_core::{Error, ErrorKind, Result};
use hearth_engine::fake::FakeRunner;
use hearth_engine::{ChatStream, Engine, EngineOptions, Placement, WorkerState};
use serde_json::json;
use support::{ask, collect, model, read, say, spec, status, whole};
use tempfile::TempDir;

/// An engine whose worker makes its runner with `make`, and the folder that it needs.
fn engine(options: EngineOptions, make: impl Fn() -> FakeRunner + Send + Sync + 'static) -> (Engine, TempDir) {
    failing(options, move || Ok(make()))
}

fn failing(options: EngineOptions, make: impl Fn() -> Result<FakeRunner> + Send + Sync + 'static) -> (Engine, TempDir) {
    let dir = model();
    let load = Placement::Thread(Arc::new(move |_, _| Ok(Box::new(make()?))));
    (Engine::new(vec![spec(&dir)], load, options), dir)
}

fn saying(text: &'static str) -> (Engine, TempDir) {
    engine(EngineOptions::default(), move || FakeRunner::saying(text))
}

/// Each step waits for a message, until the sender is dropped.
fn gated(options: EngineOptions, text: &'static str) -> (Engine, TempDir, Sender<()>) {
    let (gate, steps) = channel();
    let steps = Arc::new(Mutex::new(steps));
    let make = move || {
        let steps = steps.clone();
        FakeRunner::saying(text).before_step(move |_, _| {
            let _ = steps.lock().unwrap().recv();
            Ok(())
        })
    };
    let (engine, dir) = engine(options, make);
    (engine, dir, gate)
}

async fn refused(engine: &Engine, request: ChatRequest) -> Error {
    engine.chat(request).await.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn an_answer_has_text_an_end_and_usage() {
    let (engine, _dir) = saying("Hello, Wörld 👋");
    let (answer, error) = read(engine.chat(ask("hi")).await.unwrap()).await;
    assert_eq!((answer.text.as_str(), error), ("Hello, Wörld 👋", None));
    let (reason, usage) = answer.finished.unwrap();
    assert_eq!(reason, FinishReason::Stop);
    let prompt = "user: hi\nassistant: ".len();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (prompt, "Hello, Wörld 👋".len() + 1));
    let status = status(&engine);
    assert_eq!((status.requests, status.prompt_tokens), (1, prompt as u64));
    assert_eq!((status.worker, status.running, status.queued, status.deaths), (WorkerState::Ready, 0, 0, 0));
}

#[tokio::test]
async fn length_and_stop_texts_end_an_answer() {
    let (engine, _dir) = saying("one two three");
    let cases = [
        (None, "", "one two three", FinishReason::Stop, 14),
        (Some(7), "", "one two", FinishReason::Length, 7),
        (Some(1), "", "o", FinishReason::Length, 1),
        (None, "tw", "one ", FinishReason::Stop, 6),
        (None, "x| three", "one two", FinishReason::Stop, 13),
        (Some(5), "two", "one t", FinishReason::Length, 5),
    ];
    for (max_tokens, stop, text, reason, tokens) in cases {
        let stop: Vec<String> = stop.split('|').map(String::from).collect();
        let request = ChatRequest { max_tokens, stop, ..ask("count") };
        let streamed = read(engine.chat(request.clone()).await.unwrap()).await.0;
        let mut plain = whole(collect(engine.chat(request.clone()).await.unwrap()).await.unwrap());
        // The second finds what the first has left.
        plain.finished.as_mut().unwrap().1.cached_tokens = streamed.finished.as_ref().unwrap().1.cached_tokens;
        assert_eq!(streamed, plain, "{request:?}");
        let (got, usage) = streamed.finished.unwrap();
        assert_eq!((streamed.text.as_str(), got, usage.completion_tokens), (text, reason, tokens), "{request:?}");
    }
}

fn tide() -> Tool {
    let definition = json!({"type": "function", "function": {"name": "fetch_tide", "parameters": {}}});
    Tool { name: "fetch_tide".into(), definition }
}

#[tokio::test]
async fn tool_calls_are_events_and_the_reason_for_the_end() {
    let call = "<tool_call>\n{\"name\": \"fetch_tide\", \"arguments\": {\"place\": \"Oban\"}}\n</tool_call>";
    let (engine, _dir) = saying(call);
    let request = ChatRequest { tools: vec![tide()], ..ask("tide?") };
    let answer = read(engine.chat(request.clone()).await.unwrap()).await.0;
    assert_eq!(answer.calls, [("fetch_tide".into(), "{\"place\": \"Oban\"}".into())]);
    assert_eq!((answer.text.as_str(), answer.finished.unwrap().0), ("", FinishReason::ToolCalls));

    let cut = ChatRequest { max_tokens: Some(70), ..request.clone() };
    assert_eq!(read(engine.chat(cut).await.unwrap()).await.0.finished.unwrap().0, FinishReason::Length);

    let none = ChatRequest { tool_choice: ToolChoice::None, ..request };
    let answer = read(engine.chat(none).await.unwrap()).await.0;
    assert_eq!((answer.text.as_str(), answer.calls.len()), (call, 0));
}

#[tokio::test]
async fn reasoning_comes_apart_from_the_answer_and_is_counted() {
    let (engine, _dir) = saying("<think>hm, well</think>ok");
    let answer = read(engine.chat(ask("?")).await.unwrap()).await.0;
    assert_eq!((answer.reasoning.as_str(), answer.text.as_str()), ("hm, well", "ok"));
    let tokens = answer.finished.unwrap().1.reasoning_tokens;
    assert!((8..="<think>hm, well</think>".len()).contains(&tokens), "{tokens}");
}

#[tokio::test]
async fn every_token_of_the_text_has_its_log_probability() {
    let (engine, _dir) = saying("<think>a</think>é, b STOP");
    let sampling = SamplingOverrides { logprobs: Some(2), ..Default::default() };
    let request = ChatRequest { sampling, stop: vec!["STOP".into()], ..ask("?") };
    let events = collect(engine.chat(request).await.unwrap()).await.unwrap();
    let Some(Event::Text { text, logprobs }) = events.iter().find(|event| matches!(event, Event::Text { .. })) else {
        panic!("{events:?}")
    };
    assert_eq!(text, "é, b ");
    let bytes: Vec<u8> = logprobs.iter().flat_map(|token| token.bytes.clone()).collect();
    assert!(bytes.ends_with("é, b ".as_bytes()), "{bytes:?}");
    let last = logprobs.last().unwrap();
    assert_eq!((last.token.as_str(), last.logprob, last.top.len(), last.top[1].logprob), (" ", -0.5, 2, -1.5));
}

#[tokio::test]
async fn answers_together_are_those_alone() {
    let (engine, _dir) = engine(EngineOptions { max_batch: 5, ..Default::default() }, || FakeRunner::hashing(40));
    let prompts: Vec<String> = (0..8).map(|n| format!("{n} ").repeat(1 + n * n * 9)).collect();
    let mut alone = Vec::new();
    for prompt in &prompts {
        alone.push(say(&engine, ask(prompt)).await);
    }
    let together = prompts.iter().enumerate().map(|(n, prompt)| {
        let engine = &engine;
        async move {
            let mut stream = engine.chat(ask(prompt)).await.unwrap();
            if n == 3 {
                stream.next().await;
                return None;
            }
            Some(read(stream).await.0.text)
        }
    });
    for (n, text) in join_all(together).await.into_iter().enumerate() {
        if let Some(text) = text {
            assert_eq!(text, alone[n], "{n}");
        }
    }
}

#[tokio::test]
async fn dropped_streams_leave_nothing_behind() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = open.clone();
    let make = move || FakeRunner::hashing(50).counting(count.clone());
    let (engine, _dir) = engine(EngineOptions { max_batch: 4, ..Default::default() }, make);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut streams: Vec<ChatStream> = Vec::new();
    for n in 0..100 {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let (take, prompt) = ((random >> 33) as usize % 60, (random >> 48) as usize % 700);
        let mut stream = engine.chat(ask(&"x".repeat(prompt))).await.unwrap();
        for _ in 0..take {
            stream.next().await;
        }
        if n % 3 == 0 {
            streams.push(stream);
        }
        if streams.len() > 6 {
            streams.swap_remove((random >> 20) as usize % streams.len());
        }
    }
    drop(streams);
    // Commands are taken in order: when this one is answered, the others are gone; its own slot is closed just after.
    say(&engine, ask("last")).await;
    let closed = async {
        while open.load(SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
    let status = status(&engine);
    assert_eq!((status.running, status.queued), (0, 0));
}

#[tokio::test]
async fn a_full_queue_is_an_error_and_empties_again() {
    let options = EngineOptions { max_batch: 1, queue: 2, ..Default::default() };
    let (engine, _dir, gate) = gated(options, "ok");
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(engine.chat(ask("?")).await.unwrap());
    }
    let status = status(&engine);
    assert_eq!((status.running, status.queued), (1, 2));
    let error = refused(&engine, ask("?")).await;
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert!(error.message.contains("3 requests"), "{}", error.message);
    drop(gate);
    for stream in streams {
        assert_eq!(read(stream).await.0.text, "ok");
    }
    assert_eq!(say(&engine, ask("?")).await, "ok");
}

#[tokio::test]
async fn a_stream_ends_by_the_step_in_which_it_was_dropped() {
    let options = EngineOptions { max_batch: 1, ..Default::default() };
    let (engine, _dir, gate) = gated(options, "a long answer that nobody waits for");
    let mut first = engine.chat(ask("?")).await.unwrap();
    for _ in 0..3 {
        gate.send(()).unwrap();
    }
    first.next().await.unwrap().unwrap();
    let second = engine.chat(ask("?")).await.unwrap();
    drop(first);
    // Asked after the drop, so that the worker has the cancellation before the gate opens again.
    engine.load("", None).await.unwrap();
    // The step at the gate is the first one's last; three more are the second one's prompt and two tokens.
    for _ in 0..4 {
        gate.send(()).unwrap();
    }
    let texts: Vec<_> = second.take(2).map(|event| event.unwrap().1).collect().await;
    assert_eq!(whole(texts).text, "a ");
}

#[tokio::test]
async fn concurrent_first_requests_load_once() {
    let loads = Arc::new(AtomicUsize::new(0));
    let count = loads.clone();
    let (engine, _dir) = engine(EngineOptions::default(), move || {
        count.fetch_add(1, SeqCst);
        FakeRunner::echoing()
    });
    assert_eq!((status(&engine).worker, status(&engine).card.context_length), (WorkerState::Stopped, None));
    let texts = join_all((0..8).map(|n| say_owned(engine.clone(), format!("number {n}")))).await;
    assert_eq!(texts, (0..8).map(|n| format!("number {n}")).collect::<Vec<_>>());
    assert_eq!(engine.load("", None).await.unwrap().model_type, "fake");
    assert_eq!((loads.load(SeqCst), status(&engine).card.context_length), (1, Some(4096)));
}

async fn say_owned(engine: Engine, text: String) -> String {
    say(&engine, ask(&text)).await
}

#[tokio::test]
async fn a_load_that_fails_says_why_and_can_be_tried_again() {
    let loads = Arc::new(AtomicUsize::new(0));
    let (engine, _dir) = failing(EngineOptions::default(), move || match loads.fetch_add(1, SeqCst) {
        0 => Err(Error::model_load("tests/Fake-1: layer 3: missing self_attn.q_proj.")),
        _ => Ok(FakeRunner::saying("ok")),
    });
    let error = refused(&engine, ask("?")).await;
    assert_eq!(error, Error::model_load("tests/Fake-1: layer 3: missing self_attn.q_proj."));
    assert_eq!((status(&engine).worker, status(&engine).deaths), (WorkerState::Stopped, 0));
    assert_eq!(say(&engine, ask("?")).await, "ok");
}

#[tokio::test]
async fn a_folder_without_tokenizer_or_template_says_so() {
    for (file, part) in [("tokenizer.json", "tokenizer.json"), ("chat_template.jinja", "--chat-template")] {
        let (engine, dir) = saying("ok");
        std::fs::remove_file(dir.path().join(file)).unwrap();
        let error = engine.load("", None).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ModelLoad);
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[tokio::test]
async fn a_given_template_takes_the_place_of_the_models() {
    let dir = model();
    let file = dir.path().join("other.jinja");
    std::fs::write(&file, "{{ messages[0].content }}|").unwrap();
    let load = Placement::Thread(Arc::new(|_, _| Ok(Box::new(FakeRunner::saying("ok")))));
    let options = EngineOptions { chat_template: Some(file.clone()), ..Default::default() };
    let engine = Engine::new(vec![spec(&dir)], load.clone(), options);
    assert_eq!(engine.chat(ask("four")).await.unwrap().prompt_tokens(), 5);

    let missing = EngineOptions { chat_template: Some(dir.path().join("none.jinja")), ..Default::default() };
    let error = Engine::new(vec![spec(&dir)], load, missing).load("", None).await.unwrap_err();
    assert!(error.message.contains("none.jinja"), "{}", error.message);
}

#[tokio::test]
async fn bad_requests_are_refused_before_they_are_queued() {
    let options = EngineOptions { context: Some(100), ..Default::default() };
    let (engine, _dir) = engine(options, || FakeRunner::saying("ok"));
    let cases = [
        (ask("refuse"), ErrorKind::InvalidRequest, "I refuse."),
        (ask(&"x".repeat(100)), ErrorKind::ContextLengthExceeded, "messages alone are 118 tokens"),
        (ChatRequest { max_tokens: Some(90), ..ask("x") }, ErrorKind::ContextLengthExceeded, "needs 109"),
        (ChatRequest { max_tokens: Some(0), ..ask("x") }, ErrorKind::InvalidRequest, "at least 1"),
        (ChatRequest { model: "gpt-4o".into(), ..ask("x") }, ErrorKind::ModelNotFound, "installed is `fake-1`"),
    ];
    for (request, kind, part) in cases {
        let error = refused(&engine, request).await;
        assert_eq!(error.kind, kind, "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
    }
    for model in ["", "FAKE-1", "tests/fake-1", "default"] {
        assert_eq!(say(&engine, ChatRequest { model: model.into(), ..ask("x") }).await, "ok");
    }
    assert_eq!((status(&engine).requests, status(&engine).running), (4, 0));
}

/// An engine whose first `lives` workers panic at their step `step`.
fn dying(lives: usize, step: usize) -> (Engine, TempDir) {
    let life = Arc::new(AtomicUsize::new(0));
    engine(EngineOptions::default(), move || {
        let life = life.fetch_add(1, SeqCst);
        FakeRunner::saying("still here").before_step(move |at, _| {
            assert!(life >= lives || at < step, "the runner panics, as this test wants");
            Ok(())
        })
    })
}

#[tokio::test]
async fn a_request_that_has_streamed_nothing_is_run_again_once() {
    let (engine, _dir) = dying(1, 1);
    assert_eq!(say(&engine, ask("?")).await, "still here");
    assert_eq!(status(&engine).deaths, 1);

    let (engine, _dir) = dying(2, 1);
    let (answer, error) = read(engine.chat(ask("?")).await.unwrap()).await;
    assert_eq!((answer.text.as_str(), error.unwrap().kind), ("", ErrorKind::WorkerDied));
    assert_eq!(say(&engine, ask("?")).await, "still here");
}

#[tokio::test]
async fn a_stream_that_has_begun_ends_with_the_workers_death() {
    let (engine, _dir) = dying(1, 5);
    let (answer, error) = read(engine.chat(ask("?")).await.unwrap()).await;
    let error = error.unwrap();
    assert_eq!((answer.text.as_str(), error.kind), ("stil", ErrorKind::WorkerDied));
    assert!(error.message.contains("fake-1"), "{}", error.message);
    assert_eq!(say(&engine, ask("?")).await, "still here");
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_survives_a_death_in_its_middle() {
    let (engine, _dir) = dying(1, 5);
    let events = collect(engine.chat(ask("?")).await.unwrap()).await.unwrap();
    let answer = whole(events);
    assert_eq!((answer.text.as_str(), answer.finished.unwrap().1.completion_tokens), ("still here", 11));
    assert_eq!(status(&engine).deaths, 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_keeps_dying_is_not_started_for_a_while() {
    let (engine, _dir) = dying(3, 0);
    for _ in 0..2 {
        let error = read(engine.chat(ask("?")).await.unwrap()).await.1.unwrap();
        assert_eq!(error.kind, ErrorKind::WorkerDied);
    }
    assert_eq!(status(&engine).deaths, 3);
    let error = read(engine.chat(ask("?")).await.unwrap()).await.1.unwrap();
    assert!(error.message.contains("died 3 times within a minute"), "{}", error.message);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(say(&engine, ask("?")).await, "still here");
}

#[tokio::test]
async fn a_failed_step_is_the_error_of_those_in_it_and_two_end_the_worker() {
    let life = Arc::new(AtomicUsize::new(0));
    let (engine, _dir) = engine(EngineOptions::default(), move || {
        let life = life.fetch_add(1, SeqCst);
        FakeRunner::saying("ok").before_step(move |at, _| match (life, at) {
            (0, 0 | 5 | 6) => Err(Error::internal("out of device memory")),
            _ => Ok(()),
        })
    });
    let fails = async || read(engine.chat(ask("?")).await.unwrap()).await.1;
    assert_eq!(fails().await, Some(Error::internal("out of device memory")));
    assert_eq!(say(&engine, ask("?")).await, "ok", "steps 1 to 4");
    assert_eq!(fails().await, Some(Error::internal("out of device memory")));
    assert_eq!(status(&engine).deaths, 0);
    assert_eq!(fails().await, None, "a second failure in a row ends the worker, and the request is run again");
    assert_eq!(status(&engine).deaths, 1);
}

#[tokio::test]
async fn shutdown_ends_streams_worker_and_the_taking_of_requests() {
    let (gone, ended) = channel::<()>();
    let gone = Mutex::new(Some(gone));
    let (engine, _dir) = engine(EngineOptions::default(), move || {
        let gone = gone.lock().unwrap().take();
        FakeRunner::hashing(3000).before_step(move |_, _| {
            let _held_by_the_runner = &gone;
            Ok(())
        })
    });
    let mut stream = engine.chat(ask("?")).await.unwrap();
    stream.next().await.unwrap().unwrap();
    engine.shutdown().await;
    let error = read(stream).await.1.unwrap();
    assert_eq!(error.kind, ErrorKind::ShuttingDown);
    assert_eq!(refused(&engine, ask("?")).await.kind, ErrorKind::ShuttingDown);
    assert_eq!(status(&engine).worker, WorkerState::Stopped);
    engine.shutdown().await;
    assert_eq!(ended.try_recv(), Err(TryRecvError::Disconnected), "the runner was dropped");
}

#[tokio::test]
async fn an_engine_that_is_dropped_ends_its_worker() {
    let (gone, ended) = channel::<()>();
    let gone = Mutex::new(Some(gone));
    let (engine, _dir) = engine(EngineOptions::default(), move || {
        let gone = gone.lock().unwrap().take();
        FakeRunner::saying("ok").before_step(move |_, _| {
            let _held_by_the_runner = &gone;
            Ok(())
        })
    });
    say(&engine, ask("?")).await;
    drop(engine);
    tokio::task::spawn_blocking(move || assert!(ended.recv().is_err(), "the runner was dropped")).await.unwrap();
}
