//! `/admin/v1/settings`: what a person changes while Hearth runs.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Admin, running};
use crate::{
    body::WholeBody,
    error::ApiError,
    library::{LibraryError, Settings},
    state::AppState,
};

/// Hearth's settings and those of the server.
#[derive(Serialize)]
pub(crate) struct All {
    #[serde(flatten)]
    settings: Settings,
    #[serde(flatten)]
    server: running::Shown,
}

/// All settings.
pub(crate) async fn retrieve(admin: Admin) -> Result<Json<All>, ApiError> {
    Ok(Json(all(&admin).await?))
}

/// Changes those that the body names; `null` takes one back to its default.
pub(crate) async fn change(
    State(state): State<AppState>,
    admin: Admin,
    body: WholeBody,
) -> Result<Json<All>, ApiError> {
    let mut changes = body.object().await?;
    let server = running::take(&mut changes)?;
    let _alone = admin.inner.opening.lock().await;
    check_network(&admin, &server)?;
    admin.library().change_settings(&changes).await.map_err(with_all_names)?;
    admin.store_server_settings(&server).await?;
    admin.offer(&state.engine).await?;
    Ok(Json(all(&admin).await?))
}

async fn all(admin: &Admin) -> Result<All, LibraryError> {
    Ok(All { settings: admin.library().settings().await?, server: admin.server_settings().await? })
}

fn check_network(admin: &Admin, changes: &Map<String, Value>) -> Result<(), ApiError> {
    let opens = changes.get(running::NETWORK) == Some(&true.into());
    if !opens || admin.running().has_any_key() {
        return Ok(());
    }
    let message = "Other machines may use this server only with an API key: make one first.";
    Err(ApiError::new(StatusCode::CONFLICT, message).code("key_needed"))
}

fn with_all_names(error: LibraryError) -> LibraryError {
    match error {
        LibraryError::NoSetting { key, known } => {
            LibraryError::NoSetting { key, known: format!("{known}, {}", running::names()) }
        }
        error => error,
    }
}
