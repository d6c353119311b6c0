//! A request's body, whole: bounded in bytes, and in the time that it may pause.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{StatusCode, header},
};
use bytes::BytesMut;
use futures_util::StreamExt;
use hearth_core::{Error, ErrorKind};
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;

use crate::{
    error::ApiError,
    state::{AppState, ServerOptions},
};

/// Bytes that are set aside on a client's mere word.
const MOST_AT_ONCE: usize = 1 << 20;

/// Bodies from this size are read beside the threads that serve streams.
const LARGE: usize = 256 << 10;

/// The extractor: the bytes of a body that is within the limits.
pub(crate) struct WholeBody(pub(crate) Bytes);

impl WholeBody {
    /// What `read` makes of it.
    pub(crate) async fn read<T: Send + 'static>(
        self,
        read: impl FnOnce(&[u8]) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Self(body) = self;
        if body.len() < LARGE {
            return read(&body);
        }
        let fault = || Error::internal("Reading the request met a fault of Hearth's own; the log says more.");
        spawn_blocking(move || read(&body)).await.unwrap_or_else(|_| Err(fault()))
    }

    /// Its fields: it has to be a JSON object.
    pub(crate) async fn object(self) -> Result<Map<String, Value>, Error> {
        let invalid =
            |error| Error::new(ErrorKind::InvalidRequest, format!("The body must be a JSON object: {error}."));
        self.read(move |body| serde_json::from_slice(body).map_err(invalid)).await
    }
}

impl FromRequest<AppState> for WholeBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let options = Arc::clone(&state.options);
        let announced =
            request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        read(request.into_body(), announced.unwrap_or(0), &options).await.map(Self)
    }
}

async fn read(body: Body, announced: usize, options: &ServerOptions) -> Result<Bytes, ApiError> {
    // A client that has not sent its whole request does not read the answer, and would only see the connection break:
    // somewhat more than the limit is read, and dropped.
    let bearable = options.max_body.saturating_mul(2);
    let mut whole = BytesMut::with_capacity(announced.min(MOST_AT_ONCE));
    let mut length = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = next(&mut chunks, options).await? {
        length += chunk.len();
        if length > bearable {
            break;
        }
        if length <= options.max_body {
            whole.extend_from_slice(&chunk);
        }
    }
    if length > options.max_body { Err(too_large(options.max_body)) } else { Ok(whole.freeze()) }
}

async fn next(chunks: &mut axum::body::BodyDataStream, options: &ServerOptions) -> Result<Option<Bytes>, ApiError> {
    let seconds = options.body_timeout.as_secs_f32();
    let slow =
        || ApiError::new(StatusCode::REQUEST_TIMEOUT, format!("The request's body paused for {seconds} seconds."));
    let chunk = tokio::time::timeout(options.body_timeout, chunks.next()).await.map_err(|_| slow())?;
    chunk.transpose().map_err(|e| ApiError::new(StatusCode::BAD_REQUEST, format!("The body ended early: {e}.")))
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("The request's body is larger than the limit of {limit} bytes.");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("request_too_large")
}
