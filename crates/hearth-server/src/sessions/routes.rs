//! `GET /v1/sessions`, `GET`, `PATCH` and `DELETE /v1/sessions/{id}`, `POST /v1/sessions/{id}/fork`.
//!
//! Ids are shown as clients gave them; in a path they are percent-encoded, so that each is one segment.

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use hearth_core::{Error, Result};
use hearth_engine::ForkError;
use serde::Deserialize;

use super::{
    named::id_of,
    types::{Card, Conversation, Deleted, List},
};
use crate::{body::WholeBody, error::ApiError, fields::Fields, state::AppState};

/// Characters of a title.
const LONGEST_TITLE: usize = 200;

/// What a path names, or why it does not.
type Id = Result<Path<String>, PathRejection>;

/// With which model, where that is said.
type Model = Result<Query<Chosen>, QueryRejection>;

/// What stands behind the path.
#[derive(Deserialize)]
pub(crate) struct Chosen {
    model: Option<String>,
}

/// All sessions, the most recently used first.
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<List>, ApiError> {
    let data = state.engine.sessions().await?.into_iter().map(Card::from).collect();
    Ok(Json(List { object: "list", data }))
}

/// One session with its conversation: of several with this id the one last used, where no model is chosen.
pub(crate) async fn retrieve(
    State(state): State<AppState>,
    id: Id,
    model: Model,
) -> Result<Json<Conversation>, ApiError> {
    let (id, model) = (id?.0, model?.0.model);
    let (info, messages) = state.engine.session(&id, model.as_deref()).await?.ok_or_else(|| unknown(&id))?;
    Ok(Json(Conversation { card: info.into(), messages: messages.into_iter().map(Into::into).collect() }))
}

/// Gives a session another title, or none.
pub(crate) async fn rename(
    State(state): State<AppState>,
    id: Id,
    model: Model,
    WholeBody(body): WholeBody,
) -> Result<Json<Card>, ApiError> {
    let (id, model, title) = (id?.0, model?.0.model, title(&body)?);
    let renamed = state.engine.rename_session(&id, model.as_deref(), title).await?.ok_or_else(|| unknown(&id))?;
    Ok(Json(renamed.into()))
}

/// Forgets a session, and what the caches keep of it: with all models, where none is chosen.
pub(crate) async fn delete(State(state): State<AppState>, id: Id, model: Model) -> Result<Json<Deleted>, ApiError> {
    let (id, model) = (id?.0, model?.0.model);
    if !state.engine.delete_session(&id, model.as_deref()).await? {
        return Err(unknown(&id));
    }
    Ok(Json(Deleted { id, object: "session.deleted", deleted: true }))
}

/// Copies a session, so that a conversation can go on in two ways. The body may name the copy.
pub(crate) async fn fork(
    State(state): State<AppState>,
    id: Id,
    model: Model,
    WholeBody(body): WholeBody,
) -> Result<Json<Card>, ApiError> {
    let (id, model, to) = (id?.0, model?.0.model, new_id(&body)?);
    let forked = state.engine.fork_session(&id, model.as_deref(), to.clone()).await.map_err(|error| match error {
        ForkError::Unknown => unknown(&id),
        ForkError::Taken => taken(&to.unwrap_or_default()),
        ForkError::Refused(error) => error.into(),
    })?;
    Ok(Json(forked.into()))
}

fn new_id(body: &[u8]) -> Result<Option<String>> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    Fields::of_body(body)?.string("id")?.map(|id| id_of(id, "id")).transpose()
}

/// The only field that can be changed; a blank title is none.
fn title(body: &[u8]) -> Result<Option<String>> {
    let fields = Fields::of_body(body)?;
    if let Some((other, _)) = fields.iter().find(|(name, _)| *name != "title") {
        return Err(Error::invalid(other, format!("{other} of a session cannot be changed; title can.")));
    }
    let missing = || Error::invalid("title", "title is missing: say what to call the session.");
    let title = fields.string("title")?.ok_or_else(missing)?.trim().to_owned();
    match title.chars().count() {
        0 => Ok(None),
        1..=LONGEST_TITLE => Ok(Some(title)),
        length => {
            Err(Error::invalid("title", format!("title must have at most {LONGEST_TITLE} characters, not {length}.")))
        }
    }
}

fn unknown(id: &str) -> ApiError {
    let message = format!("There is no session {id:?}: it was never begun, or it has been given up.");
    ApiError::new(StatusCode::NOT_FOUND, message).code("session_not_found")
}

fn taken(id: &str) -> ApiError {
    let message = format!("There is a session {id:?} already: give the copy another id, or delete that one first.");
    ApiError { param: Some("id".to_owned()), ..ApiError::new(StatusCode::CONFLICT, message).code("session_exists") }
}
