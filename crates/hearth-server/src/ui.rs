//! `/ui/`: Hearth's own page, as it was built. Which files there are is the program's matter; this gives them to browsers,
//! with headers that let the page load, send and be framed by nothing but this server.

use std::{borrow::Cow, path::Component};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

use crate::{
    error::{self, ApiError},
    state::AppState,
};

/// The page's files by their paths, such as `index.html` and `assets/index-1a2b.js`; it is asked for none outside its folder.
pub type Files = fn(&str) -> Option<Cow<'static, [u8]>>;

const PATH: &str = "/ui/";

const INDEX: &str = "index.html";

/// Where files lie whose names change with their contents.
const HASHED: &str = "assets/";

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        // `ipc:` is how the page speaks to the app's window that it may be in.
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
             connect-src 'self' ipc: http://ipc.localhost; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The types of the files that a build leaves; what is not known is not shown.
const TYPES: [(&str, &str); 9] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("json", "application/json"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("txt", "text/plain; charset=utf-8"),
];

/// The page, and the ways to it.
pub(crate) fn routes(files: Files) -> Router<AppState> {
    Router::new()
        .route(PATH, get(move || async move { index(files) }))
        .route("/ui/{*path}", get(move |path| file(files, path)))
        .route("/ui", get(to_page))
        .layer(middleware::map_response(with_headers))
        .route("/", get(root))
}

/// Whether a request is for the page, which anybody may load: it holds nothing, and is of no use without a key.
pub(crate) fn is_for_page(state: &AppState, request: &Request) -> bool {
    let path = request.uri().path();
    let asked = path == "/ui" || path.starts_with(PATH) || (path == "/" && wants_page(request.headers()));
    state.options.ui.is_some() && asked && [Method::GET, Method::HEAD].contains(request.method())
}

fn index(files: Files) -> Response {
    match files(INDEX) {
        Some(bytes) => answer(INDEX, bytes),
        None => (StatusCode::NOT_FOUND, "This build of Hearth is without its page: `npm start` builds it.\n")
            .into_response(),
    }
}

async fn file(files: Files, Path(path): Path<String>) -> Result<Response, ApiError> {
    let unknown =
        || ApiError::new(StatusCode::NOT_FOUND, format!("The page has no file {path:?}.")).code("unknown_path");
    let is_inside = std::path::Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
    let bytes = is_inside.then(|| files(&path)).flatten();
    bytes.map(|bytes| answer(&path, bytes)).ok_or_else(unknown)
}

async fn to_page() -> Redirect {
    Redirect::temporary(PATH)
}

/// Browsers go to the page; for programs there is nothing here.
async fn root(State(_): State<AppState>, request: Request) -> Response {
    if wants_page(request.headers()) {
        to_page().await.into_response()
    } else {
        error::unknown_path(request).await.into_response()
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

fn answer(path: &str, bytes: Cow<'static, [u8]>) -> Response {
    let end = path.rsplit_once('.').map_or("", |(_, end)| end);
    let kind = TYPES.iter().find(|(known, _)| *known == end).map_or("application/octet-stream", |(_, kind)| kind);
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], bytes).into_response()
}

async fn with_headers(mut response: Response) -> Response {
    response.headers_mut().extend(HEADERS);
    response
}
