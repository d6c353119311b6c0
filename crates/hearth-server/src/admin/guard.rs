//! Who may use the management API: programs on this machine that can read the server's token. The API key does not open it.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use subtle::ConstantTimeEq;

use super::Admin;
use crate::{auth::bearer, error::ApiError, guard::PeerAddr, state::AppState};

/// Middleware: lets a request pass that comes from this machine and carries the token.
pub(crate) async fn require_token(
    State(_): State<AppState>,
    admin: Admin,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let peer = request.extensions().get::<PeerAddr>();
    if !peer.is_some_and(|PeerAddr(peer)| peer.ip().to_canonical().is_loopback()) {
        let message = "The management API answers programs on this machine only, at 127.0.0.1.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message).code("loopback_only"));
    }
    // Constant time, so that a wrong token does not tell how much of it is right.
    let token = admin.options().token.as_bytes();
    if bearer(request.headers()).is_some_and(|given| bool::from(given.ct_eq(token))) {
        return Ok(next.run(request).await);
    }
    let message =
        "The management API needs the token in server.json, in Hearth's data folder: \"Authorization: Bearer TOKEN\".";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_token"))
}
