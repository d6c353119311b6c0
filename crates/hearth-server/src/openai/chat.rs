//! `POST /v1/chat/completions`.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use hearth_core::{Error, Result};
use hearth_engine::ChatStream;
use tokio::time::timeout;

use super::{
    convert::{self, ChatCall},
    stream::frames,
    types::Head,
    whole,
};
use crate::{body::WholeBody, error::ApiError, sessions, sse, state::AppState};

/// Bodies from this size are read beside the threads that serve streams.
const LARGE_BODY: usize = 256 << 10;

/// Answers a conversation, at once or as a stream.
pub(crate) async fn complete(
    State(state): State<AppState>,
    headers: HeaderMap,
    WholeBody(body): WholeBody,
) -> Result<Response, ApiError> {
    let ChatCall { request, choices, stream, include_usage } =
        read(body, headers.get(sessions::HEADER).cloned()).await?;
    let head = head(state.engine.find(&request.model)?.card.id);
    let answers = state.engine.choices(request, choices).await?;
    if !stream {
        return Ok(whole(&head, answers).await?);
    }
    streamed(head, choices, include_usage, answers, state.options.keep_alive).await
}

async fn read(body: Bytes, session: Option<HeaderValue>) -> Result<ChatCall> {
    if body.len() < LARGE_BODY {
        return convert::chat_call(&body, session.as_ref());
    }
    let reading = tokio::task::spawn_blocking(move || convert::chat_call(&body, session.as_ref()));
    reading
        .await
        .unwrap_or_else(|_| Err(Error::internal("Reading the request met a fault of Hearth's own; the log says more.")))
}

async fn whole(head: &Head, answers: ChatStream) -> Result<Response> {
    let body = whole::completion(head, answers.collect().await?)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The stream, once its first event is there, so that a failure before it keeps its status; or once the silence has
/// lasted so long that the client must hear something.
async fn streamed(
    head: Head,
    choices: usize,
    include_usage: bool,
    mut answers: ChatStream,
    keep_alive: Duration,
) -> Result<Response, ApiError> {
    let first = timeout(keep_alive, answers.next()).await.ok().flatten().transpose()?;
    let answers = stream::iter(first.map(Ok)).chain(answers);
    Ok(sse::response(frames(head, choices, include_usage, answers), keep_alive))
}

fn head(model: String) -> Head {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Head { id: format!("chatcmpl-{:016x}", unique()), created, model }
}

/// A number that no other answer has, also not one of another run of the server.
fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SECRET.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}
