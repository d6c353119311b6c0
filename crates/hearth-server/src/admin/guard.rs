//! Who may use the management API: programs on this machine that have the server's token. The API key does not open it; the
//! token opens everything else, too.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use subtle::ConstantTimeEq;

use crate::{auth::bearer, error::ApiError, guard::PeerAddr, state::AppState};

/// Middleware: lets a request pass that comes from this machine. What it is answered is one person's, and stays in no cache.
pub(crate) async fn this_machine_only(request: Request, next: Next) -> Result<Response, ApiError> {
    if !is_local(&request) {
        let message = "The management API answers programs on this machine only, at 127.0.0.1.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message).code("loopback_only"));
    }
    let mut response = next.run(request).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Middleware: lets a request pass that carries the token.
pub(crate) async fn require_token(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if is_owners(&state, &request) {
        return Ok(next.run(request).await);
    }
    let message =
        "The management API needs the token in server.json, in Hearth's data folder: \"Authorization: Bearer TOKEN\".";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_token"))
}

/// Whether a request comes from this machine and carries the token, which opens everything.
pub(crate) fn is_owners(state: &AppState, request: &Request) -> bool {
    let Some(admin) = &state.options.admin else { return false };
    // Constant time, so that a wrong token does not tell how much of it is right.
    let is_token = |given: &[u8]| bool::from(given.ct_eq(admin.options().token.as_bytes()));
    is_local(request) && bearer(request.headers()).is_some_and(is_token)
}

fn is_local(request: &Request) -> bool {
    let peer = request.extensions().get::<PeerAddr>();
    peer.is_some_and(|PeerAddr(peer)| peer.ip().to_canonical().is_loopback())
}
