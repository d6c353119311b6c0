//! `/{repo}/resolve/{revision}/{file}`: small files themselves, files in LFS by a redirect to the content's own address.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{OriginalUri, Path, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::find;
use crate::content;
use crate::fault::{Kind, refuse};
use crate::{State, repo::File};

pub(crate) async fn resolve(
    Extract(state): Extract<Arc<State>>,
    Path((owner, name, revision, path)): Path<(String, String, String, String)>,
    OriginalUri(uri): OriginalUri,
    Extension(fault): Extension<Option<Kind>>,
    headers: HeaderMap,
) -> Response {
    let repo = match find(&state, &owner, &name, Some(&revision), &headers) {
        Ok(repo) => repo,
        Err(refused) => return *refused,
    };
    let Some(file) = repo.files.iter().find(|file| file.name == path) else {
        return refuse(404, &[("x-error-code", "EntryNotFound".into())]);
    };
    let mut response = match &file.sha256 {
        Some(sha256) => redirect(&format!("{}/cdn/{sha256}/{path}", state.cdn), file),
        None => content::answer(&state, uri.path(), file, &headers, fault),
    };
    if let Ok(commit) = HeaderValue::from_str(&repo.commit()) {
        response.headers_mut().insert("x-repo-commit", commit);
    }
    response
}

fn redirect(location: &str, file: &File) -> Response {
    let headers = [
        ("location", location.to_owned()),
        ("x-linked-etag", format!("\"{}\"", file.etag())),
        ("x-linked-size", file.size.to_string()),
    ];
    let mut response = refuse(302, &headers);
    response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"of-the-pointer\""));
    response
}

pub(crate) async fn cdn(
    Extract(state): Extract<Arc<State>>,
    Path((sha256, path)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    Extension(fault): Extension<Option<Kind>>,
    headers: HeaderMap,
) -> Response {
    let wanted = |file: &&File| file.sha256.as_ref() == Some(&sha256) && file.name == path;
    let file = state.lock().repos.iter().flat_map(|repo| &repo.files).find(wanted).cloned();
    match file {
        Some(file) => content::answer(&state, uri.path(), &file, &headers, fault),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
