//! What the engine's tests share: requests, and answers put together.

use futures_util::StreamExt;
use hearth_core::chat::{ChatRequest, Message, Role};
use hearth_core::event::{Event, FinishReason, Usage};
use hearth_core::{Error, Result};
use hearth_engine::{ChatStream, Engine, ModelSpec, Status};
use tempfile::TempDir;

/// A folder with the fake's tokenizer and template.
pub(crate) fn model() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    hearth_engine::fake::write_model(dir.path()).unwrap();
    dir
}

pub(crate) fn spec(dir: &TempDir) -> ModelSpec {
    ModelSpec { id: "fake-1".into(), source: "tests/Fake-1".into(), dir: dir.path().into(), ..Default::default() }
}

/// The status of the default model.
pub(crate) fn status(engine: &Engine) -> Status {
    engine.status().swap_remove(0)
}

pub(crate) fn ask(text: &str) -> ChatRequest {
    ChatRequest { messages: vec![Message::text(Role::User, text)], ..Default::default() }
}

/// An answer without how it came.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    /// Names and arguments.
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) finished: Option<(FinishReason, Usage)>,
}

pub(crate) fn whole(events: impl IntoIterator<Item = Event>) -> Whole {
    let mut whole = Whole::default();
    for event in events {
        assert!(whole.finished.is_none(), "an event after the end: {event:?}");
        match event {
            Event::Text { text, .. } => whole.text += &text,
            Event::Reasoning(text) => whole.reasoning += &text,
            Event::ToolCallStart { name, .. } => whole.calls.push((name, String::new())),
            Event::ToolCallArguments { index, fragment } => whole.calls[index].1 += &fragment,
            Event::Finished { reason, usage, .. } => whole.finished = Some((reason, usage)),
        }
    }
    whole
}

/// Reads a stream to its end.
pub(crate) async fn read(stream: ChatStream) -> (Whole, Option<Error>) {
    let items: Vec<Result<Event>> = stream.map(|event| event.map(|(_, event)| event)).collect().await;
    let error = items.iter().find_map(|item| item.as_ref().err().cloned());
    let ended = items.iter().filter(|item| matches!(item, Err(_) | Ok(Event::Finished { .. }))).count();
    assert_eq!(ended, 1, "exactly one end: {items:?}");
    (whole(items.into_iter().flatten()), error)
}

/// A whole answer that is the only one.
pub(crate) async fn collect(stream: ChatStream) -> Result<Vec<Event>> {
    Ok(stream.collect(|_| {}).await?.remove(0))
}

/// The streamed answer's text.
pub(crate) async fn say(engine: &Engine, request: ChatRequest) -> String {
    let (whole, error) = read(engine.chat(request).await.unwrap()).await;
    assert_eq!(error, None);
    whole.text
}
