//! `/admin/v1/events`: what changes, as server-sent events. The first ones say how everything is, and so do those after a
//! listener was too slow.

use std::{future::pending, time::Duration};

use axum::{body::Bytes, extract::State, response::Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, sleep_until},
};

use super::{Admin, status::Status};
use crate::{library::Event, sse, state::AppState};

/// A silent stream gets a comment this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often a load's progress is told.
const LOADING: Duration = Duration::from_millis(250);

/// Frames that wait for a slow listener.
const WAITING: usize = 16;

/// Tells what changes until the listener leaves or the server ends.
pub(crate) async fn stream(State(state): State<AppState>, admin: Admin) -> Response {
    let (frames, received) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut closing = admin.inner.closing.subscribe();
        tokio::select! {
            () = tell(&state, &admin, &frames) => {}
            () = frames.closed() => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    });
    let frames = stream::unfold(received, |mut received| async move { Some((received.recv().await?, received)) });
    sse::response(frames, KEEP_ALIVE)
}

async fn tell(state: &AppState, admin: &Admin, frames: &mpsc::Sender<Bytes>) {
    let (mut events, mut changes) = (admin.library().events(), state.engine.changes());
    let mut requests = state.activity.changes();
    // An error: the listener has left, which ends this.
    let send = async |frame| drop(frames.send(frame).await);
    tell_all(admin, frames).await;
    let mut status = Status::of(state, admin).await;
    loop {
        send(frame("status", &status)).await;
        // Whatever else is told meanwhile does not put it off.
        let due = status.is_moving().then(|| Instant::now() + LOADING);
        loop {
            let moves = async { if let Some(due) = due { sleep_until(due).await } else { pending().await } };
            tokio::select! {
                event = events.recv() => match event {
                    Ok(Event::Models) => send(frame("models", &json!({}))).await,
                    Ok(Event::Download(download)) => send(frame("download", &download)).await,
                    Ok(Event::Forgotten(id)) => send(frame("forgotten", &json!({ "id": id }))).await,
                    Err(RecvError::Lagged(_)) => tell_all(admin, frames).await,
                    Err(RecvError::Closed) => return,
                },
                request = requests.recv() => match request {
                    Ok(request) => send(frame("request", &*request)).await,
                    Err(RecvError::Lagged(_)) => {
                        for request in state.activity.requests().iter().rev() {
                            send(frame("request", request)).await;
                        }
                    }
                    Err(RecvError::Closed) => return,
                },
                // An error: the engine is gone, and so is the server.
                changed = changes.changed() => if changed.is_err() { return } else { break },
                () = moves => break,
            }
        }
        status = Status::of(state, admin).await;
    }
}

async fn tell_all(admin: &Admin, frames: &mpsc::Sender<Bytes>) {
    let downloads = admin.library().downloads();
    let downloads = downloads.iter().map(|download| frame("download", download));
    for frame in [frame("models", &json!({}))].into_iter().chain(downloads) {
        // An error: the listener has left.
        let _ = frames.send(frame).await;
    }
}

fn frame(event: &str, data: &impl Serialize) -> Bytes {
    [format!("event: {event}\n").as_bytes(), &sse::frame(data)].concat().into()
}
