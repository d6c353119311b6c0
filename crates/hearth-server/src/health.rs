//! `GET /health` and `/healthz`: whether the server answers, and what it has. They wake no model.

use axum::{Json, extract::State};
use hearth_engine::WorkerState;
use serde::Serialize;

use crate::state::AppState;

/// What `/health` says.
#[derive(Serialize)]
pub(crate) struct Health {
    status: &'static str,
    /// The default model.
    model: Option<String>,
    models: Vec<String>,
    protocols: Vec<&'static str>,
    version: &'static str,
    worker: &'static str,
    running: usize,
    queued: usize,
}

/// The server, its models and the load on it.
pub(crate) async fn health(State(state): State<AppState>) -> Json<Health> {
    let models: Vec<_> = state.engine.models().into_iter().map(|card| card.id).collect();
    let status = state.engine.status();
    Json(Health {
        status: "ok",
        model: models.first().cloned(),
        models,
        protocols: state.options.protocols.names(),
        version: env!("CARGO_PKG_VERSION"),
        worker: match status.worker {
            WorkerState::Stopped => "stopped",
            WorkerState::Loading => "loading",
            WorkerState::Ready => "ready",
        },
        running: status.running,
        queued: status.queued,
    })
}

/// What `/healthz` says.
#[derive(Serialize)]
pub(crate) struct Alive {
    status: &'static str,
}

/// Only that the server answers.
pub(crate) async fn healthz() -> Json<Alive> {
    Json(Alive { status: "ok" })
}
