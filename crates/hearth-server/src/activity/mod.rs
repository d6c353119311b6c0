//! What clients ask and how it goes: the last requests, and the last hour in sums. In memory alone, and of what was said
//! no more than an error quotes.
//!
//! Each request holds an [`Entry`], which tells this registry when something has changed; nothing here runs by itself.

mod bucket;
mod entry;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use axum::{
    extract::{Request as Asked, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use hearth_engine::Engine;
use serde::Serialize;
use tokio::sync::broadcast;

pub(crate) use bucket::{Bucket, SECONDS as BUCKET_SECONDS};
use bucket::{Buckets, Sums};
pub(crate) use entry::{Entry, Wish};

use crate::{
    error::ApiError,
    report::{CacheShape, TimingsShape},
};

/// Requests that are kept, the running ones among them.
const REQUESTS: usize = 200;

/// Changes that a slow listener may be behind before it loses some.
const CHANGES: usize = 256;

/// Characters that are kept of each text that a client may have made up.
const TEXT: usize = 500;

/// A request, as far as it has come. Times are milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Request {
    id: String,
    /// Since 1970.
    at: u64,
    protocol: &'static str,
    path: &'static str,
    client: Option<String>,
    /// The name that clients know it by, or what was asked for where there is none such.
    model: String,
    session: Option<String>,
    stream: bool,
    state: Progress,
    error: Option<String>,
    finish_reason: Option<&'static str>,
    prompt_tokens: Option<usize>,
    cached_tokens: Option<usize>,
    /// While it is answered the pieces that were sent: a piece is most often a token.
    completion_tokens: usize,
    first_token_ms: Option<f64>,
    total_ms: Option<f64>,
    timings: Option<TimingsShape>,
    cache: Option<CacheShape>,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Progress {
    Waiting,
    Answering,
    Done,
    Failed,
    Cancelled,
}

impl Progress {
    fn is_end(self) -> bool {
        !matches!(self, Self::Waiting | Self::Answering)
    }
}

/// Where requests come in: the protocol and its path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    pub(crate) protocol: &'static str,
    pub(crate) path: &'static str,
}

/// The registry. Clones are handles of the same one.
#[derive(Clone)]
pub(crate) struct Activity(Arc<Registry>);

struct Registry {
    engine: Engine,
    kept: Mutex<Kept>,
    changes: broadcast::Sender<Arc<Request>>,
}

#[derive(Default)]
struct Kept {
    /// The newest last.
    requests: VecDeque<Request>,
    /// Those that were dropped before the first of them.
    dropped: usize,
    buckets: Buckets,
}

impl Activity {
    /// Nothing has happened yet.
    pub(crate) fn new(engine: Engine) -> Self {
        Self(Arc::new(Registry { engine, kept: Mutex::default(), changes: broadcast::channel(CHANGES).0 }))
    }

    /// The last requests, the newest first.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.kept().requests.iter().rev().cloned().collect()
    }

    /// The last hour.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        self.kept().buckets.of_the_last_hour(now())
    }

    /// Each request as it stands, whenever it has changed.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<Request>> {
        self.0.changes.subscribe()
    }

    /// Notes how a request stands, which was noted at `place` before if it was; answers its place.
    fn note(&self, request: &Request, place: Option<usize>, sums: &Sums) -> usize {
        // Not under the lock: the engine has locks of its own.
        let memory = self.memory();
        let place = {
            let mut kept = self.kept();
            kept.buckets.add(now(), sums, memory);
            kept.put(request, place)
        };
        if self.0.changes.receiver_count() > 0 {
            // A listener may have left just now.
            let _ = self.0.changes.send(Arc::new(request.clone()));
        }
        place
    }

    /// Bytes of each model that is loaded.
    fn memory(&self) -> BTreeMap<String, u64> {
        let models = self.0.engine.status().into_iter().map(|status| (status.card.id, status.memory.total()));
        models.filter(|(_, bytes)| *bytes > 0).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No holder of the lock leaves it half changed.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, request: &Request, place: Option<usize>) -> usize {
        let Some(place) = place else {
            if self.requests.len() == REQUESTS {
                self.requests.pop_front();
                self.dropped += 1;
            }
            self.requests.push_back(request.clone());
            return self.dropped + self.requests.len() - 1;
        };
        // One that runs for longer than two hundred others take is no longer kept.
        if let Some(kept) = place.checked_sub(self.dropped).and_then(|index| self.requests.get_mut(index)) {
            kept.clone_from(request);
        }
        place
    }
}

/// Middleware: a request's [`Entry`] comes with it, and hears when it is refused. One whose answer is dropped before its end,
/// or that is dropped itself, was cancelled.
pub(crate) async fn follow(
    State((activity, door)): State<(Activity, Door)>,
    mut request: Asked,
    next: Next,
) -> Response {
    let entry = Entry::new(activity, door, client(request.headers()));
    request.extensions_mut().insert(entry.clone());
    let response = next.run(request).await;
    if let Some(error) = response.extensions().get::<ApiError>() {
        entry.failed(&error.message);
    }
    response
}

fn client(headers: &HeaderMap) -> Option<String> {
    headers.get(header::USER_AGENT)?.to_str().ok().map(cut)
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

/// Milliseconds since 1970.
fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64)
}
