//! One connection, from its first byte to its last.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, body::Body, extract::Request, response::Response};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch, time::sleep};
use tower::ServiceExt;

use super::{ServeOptions, stalled::Impatient};
use crate::guard::{LocalAddr, PeerAddr};

/// Bytes that are held of a request, or of an answer that is not read.
const BUFFER: usize = 64 << 10;

/// Bytes and lines of a request's head.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 100;

/// Serves requests until the client leaves, a time-out strikes, or `stopping` turns true and the last answer is sent.
pub(super) async fn drive(
    stream: TcpStream,
    router: Router,
    options: ServeOptions,
    mut stopping: watch::Receiver<bool>,
) {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return };
    // A token is small and must not wait for the one after it. Where the system refuses, tokens come in clumps.
    let _ = stream.set_nodelay(true);
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let asked = Arc::clone(&asked);
        move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            answer(router.clone(), request, (LocalAddr(local), PeerAddr(peer)))
        }
    });
    let io = TokioIo::new(Impatient::new(stream, options.stalled));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.idle)
            .max_buf_size(BUFFER)
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(io, service)
    );
    let mut first_request = pin!(sleep(options.first_request));
    let mut stop = pin!(stopping.wait_for(|stop| *stop).map(drop).fuse());
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended.unwrap_or_else(|e| tracing::debug!("a connection broke: {e}")),
            () = &mut first_request, if !first_request.is_elapsed() => {}
            () = &mut stop => connection.as_mut().graceful_shutdown(),
        }
        if !asked.load(Ordering::Relaxed) {
            return;
        }
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    (local, peer): (LocalAddr, PeerAddr),
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(local);
    request.extensions_mut().insert(peer);
    router.oneshot(request).await
}
