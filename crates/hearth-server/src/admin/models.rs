//! `/admin/v1/models`: what is installed, and what becomes of it.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
};
use hearth_core::Error;
use hearth_engine::{Status, WorkerState};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Admin;
use crate::{
    body::WholeBody,
    error::ApiError,
    library::{Change, Model, SilentFolder},
    models::Card,
    state::AppState,
};

const CHANGES: [&str; 4] = ["name", "pinned", "settings", "aliases"];

/// A model, with what the engine says of it where it is loaded.
#[derive(Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    model: Model,
    loaded: Option<Card>,
}

/// `list`.
#[derive(Serialize)]
pub(crate) struct List {
    models: Vec<Shown>,
    silent_folders: Vec<SilentFolder>,
}

/// `remove`.
#[derive(Serialize)]
pub(crate) struct Removed {
    id: String,
    freed_bytes: u64,
}

/// How a model is to be removed.
#[derive(Deserialize)]
pub(crate) struct How {
    /// Whether answers that are under way end with an error.
    #[serde(default)]
    force: bool,
}

type Name = Result<Path<String>, PathRejection>;

/// All models, the default one first, and the folders that do not answer.
pub(crate) async fn list(State(state): State<AppState>, admin: Admin) -> Result<Json<List>, ApiError> {
    let models = admin.library().models().await?;
    let models = models.into_iter().map(|model| shown(&state, model)).collect();
    Ok(Json(List { models, silent_folders: admin.library().silent_folders().await? }))
}

/// The model that a name means; it may have slashes in it.
pub(crate) async fn retrieve(State(state): State<AppState>, admin: Admin, name: Name) -> Result<Json<Shown>, ApiError> {
    Ok(Json(shown(&state, admin.library().model(&name?.0).await?)))
}

/// Renames it, pins it, sets it up: all of that or nothing. What is not named stays.
pub(crate) async fn change(
    State(state): State<AppState>,
    admin: Admin,
    name: Name,
    body: WholeBody,
) -> Result<Json<Shown>, ApiError> {
    let changes = body.object().await?;
    check_known(&changes, &CHANGES)?;
    let change = Change {
        name: field(&changes, "name", "a string")?,
        aliases: field(&changes, "aliases", "a list of strings")?,
        pinned: field(&changes, "pinned", "true or false")?,
        settings: field(&changes, "settings", "an object")?,
    };
    let model = admin.library().change(&name?.0, &change).await?;
    admin.offer(&state.engine).await?;
    Ok(Json(shown(&state, model)))
}

/// Unloads it if it can be removed, removes its files, and says how many bytes are free for it.
pub(crate) async fn remove(
    State(state): State<AppState>,
    admin: Admin,
    name: Name,
    how: Result<Query<How>, QueryRejection>,
) -> Result<Json<Removed>, ApiError> {
    let Query(How { force }) = how?;
    let mut removal = admin.library().removal(&name?.0).await?;
    let id = removal.model().id.clone();
    // One that cannot be used is not offered.
    if state.engine.status().iter().any(|status| status.card.id == id) {
        state.engine.unload(&id, force).await?;
    }
    removal.withdraw();
    admin.offer(&state.engine).await?;
    let freed = removal.carry_out().await;
    admin.offer(&state.engine).await?;
    let freed_bytes = freed?;
    if let Err(error) = state.engine.forget_sessions(&id).await {
        tracing::warn!("the sessions with {id} are kept: {error}");
    }
    Ok(Json(Removed { id, freed_bytes }))
}

fn shown(state: &AppState, model: Model) -> Shown {
    let is_loaded = |status: &Status| status.card.id == model.id && status.worker != WorkerState::Stopped;
    let loaded = state.engine.status().into_iter().find(is_loaded).map(Card::from);
    Shown { model, loaded }
}

/// That a body names no field but these.
pub(super) fn check_known(fields: &Map<String, Value>, known: &[&str]) -> Result<(), ApiError> {
    let unknown = |key: &String| {
        Error::invalid(key, format!("There is no field {key:?}; there are {}.", known.join(", "))).into()
    };
    fields.keys().find(|key| !known.contains(&key.as_str())).map_or(Ok(()), |key| Err(unknown(key)))
}

/// A field of a body; `None` where it is missing or null.
pub(super) fn field<T: serde::de::DeserializeOwned>(
    fields: &Map<String, Value>,
    name: &str,
    expected: &str,
) -> Result<Option<T>, ApiError> {
    let read = |value: &Value| {
        serde_json::from_value(value.clone()).map_err(|_| Error::invalid(name, format!("{name} must be {expected}.")))
    };
    Ok(fields.get(name).filter(|value| !value.is_null()).map(read).transpose()?)
}
