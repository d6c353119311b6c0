//! One line per request in the log: what was asked and how it went, never what was said.

use std::time::Instant;

use axum::{extract::Request, http::Method, middleware::Next, response::Response};

use crate::admin;

/// Middleware: logs a request once its answer begins; what monitors and the page look at only for those who look closer.
pub(crate) async fn requests(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let (status, ms) = (response.status().as_u16(), start.elapsed().as_millis());
    let is_look =
        method == Method::GET && (path.starts_with("/health") || admin::is_below(&path) || path.starts_with("/ui/"));
    if is_look && response.status().is_success() {
        tracing::debug!("{method} {path} {status} {ms} ms");
    } else {
        tracing::info!("{method} {path} {status} {ms} ms");
    }
    response
}
