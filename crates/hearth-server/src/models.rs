//! `POST /v1/models/load` and `/unload`, `GET /v1/models/status`: which models are loaded. They are Hearth's own, and the
//! same whatever protocol is spoken.

use std::{future::Future, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::{
    Stream, StreamExt,
    future::{Either, select},
    stream,
};
use hearth_core::{Error, Result};
use hearth_engine::{Status, WorkerState};
use serde::Serialize;
use serde_json::json;

use crate::{body::WholeBody, error::ApiError, fields::Fields, keep_alive, sse, state::AppState};

/// What `load` and `unload` answer.
#[derive(Serialize)]
pub(crate) struct Done {
    success: bool,
    model: String,
}

impl Done {
    fn with(model: String) -> Self {
        Self { success: true, model }
    }
}

/// Loads a model and answers when it is loaded, or tells how far it is.
pub(crate) async fn load(State(state): State<AppState>, WholeBody(body): WholeBody) -> Result<Response, ApiError> {
    let fields = Fields::of_body(&body)?;
    let model = named(&state, &fields)?;
    let (keep_alive, streamed) = (keep_alive::read(&fields)?, fields.boolean("stream")?.unwrap_or(false));
    let progress = state.engine.progress(&model)?;
    let (engine, id) = (state.engine, model.clone());
    let load = async move { engine.load(&id, keep_alive).await.map(drop) };
    if streamed {
        return Ok(sse::response(frames(model, progress, load), state.options.keep_alive));
    }
    load.await?;
    Ok(Json(Done::with(model)).into_response())
}

/// Unloads a model; fine where it is not loaded.
pub(crate) async fn unload(State(state): State<AppState>, WholeBody(body): WholeBody) -> Result<Json<Done>, ApiError> {
    let fields = Fields::of_body(&body)?;
    let model = named(&state, &fields)?;
    state.engine.unload(&model, fields.boolean("force")?.unwrap_or(false)).await?;
    Ok(Json(Done::with(model)))
}

/// All models and what their workers do.
pub(crate) async fn status(State(state): State<AppState>) -> Json<List> {
    Json(List { object: "list", data: state.engine.status().into_iter().map(Card::from).collect() })
}

/// The id of the model that a body names. Nobody loads or unloads one by saying nothing.
fn named(state: &AppState, fields: &Fields<'_>) -> Result<String> {
    let missing = || Error::invalid("model", "model is missing: say which one.");
    Ok(state.engine.find(&fields.string("model")?.ok_or_else(missing)?)?.card.id)
}

/// How far a load is, each time that it has come further, and how it ended.
fn frames(
    model: String,
    progress: impl Stream<Item = f32> + Send,
    load: impl Future<Output = Result<()>> + Send,
) -> impl Stream<Item = Bytes> + Send {
    let state = Some((model, Box::pin(progress), Box::pin(load)));
    stream::unfold(state, |state| async move {
        let (model, mut progress, load) = state?;
        let loaded = match select(progress.next(), load).await {
            Either::Left((Some(share), load)) => {
                let frame = json!({ "model": model, "status": "loading", "progress": share });
                return Some((sse::frame(&frame), Some((model, progress, load))));
            }
            Either::Left((None, load)) => load.await,
            Either::Right((loaded, _)) => loaded,
        };
        let end = match loaded {
            Ok(()) => [&sse::frame(&Done::with(model))[..], b"data: [DONE]\n\n"].concat().into(),
            Err(error) => sse::frame(&ApiError::from(error).openai_body()),
        };
        Some((end, None))
    })
}

/// `list`: all models.
#[derive(Serialize)]
pub(crate) struct List {
    object: &'static str,
    data: Vec<Card>,
}

/// A model and its worker.
#[derive(Serialize)]
pub(crate) struct Card {
    id: String,
    state: &'static str,
    /// Of a load, from 0 to 1.
    progress: Option<f32>,
    pid: Option<u32>,
    memory: Memory,
    pinned: bool,
    /// Seconds since 1970.
    last_used: Option<u64>,
    /// In seconds from now, if nobody uses it.
    unloads_in: Option<f64>,
    running: usize,
    queued: usize,
}

/// Bytes.
#[derive(Serialize)]
struct Memory {
    weights: u64,
    /// Caches of answers that have ended, and of those that run.
    kept: u64,
    running: u64,
}

impl Card {
    pub(crate) fn is_loading(&self) -> bool {
        self.progress.is_some()
    }
}

impl From<Status> for Card {
    fn from(status: Status) -> Self {
        let hearth_engine::Memory { weights, kept, running } = status.memory;
        Self {
            state: match status.worker {
                WorkerState::Stopped => "unloaded",
                WorkerState::Loading => "loading",
                WorkerState::Ready if status.running > 0 => "answering",
                WorkerState::Ready => "ready",
            },
            progress: (status.worker == WorkerState::Loading).then_some(status.progress),
            id: status.card.id,
            pid: status.pid,
            memory: Memory { weights, kept, running },
            pinned: status.pinned,
            last_used: status.last_used,
            unloads_in: status.unloads_in.as_ref().map(Duration::as_secs_f64),
            running: status.running,
            queued: status.queued,
        }
    }
}
