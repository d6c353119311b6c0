//! `/admin/v1/downloads`: what comes from the Hub.

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
    http::StatusCode,
};
use hearth_core::Error;
use serde::Serialize;

use super::{Admin, models::field};
use crate::{body::WholeBody, error::ApiError, library::Download};

/// `list`.
#[derive(Serialize)]
pub(crate) struct List {
    downloads: Vec<Download>,
}

type Id = Result<Path<String>, PathRejection>;

/// All that are remembered, in the order in which they were asked for.
pub(crate) async fn list(admin: Admin) -> Json<List> {
    Json(List { downloads: admin.library().downloads() })
}

/// One of them.
pub(crate) async fn retrieve(admin: Admin, id: Id) -> Result<Json<Download>, ApiError> {
    Ok(Json(admin.library().find_download(read(id)?)?))
}

/// Begins one, or joins the one that is under way.
pub(crate) async fn create(admin: Admin, body: WholeBody) -> Result<(StatusCode, Json<Download>), ApiError> {
    let fields = body.object().await?;
    let repo: Option<String> = field(&fields, "repo", "a repository's id, owner/name")?;
    let repo = repo.ok_or_else(|| Error::invalid("repo", "repo is missing: say which repository, owner/name."))?;
    let revision: Option<String> = field(&fields, "revision", "a branch, a tag or a commit")?;
    Ok((StatusCode::ACCEPTED, Json(admin.library().download(&repo, revision.as_deref()).await?)))
}

/// Stops it and keeps what has come.
pub(crate) async fn pause(admin: Admin, id: Id) -> Result<Json<Download>, ApiError> {
    Ok(Json(admin.library().pause(read(id)?)?))
}

/// Goes on with it.
pub(crate) async fn resume(admin: Admin, id: Id) -> Result<Json<Download>, ApiError> {
    Ok(Json(admin.library().resume(read(id)?)?))
}

/// Gives it up, or forgets one that has ended.
pub(crate) async fn cancel(admin: Admin, id: Id) -> Result<Json<Download>, ApiError> {
    Ok(Json(admin.library().cancel(read(id)?).await?))
}

fn read(id: Id) -> Result<i64, ApiError> {
    let Path(id) = id?;
    let unknown = |_| {
        let message = format!("There is no download {id:?}: an id is a number. List them again.");
        ApiError::new(StatusCode::NOT_FOUND, message).code("download_not_found")
    };
    id.parse().map_err(unknown)
}
