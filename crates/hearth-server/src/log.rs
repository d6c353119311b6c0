//! One line per request in the log: what was asked and how it went, never what was said.

use std::time::Instant;

use axum::{extract::Request, middleware::Next, response::Response};

/// Middleware: logs a request once its answer begins; a monitor's only for those who look closer.
pub(crate) async fn requests(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let (status, ms) = (response.status().as_u16(), start.elapsed().as_millis());
    match path.as_str() {
        "/health" | "/healthz" => tracing::debug!("{method} {path} {status} {ms} ms"),
        _ => tracing::info!("{method} {path} {status} {ms} ms"),
    }
    response
}
