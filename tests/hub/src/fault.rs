//! Faults that a test switches on: each names the requests that it is for, what happens to them, and how often.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::{Seen, State};

/// A fault for the next `times` requests whose method and path contain `on` (`"GET /cdn/"`, `".safetensors"`).
#[derive(Clone, Debug)]
pub struct Fault {
    /// Part of `METHOD PATH` of the requests that it is for.
    pub on: String,
    /// What happens to them.
    pub kind: Kind,
    /// How many of them.
    pub times: usize,
}

impl Fault {
    /// A fault for the next request that matches.
    #[must_use]
    pub fn once(on: &str, kind: Kind) -> Self {
        Self { on: on.into(), kind, times: 1 }
    }

    /// A fault for every request that matches.
    #[must_use]
    pub fn always(on: &str, kind: Kind) -> Self {
        Self { on: on.into(), kind, times: usize::MAX }
    }
}

/// What may go wrong.
#[derive(Clone, Debug)]
pub enum Kind {
    /// An answer with this status and these headers instead of the right one.
    Status(u16, Vec<(&'static str, String)>),
    /// A redirect to the same address, for ever.
    RedirectLoop,
    /// The content comes at so many bytes per second.
    Slow(u64),
    /// The content stops after so many bytes, and the connection stays open.
    StallAfter(u64),
    /// The connection is cut after so many bytes.
    CutAfter(u64),
    /// The byte at this place of the file is another.
    WrongByte(u64),
    /// A range is answered with 200 and the whole file.
    IgnoreRange,
    /// The answer to a range tells another one.
    WrongContentRange,
    /// The answer is whole, and so many bytes too short.
    Short(u64),
    /// The answer is whole, and so many bytes too long.
    Long(u64),
    /// The content's `ETag` is this one.
    Etag(String),
}

/// Writes each request down, and answers it by its fault where that needs no content.
pub(crate) async fn watch(Extract(state): Extract<Arc<State>>, mut request: Request, next: Next) -> Response {
    let seen = seen(&request);
    let line = format!("{} {}", seen.method, seen.path);
    let fault = {
        let mut inner = state.lock();
        inner.seen.push(seen);
        take(&mut inner.faults, &line)
    };
    match fault {
        Some(Kind::Status(status, headers)) => refuse(status, &headers),
        Some(Kind::RedirectLoop) => {
            let location = format!("{}{}", state.url, request.uri());
            (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
        }
        other => {
            request.extensions_mut().insert(other);
            next.run(request).await
        }
    }
}

fn seen(request: &Request) -> Seen {
    let header = |name| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
    Seen {
        method: request.method().to_string(),
        path: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
        range: header(header::RANGE),
        authorization: header(header::AUTHORIZATION),
    }
}

fn take(faults: &mut Vec<Fault>, line: &str) -> Option<Kind> {
    let at = faults.iter().position(|fault| line.contains(&fault.on))?;
    faults[at].times -= 1;
    let kind = faults[at].kind.clone();
    if faults[at].times == 0 {
        faults.remove(at);
    }
    Some(kind)
}

/// An answer without content, as the Hub gives it: `X-Error-Code` tells programs more than the status does.
pub(crate) fn refuse(status: u16, headers: &[(&'static str, String)]) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Body::from("{\"error\":\"refused\"}")).unwrap_or_else(|_| StatusCode::BAD_REQUEST.into_response())
}
