//! One line per request in the log: what was asked and how it went, never what was said.

use std::time::Instant;

use axum::{extract::Request, http::Method, middleware::Next, response::Response};

use crate::admin;

/// Middleware: logs a request once its answer begins; what is asked again and again only for those who look closer.
pub(crate) async fn requests(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let (status, ms) = (response.status().as_u16(), start.elapsed().as_millis());
    if is_routine(&method, &path) && response.status().is_success() {
        tracing::debug!("{method} {path} {status} {ms} ms");
    } else {
        tracing::info!("{method} {path} {status} {ms} ms");
    }
    response
}

/// Whether monitors or the page ask for it all the time: also the page keeps an answer every few seconds while it comes.
fn is_routine(method: &Method, path: &str) -> bool {
    let is_look = path.starts_with("/health") || path.starts_with("/ui/") || admin::is_below(path);
    let is_kept = admin::is_below(path) && path.contains("/messages/");
    (*method == Method::GET && is_look) || (*method == Method::PATCH && is_kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_did_is_told_apart_from_what_goes_on_by_itself() {
        for (method, path, routine) in [
            (Method::GET, "/health", true),
            (Method::GET, "/admin/v1/status", true),
            (Method::GET, "/v1/models", false),
            (Method::PATCH, "/admin/v1/conversations/1/messages/2", true),
            (Method::PATCH, "/admin/v1/conversations/1", false),
            (Method::POST, "/admin/v1/conversations/1/messages", false),
            (Method::PATCH, "/v1/messages/1", false),
        ] {
            assert_eq!(is_routine(&method, path), routine, "{method} {path}");
        }
    }
}
