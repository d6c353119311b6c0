//! Errors on their way to a client: a status, a sentence, and the shape of the protocol whose path was asked.
//!
//! Handlers and guards return an [`ApiError`] and know no shape; [`shape`], the outermost layer, writes the body.

use std::panic::AssertUnwindSafe;

use axum::{
    extract::{
        Request,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use hearth_core::{Error, ErrorKind};
use serde_json::{Value, json};

/// Seconds after which a refused request may be tried again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What a client is told when its request fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, code: None, message: message.into(), param: None }
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The class of the error in OpenAI's words.
    fn openai_type(&self) -> &'static str {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// `{"error": {…}}`, as OpenAI's clients read it, in a body or in the middle of a stream.
    pub(crate) fn openai_body(&self) -> Value {
        let Self { message, param, code, .. } = self;
        json!({ "error": { "message": message, "type": self.openai_type(), "param": param, "code": code } })
    }

    /// The class of the error in Anthropic's words.
    fn anthropic_type(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }

    fn body_for(&self, path: &str) -> Value {
        let under =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if under("/api") {
            json!({ "error": self.message })
        } else if under("/v1/messages") {
            json!({ "type": "error", "error": { "type": self.anthropic_type(), "message": self.message } })
        } else {
            self.openai_body()
        }
    }
}

impl From<Error> for ApiError {
    fn from(Error { kind, message, param }: Error) -> Self {
        let (status, code) = match kind {
            ErrorKind::InvalidRequest => (StatusCode::BAD_REQUEST, None),
            ErrorKind::ContextLengthExceeded => (StatusCode::BAD_REQUEST, Some("context_length_exceeded")),
            ErrorKind::ModelNotFound => (StatusCode::NOT_FOUND, Some("model_not_found")),
            ErrorKind::ModelLoad => (StatusCode::INTERNAL_SERVER_ERROR, Some("model_load_failed")),
            ErrorKind::Overloaded => (StatusCode::TOO_MANY_REQUESTS, Some("rate_limit_exceeded")),
            ErrorKind::OutOfMemory => (StatusCode::SERVICE_UNAVAILABLE, Some("out_of_memory")),
            ErrorKind::ModelBusy => (StatusCode::CONFLICT, Some("model_busy")),
            ErrorKind::ModelUnloaded => (StatusCode::SERVICE_UNAVAILABLE, Some("model_unloaded")),
            ErrorKind::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, Some("shutting_down")),
            ErrorKind::WorkerDied => (StatusCode::INTERNAL_SERVER_ERROR, Some("worker_died")),
            ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        Self { status, code, message, param }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Middleware: writes errors in the shape of the path's protocol, and makes one of a handler's panic.
pub(crate) async fn shape(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "The request met a fault of Hearth's own; the log says more.")
            .into_response()
    });
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    write(response, &error, &path)
}

fn write(mut response: Response, error: &ApiError, path: &str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.remove(header::CONTENT_LENGTH);
    if matches!(error.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if error.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    *response.body_mut() = error.body_for(path).to_string().into();
    response
}

/// The answer to a path that nobody serves.
pub(crate) async fn unknown_path(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::new(StatusCode::NOT_FOUND, format!("Unknown path: {method} {path}.")).code("unknown_path")
}

/// The answer to a path that is served, but not in this way.
pub(crate) async fn unknown_method(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}.")).code("method_not_allowed")
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt;

    use super::*;

    async fn answer(router: Router, path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        let response = router.layer(from_fn(shape)).oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn a_panic_is_a_500_of_that_request() {
        let panics = || async {
            if true {
                panic!("the test's panic")
            }
        };
        let (status, body) = answer(Router::new().route("/v1/models", get(panics)), "/v1/models").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains(r#""type":"server_error""#), "{body}");
    }

    #[tokio::test]
    async fn an_error_takes_the_shape_of_its_path() {
        for (kind, status, openai, anthropic) in [
            (ErrorKind::InvalidRequest, 400, "invalid_request_error", "invalid_request_error"),
            (ErrorKind::ContextLengthExceeded, 400, "invalid_request_error", "invalid_request_error"),
            (ErrorKind::ModelNotFound, 404, "invalid_request_error", "not_found_error"),
            (ErrorKind::ModelLoad, 500, "server_error", "api_error"),
            (ErrorKind::Overloaded, 429, "rate_limit_error", "rate_limit_error"),
            (ErrorKind::OutOfMemory, 503, "server_error", "overloaded_error"),
            (ErrorKind::ModelBusy, 409, "invalid_request_error", "invalid_request_error"),
            (ErrorKind::ModelUnloaded, 503, "server_error", "overloaded_error"),
            (ErrorKind::ShuttingDown, 503, "server_error", "overloaded_error"),
            (ErrorKind::WorkerDied, 500, "server_error", "api_error"),
            (ErrorKind::Internal, 500, "server_error", "api_error"),
        ] {
            let fails = move || async move { ApiError::from(Error::new(kind, "No.")) };
            for (path, part) in [
                (
                    "/v1/chat/completions",
                    format!(r#"{{"error":{{"message":"No.","type":"{openai}","param":null,"code":"#),
                ),
                ("/v1/messages", format!(r#"{{"type":"error","error":{{"type":"{anthropic}","message":"No."}}}}"#)),
                ("/api/chat", r#"{"error":"No."}"#.to_owned()),
            ] {
                let (answered, body) = answer(Router::new().route(path, get(fails)), path).await;
                assert_eq!(answered.as_u16(), status, "{kind:?} {path}");
                assert!(body.starts_with(&part), "{kind:?} {path}: {body}");
            }
        }
    }
}
