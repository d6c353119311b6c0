//! What the library refuses, as the management API says it.

use axum::http::StatusCode;
use hearth_hub::error::HubError;

use crate::{error::ApiError, library::LibraryError};

impl From<LibraryError> for ApiError {
    fn from(error: LibraryError) -> Self {
        let (status, code) = kind(&error);
        let param = match &error {
            LibraryError::Setting { key, .. } | LibraryError::NoSetting { key, .. } => Some(key.clone()),
            LibraryError::BadName(_) => Some("name".to_owned()),
            _ => None,
        };
        Self { param, ..Self::new(status, sentence(&error.to_string())).code(code) }
    }
}

fn kind(error: &LibraryError) -> (StatusCode, &'static str) {
    use hearth_store::Error as Store;
    match error {
        LibraryError::Unknown(_) | LibraryError::Unseen { .. } => (StatusCode::NOT_FOUND, "model_not_found"),
        LibraryError::BadName(_) => (StatusCode::BAD_REQUEST, "invalid_name"),
        LibraryError::Store(Store::NameTaken { .. }) => (StatusCode::CONFLICT, "name_taken"),
        LibraryError::Store(Store::Gone(_)) => (StatusCode::NOT_FOUND, "not_found"),
        LibraryError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "database_failed"),
        LibraryError::Hub(error) => hub_kind(error),
        LibraryError::Remove(_) | LibraryError::Silent(_) => (StatusCode::CONFLICT, "not_removable"),
        LibraryError::Removing(_) => (StatusCode::CONFLICT, "removing"),
        LibraryError::Config(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unknown_configuration"),
        LibraryError::Builtin(_) => (StatusCode::CONFLICT, "builtin_model"),
        LibraryError::Downloading { .. } | LibraryError::OtherRevision { .. } => (StatusCode::CONFLICT, "downloading"),
        LibraryError::NoDownload(_) => (StatusCode::NOT_FOUND, "download_not_found"),
        LibraryError::Ended { .. } => (StatusCode::CONFLICT, "download_ended"),
        LibraryError::Setting { .. } => (StatusCode::BAD_REQUEST, "invalid_setting"),
        LibraryError::NoSetting { .. } => (StatusCode::BAD_REQUEST, "unknown_setting"),
    }
}

fn hub_kind(error: &HubError) -> (StatusCode, &'static str) {
    match error {
        HubError::RepoName(_) | HubError::RevisionName(_) => (StatusCode::BAD_REQUEST, "invalid_repo"),
        HubError::Setting(_) => (StatusCode::BAD_REQUEST, "invalid_setting"),
        HubError::NoRepo { .. } | HubError::NoRevision { .. } | HubError::NoFile { .. } => {
            (StatusCode::NOT_FOUND, "repo_not_found")
        }
        HubError::Gated { .. } | HubError::Token(_) | HubError::Forbidden { .. } => (StatusCode::FORBIDDEN, "gated"),
        HubError::Offline(_) => (StatusCode::SERVICE_UNAVAILABLE, "offline"),
        HubError::Io { .. } | HubError::NoAccess { .. } | HubError::DiskFull { .. } | HubError::NoRoom { .. } => {
            (StatusCode::INSUFFICIENT_STORAGE, "disk")
        }
        _ => (StatusCode::BAD_GATEWAY, "hub_failed"),
    }
}

/// A message of the library as this API's messages are written.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
