//! `/api/models`: what a repository is, its files, and search; long lists come in pages, linked as the Hub links them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State as Extract};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::State;
use crate::fault::refuse;
use crate::repo::{File, Repo};

/// Entries in one page of a file list, and of a search that asks for no other number.
const PAGE: usize = 50;

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    search: Option<String>,
    author: Option<String>,
    filter: Option<String>,
    sort: Option<String>,
    limit: Option<usize>,
    cursor: Option<usize>,
}

#[derive(Deserialize)]
pub(crate) struct PageQuery {
    cursor: Option<usize>,
}

pub(crate) async fn list(Extract(state): Extract<Arc<State>>, uri: OriginalUri, query: Query<ListQuery>) -> Response {
    let mut repos = state.lock().repos.clone();
    let contains = |text: &str, part: &Option<String>| {
        part.as_ref().is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()))
    };
    repos.retain(|repo| {
        contains(&repo.id, &query.search)
            && query.author.as_ref().is_none_or(|author| repo.id.starts_with(&format!("{author}/")))
            && query.filter.as_ref().is_none_or(|tag| repo.tags.contains(tag))
    });
    if query.sort.as_deref() == Some("downloads") {
        repos.sort_by_key(|repo| std::cmp::Reverse(repo.downloads));
    }
    let found = repos.iter().map(described).collect();
    paged(&state, &uri, found, query.cursor, query.limit.unwrap_or(PAGE))
}

pub(crate) async fn info(
    Extract(state): Extract<Arc<State>>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer_info(&state, &owner, &name, None, &headers)
}

pub(crate) async fn info_at(
    Extract(state): Extract<Arc<State>>,
    Path((owner, name, revision)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer_info(&state, &owner, &name, Some(&revision), &headers)
}

fn answer_info(state: &State, owner: &str, name: &str, revision: Option<&str>, headers: &HeaderMap) -> Response {
    match find(state, owner, name, revision, headers) {
        Ok(repo) => Json(described(&repo)).into_response(),
        Err(refused) => *refused,
    }
}

pub(crate) async fn tree(
    Extract(state): Extract<Arc<State>>,
    Path((owner, name, revision)): Path<(String, String, String)>,
    uri: OriginalUri,
    query: Query<PageQuery>,
    headers: HeaderMap,
) -> Response {
    match find(&state, &owner, &name, Some(&revision), &headers) {
        Ok(repo) => paged(&state, &uri, repo.files.iter().map(entry).collect(), query.cursor, PAGE),
        Err(refused) => *refused,
    }
}

/// The repository, or the Hub's refusal: 401 for what is not there, since it may be private; 403 where terms wait.
pub(crate) fn find(
    state: &State,
    owner: &str,
    name: &str,
    revision: Option<&str>,
    headers: &HeaderMap,
) -> Result<Repo, Box<Response>> {
    let id = format!("{owner}/{name}");
    let repo = state.lock().repos.iter().find(|repo| repo.id == id).cloned();
    let Some(repo) = repo else {
        let status = if headers.contains_key(header::AUTHORIZATION) { 404 } else { 401 };
        return Err(Box::new(refuse(status, &[("x-error-code", "RepoNotFound".into())])));
    };
    if repo.gated && !headers.contains_key(header::AUTHORIZATION) {
        return Err(Box::new(refuse(401, &[("x-error-code", "GatedRepo".into())])));
    }
    match revision {
        Some(revision) if revision != "main" && revision != repo.commit() => {
            Err(Box::new(refuse(404, &[("x-error-code", "RevisionNotFound".into())])))
        }
        _ => Ok(repo),
    }
}

fn described(repo: &Repo) -> Value {
    let siblings: Vec<Value> = repo.files.iter().map(|file| json!({"rfilename": file.name})).collect();
    json!({
        "_id": "0", "id": repo.id, "modelId": repo.id, "author": repo.id.split('/').next(), "sha": repo.commit(),
        "private": false, "disabled": false, "gated": if repo.gated { json!("auto") } else { json!(false) },
        "downloads": repo.downloads, "likes": 3, "tags": repo.tags, "pipeline_tag": "text-generation",
        "library_name": "mlx", "createdAt": "2025-01-02T03:04:05.000Z", "lastModified": "2025-06-07T08:09:10.000Z",
        "siblings": siblings,
    })
}

fn entry(file: &File) -> Value {
    let mut entry = json!({"type": "file", "oid": file.oid, "size": file.size, "path": file.name});
    if let Some(sha256) = &file.sha256 {
        entry["lfs"] = json!({"oid": sha256, "size": file.size, "pointerSize": 134});
    }
    entry
}

/// One page, and where the next one is.
fn paged(state: &State, uri: &OriginalUri, items: Vec<Value>, cursor: Option<usize>, page: usize) -> Response {
    let start = cursor.unwrap_or(0).min(items.len());
    let end = start.saturating_add(page).min(items.len());
    let mut response = Json(&items[start..end]).into_response();
    if end < items.len() {
        let query = uri.query().unwrap_or_default().split('&').filter(|part| !part.starts_with("cursor="));
        let query: Vec<&str> = query.collect();
        let link = format!("<{}{}?{}&cursor={end}>; rel=\"next\"", state.url, uri.path(), query.join("&"));
        if let Ok(link) = link.parse() {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    response
}
