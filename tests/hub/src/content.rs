//! A file's bytes as a body: whole or a range, piece by piece, counted, and with a fault where one is switched on.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;

use crate::State;
use crate::fault::Kind;
use crate::repo::File;

const PIECE: usize = 64 << 10;

/// Answers a request for a file's content; `path` is what its bytes are counted under.
pub(crate) fn answer(
    state: &Arc<State>,
    path: &str,
    file: &File,
    request: &HeaderMap,
    fault: Option<Kind>,
) -> Response {
    let total = file.content.len() as u64;
    let from = range_start(request).filter(|_| !matches!(fault, Some(Kind::IgnoreRange)));
    if from.is_some_and(|from| from >= total) {
        return (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, format!("bytes */{total}"))])
            .into_response();
    }
    let content = changed(&file.content, from.unwrap_or(0), fault.as_ref());
    let mut response = Response::builder()
        .status(if from.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK })
        .header(header::CONTENT_LENGTH, content.len())
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, etag(file, fault.as_ref()));
    if let Some(from) = from {
        let told = if matches!(fault, Some(Kind::WrongContentRange)) { from + 1 } else { from };
        response = response.header(header::CONTENT_RANGE, format!("bytes {told}-{}/{total}", total - 1));
    }
    let body = body(state.clone(), path.to_owned(), content, fault);
    response.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn etag(file: &File, fault: Option<&Kind>) -> String {
    match fault {
        Some(Kind::Etag(etag)) => format!("\"{etag}\""),
        _ => format!("\"{}\"", file.etag()),
    }
}

/// The start of `bytes=N-`, the only form that downloads use.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
}

fn changed(content: &Bytes, from: u64, fault: Option<&Kind>) -> Bytes {
    let rest = content.slice(from as usize..);
    match fault {
        Some(Kind::WrongByte(at)) if *at >= from && *at < content.len() as u64 => {
            let mut changed = BytesMut::from(rest.as_ref());
            changed[(at - from) as usize] ^= 1;
            changed.freeze()
        }
        Some(Kind::Short(by)) => rest.slice(..rest.len().saturating_sub(*by as usize)),
        Some(Kind::Long(by)) => [rest.as_ref(), &vec![0; *by as usize]].concat().into(),
        _ => rest,
    }
}

fn body(state: Arc<State>, path: String, content: Bytes, fault: Option<Kind>) -> Body {
    let pieces = stream::unfold((content, 0_u64), move |(content, sent)| {
        let (state, path, fault) = (state.clone(), path.clone(), fault.clone());
        async move {
            let mut content = content;
            let piece = content.split_to(PIECE.min(content.len()));
            if piece.is_empty() {
                return None;
            }
            if let Err(error) = delay(fault.as_ref(), sent, &piece).await {
                return Some((Err(error), (Bytes::new(), sent)));
            }
            let piece = allowed(fault.as_ref(), sent, piece);
            state.count(&path, piece.len() as u64);
            let sent = sent + piece.len() as u64;
            Some((Ok(piece), (content, sent)))
        }
    });
    Body::from_stream(pieces)
}

/// Waits, or ends the connection, as the fault says for the piece after `sent` bytes.
async fn delay(fault: Option<&Kind>, sent: u64, piece: &Bytes) -> Result<(), std::io::Error> {
    match fault {
        Some(Kind::Slow(rate)) => tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / *rate as f64)).await,
        Some(Kind::StallAfter(limit)) if sent >= *limit => std::future::pending::<()>().await,
        Some(Kind::CutAfter(limit)) if sent >= *limit => {
            // What was counted as sent has to leave first: an error takes along what is still in the server's buffers.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        _ => {}
    }
    Ok(())
}

/// The part of a piece that may go before a stall or a cut.
fn allowed(fault: Option<&Kind>, sent: u64, piece: Bytes) -> Bytes {
    match fault {
        Some(Kind::StallAfter(limit) | Kind::CutAfter(limit)) => {
            piece.slice(..piece.len().min(limit.saturating_sub(sent) as usize))
        }
        _ => piece,
    }
}
