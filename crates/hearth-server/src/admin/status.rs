//! `/admin/v1/status` and `/logs`: how the server is.

use std::path::{Path, PathBuf};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

use super::{Admin, cache};
use crate::{error::ApiError, models::Card, state::AppState};

/// Lines of the log where nobody says how many.
const LINES: usize = 200;

/// How the server is.
#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    pid: u32,
    uptime_seconds: u64,
    url: String,
    models: Vec<Card>,
    memory: Memory,
    disk: Disk,
    cache: Option<cache::Shown>,
    requests: Requests,
}

/// Bytes that models take together.
#[derive(Serialize)]
struct Memory {
    /// 0: not known.
    limit: u64,
    used: u64,
}

/// The disk that downloads go to.
#[derive(Serialize)]
struct Disk {
    dir: PathBuf,
    /// Bytes that may still be written, where the system says.
    free: Option<u64>,
}

/// Requests to all models.
#[derive(Serialize)]
struct Requests {
    running: usize,
    waiting: usize,
}

/// How many lines of the log.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    lines: Option<usize>,
}

/// The last lines of the log.
#[derive(Serialize)]
pub(crate) struct Logs {
    lines: Vec<String>,
}

/// The server, its models and the load on it.
pub(crate) async fn status(State(state): State<AppState>, admin: Admin) -> Json<Status> {
    Json(Status::of(&state, &admin).await)
}

/// What the server has logged last.
pub(crate) async fn logs(admin: Admin, wanted: Result<Query<Wanted>, QueryRejection>) -> Result<Json<Logs>, ApiError> {
    let Query(wanted) = wanted?;
    let lines = wanted.lines.unwrap_or(LINES);
    Ok(Json(Logs { lines: admin.options().logs.last(lines) }))
}

impl Status {
    pub(super) async fn of(state: &AppState, admin: &Admin) -> Self {
        let (models, options) = (state.engine.status(), admin.options());
        let dir = options.library.download_dir();
        let folder = dir.clone();
        let (free, cache) = tokio::join!(admin.inner.free_seen.get(move || free(&folder)), admin.cache());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_seconds: admin.inner.started.elapsed().as_secs(),
            url: options.url.clone(),
            memory: Memory { limit: options.memory_limit, used: models.iter().map(|model| model.memory.total()).sum() },
            disk: Disk { free: free.flatten(), dir },
            cache,
            requests: Requests {
                running: models.iter().map(|model| model.running).sum(),
                waiting: models.iter().map(|model| model.queued).sum(),
            },
            models: models.into_iter().map(Card::from).collect(),
        }
    }

    /// Whether it changes by itself, as while a model loads.
    pub(super) fn is_moving(&self) -> bool {
        self.models.iter().any(Card::is_loading)
    }
}

/// Bytes that may still be written to a folder, which comes with the first download.
fn free(dir: &Path) -> Option<u64> {
    let there = dir.ancestors().find(|dir| dir.is_dir())?;
    hearth_hub::download::free(there).ok()
}
