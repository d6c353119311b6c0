//! `POST /v1/chat/completions`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream};
use hearth_core::{Result, event::Event};
use hearth_engine::ChatStream;
use tokio::time::timeout;

use super::{
    convert::{self, ChatCall},
    stream::frames,
    types::Head,
    whole,
};
use crate::{
    activity::{Entry, Wish},
    body::WholeBody,
    error::ApiError,
    sessions, sse,
    state::AppState,
};

/// Answers a conversation, at once or as a stream.
pub(crate) async fn complete(
    State(state): State<AppState>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: WholeBody,
) -> Result<Response, ApiError> {
    let session = headers.get(sessions::HEADER).cloned();
    let ChatCall { request, choices, stream, include_usage } =
        body.read(move |body| convert::chat_call(body, session.as_ref())).await?;
    let model = state.engine.find(&request.model).map(|status| status.card.id);
    entry.asks(Wish {
        model: model.as_ref().unwrap_or(&request.model).clone(),
        session: request.session.as_ref().map(|session| session.id.clone()),
        choices,
        stream,
    });
    let head = head(&entry, model?);
    let answers = state.engine.choices(request, choices).await?;
    entry.has_prompt(answers.prompt_tokens());
    if !stream {
        return Ok(whole(&head, answers, &entry).await?);
    }
    streamed(head, choices, include_usage, entry.watch(answers), state.options.keep_alive).await
}

async fn whole(head: &Head, answers: ChatStream, entry: &Entry) -> Result<Response> {
    let answers = answers.collect(|event| entry.saw(event)).await?;
    let body = whole::completion(head, answers)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The stream, once its first event is there, so that a failure before it keeps its status; or once the silence has
/// lasted so long that the client must hear something.
async fn streamed(
    head: Head,
    choices: usize,
    include_usage: bool,
    mut answers: impl Stream<Item = Result<(usize, Event)>> + Send + Unpin + 'static,
    keep_alive: Duration,
) -> Result<Response, ApiError> {
    let first = timeout(keep_alive, answers.next()).await.ok().flatten().transpose()?;
    let answers = stream::iter(first.map(Ok)).chain(answers);
    Ok(sse::response(frames(head, choices, include_usage, answers), keep_alive))
}

fn head(entry: &Entry, model: String) -> Head {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Head { id: format!("chatcmpl-{}", entry.id()), created, model }
}
