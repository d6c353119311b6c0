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
    /// The default model's.
    worker: &'static str,
    /// Of all models.
    running: usize,
    queued: usize,
}

/// The server, its models and the load on it.
pub(crate) async fn health(State(state): State<AppState>) -> Json<Health> {
    let status = state.engine.status();
    let models: Vec<_> = status.iter().map(|model| model.card.id.clone()).collect();
    Json(Health {
        status: "ok",
        model: models.first().cloned(),
        models,
        protocols: state.options.protocols.names(),
        version: env!("CARGO_PKG_VERSION"),
        worker: match status.first().map_or(WorkerState::Stopped, |default| default.worker) {
            WorkerState::Stopped => "stopped",
            WorkerState::Loading => "loading",
            WorkerState::Ready => "ready",
        },
        running: status.iter().map(|model| model.running).sum(),
        queued: status.iter().map(|model| model.queued).sum(),
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
