//! Server-sent events: the response around a stream of frames, kept alive while the model is silent.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::Stream;
use serde::Serialize;
use tokio::time::{Instant, Sleep};

/// A line that every client skips.
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// A response that sends each frame as it comes, and a comment after every `keep_alive` without one.
pub(crate) fn response<S>(frames: S, keep_alive: Duration) -> Response
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    let silence = Box::pin(tokio::time::sleep(keep_alive));
    let body = Body::from_stream(KeepAlive { frames: Box::pin(frames), silence, keep_alive });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONNECTION, "keep-alive"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// One event.
pub(crate) fn frame(data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).expect("plain data into memory");
    format!("data: {json}\n\n").into()
}

struct KeepAlive<S> {
    frames: Pin<Box<S>>,
    silence: Pin<Box<Sleep>>,
    keep_alive: Duration,
}

impl<S: Stream<Item = Bytes>> Stream for KeepAlive<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = match self.frames.as_mut().poll_next(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending if self.silence.as_mut().poll(context).is_ready() => Some(COMMENT),
            Poll::Pending => return Poll::Pending,
        };
        let due = Instant::now() + self.keep_alive;
        self.silence.as_mut().reset(due);
        Poll::Ready(frame.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let at = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        let frames =
            stream::once(at(12)).chain(stream::once(at(18))).enumerate().map(|(i, ())| format!("data: {i}\n\n"));
        let response = response(frames.map(Bytes::from), Duration::from_secs(5));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body that cannot fail");
        let comment = ": keep-alive\n\n";
        assert_eq!(body, format!("{comment}{comment}data: 0\n\n{comment}data: 1\n\n"));
    }
}
