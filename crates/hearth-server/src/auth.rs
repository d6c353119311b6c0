//! API keys: a request that needs one and does not carry it stops here.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::Response,
};
use subtle::ConstantTimeEq;

use crate::{
    admin::{self, Admin},
    error::ApiError,
    state::AppState,
    ui,
};

/// Paths that answer to anybody, so that a monitor needs no key.
const EXEMPT: [&str; 2] = ["/health", "/healthz"];

/// Middleware: lets a request pass that carries a key, where one is needed.
pub(crate) async fn require_key(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let needed = state.options.api_key.is_some() || state.options.admin.as_ref().is_some_and(Admin::needs_key);
    if needed
        && !EXEMPT.contains(&request.uri().path())
        // It has a key of its own, which these are not.
        && !admin::is_below(request.uri().path())
        && !ui::is_for_page(&state, &request)
        && !admin::guard::is_owners(&state, &request)
    {
        check(request.headers(), &state)?;
    }
    Ok(next.run(request).await)
}

fn check(headers: &HeaderMap, state: &AppState) -> Result<(), ApiError> {
    let given = [bearer(headers), headers.get("x-api-key").map(|value| value.as_bytes())];
    if given == [None, None] {
        let ask = "This server needs an API key: send it as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\".";
        return Err(refused(ask));
    }
    let right = given.into_iter().flatten().any(|given| is_key(given, state));
    if right { Ok(()) } else { Err(refused("The API key is not valid.")) }
}

/// Whether it is the key that was given at the start, or the one that was made since.
fn is_key(given: &[u8], state: &AppState) -> bool {
    // Constant time, so that a wrong key does not tell how much of it is right.
    let is_given = state.options.api_key.as_ref().is_some_and(|key| bool::from(given.ct_eq(key.as_bytes())));
    is_given || state.options.admin.as_ref().is_some_and(|admin| admin.is_key(given))
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

fn refused(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key")
}
