//! `POST /v1/chat/completions`.

use std::{
    hash::{BuildHasher, RandomState},
    iter,
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
use futures_util::{StreamExt, future, stream};
use hearth_core::{Error, Result};
use hearth_engine::{ChatStream, Engine};

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
    let call = read(body, headers.get(sessions::HEADER).cloned()).await?;
    let head = head(state.engine.find(&call.request.model)?.id);
    let streamed = call.stream.then_some(call.include_usage);
    let answers = start(&state.engine, call).await?;
    match streamed {
        Some(include_usage) => stream(head, answers, include_usage, state.options.keep_alive).await,
        None => Ok(whole(&head, answers).await?),
    }
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

/// Queues one answer per choice, each with a seed of its own.
///
/// One after the other, so that the worker finds the later prompts in the cache of the first; and none is read before
/// all have begun, so that the first has the session until then: the others see what it saw, and do not write.
async fn start(engine: &Engine, call: ChatCall) -> Result<Vec<ChatStream>> {
    let mut answers = Vec::with_capacity(call.choices);
    for (i, mut request) in iter::zip(0.., iter::repeat_n(call.request, call.choices)) {
        request.sampling.seed = request.sampling.seed.map(|seed| seed.wrapping_add(i));
        answers.push(engine.chat(request).await?);
    }
    Ok(answers)
}

async fn whole(head: &Head, answers: Vec<ChatStream>) -> Result<Response> {
    let answers = future::try_join_all(answers.into_iter().map(ChatStream::collect)).await?;
    let body = whole::completion(head, answers)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The stream, once its first event is there, so that a failure before it keeps its status; or once the silence has
/// lasted so long that the client must hear something.
async fn stream(
    head: Head,
    answers: Vec<ChatStream>,
    include_usage: bool,
    keep_alive: Duration,
) -> Result<Response, ApiError> {
    let choices = answers.len();
    let with_index = |(index, answer): (usize, ChatStream)| answer.map(move |event| (index, event)).boxed();
    let mut answers = stream::select_all(answers.into_iter().enumerate().map(with_index));
    let first = tokio::time::timeout(keep_alive, answers.next()).await.ok().flatten();
    if let Some((_, Err(error))) = first {
        return Err(error.into());
    }
    let answers = stream::iter(first).chain(answers);
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
