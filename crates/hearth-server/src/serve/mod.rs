//! The accept loop: axum's has no time-outs, and a handful of silent sockets would hold it for ever.
//!
//! - A new connection has [`ServeOptions::first_request`] to send a whole request head, an idle one
//!   [`ServeOptions::idle`] to send the next; a client that does not read is dropped after [`ServeOptions::stalled`].
//! - At most [`ServeOptions::connections`] are open; others wait in the system's queue.
//! - On shutdown the listener closes at once, idle connections too; requests get [`ServeOptions::grace`] to end.

mod connection;
mod stalled;

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// From accepting a connection to the end of its first request's head.
    pub first_request: Duration,
    /// From the end of a request to the end of the next one's head.
    pub idle: Duration,
    /// How long a client may leave bytes unread that are to be sent.
    pub stalled: Duration,
    /// How long requests may run on after the shutdown has begun.
    pub grace: Duration,
    /// Connections at a time.
    pub connections: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stalled: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            connections: 1024,
        }
    }
}

/// Serves `router` on `listener` until `shutdown` is ready and the requests in flight have ended or had their grace.
///
/// Whoever owns the engine shuts it down within the grace, so that streams end in the words of their protocol; what
/// still runs after it is cut.
///
/// # Errors
/// Where the listener has no address any more. A connection that cannot be accepted is logged and no error.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: &ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.local_addr()?;
    let slots = Arc::new(Semaphore::new(options.connections));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, slot) = accept(&listener, &slots) => {
                let driven = connection::drive(stream, router.clone(), options.clone(), stopping.clone());
                connections.spawn(async move { driven.await; drop(slot) });
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let ended = timeout(options.grace, async { while connections.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::warn!("{} connections were cut at shutdown", connections.len());
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection, once there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                // Most likely out of file descriptors: trying again at once would only burn a core.
                tracing::warn!("a connection cannot be accepted: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
