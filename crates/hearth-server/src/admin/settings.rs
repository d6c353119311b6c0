//! `/admin/v1/settings`: what a person changes while Hearth runs.

use axum::{Json, extract::State};

use super::{Admin, models::object};
use crate::{body::WholeBody, error::ApiError, library::Settings, state::AppState};

/// All settings.
pub(crate) async fn retrieve(admin: Admin) -> Result<Json<Settings>, ApiError> {
    Ok(Json(admin.library().settings().await?))
}

/// Changes those that the body names; `null` takes one back to its default.
pub(crate) async fn change(
    State(state): State<AppState>,
    admin: Admin,
    WholeBody(body): WholeBody,
) -> Result<Json<Settings>, ApiError> {
    let settings = admin.library().change_settings(&object(&body)?).await?;
    admin.offer(&state.engine).await?;
    Ok(Json(settings))
}
