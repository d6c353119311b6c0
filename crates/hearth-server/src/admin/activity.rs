//! `/admin/v1/requests` and `/activity`: what clients ask of the server, and how it goes.

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    activity::{BUCKET_SECONDS, Bucket, Request},
    state::AppState,
};

/// `requests`.
#[derive(Serialize)]
pub(crate) struct Requests {
    requests: Vec<Request>,
}

/// `activity`.
#[derive(Serialize)]
pub(crate) struct Hour {
    bucket_seconds: u64,
    buckets: Vec<Bucket>,
}

/// The last requests, the newest first.
pub(crate) async fn requests(State(state): State<AppState>) -> Json<Requests> {
    Json(Requests { requests: state.activity.requests() })
}

/// The last hour, the oldest first.
pub(crate) async fn activity(State(state): State<AppState>) -> Json<Hour> {
    Json(Hour { bucket_seconds: BUCKET_SECONDS, buckets: state.activity.buckets() })
}
