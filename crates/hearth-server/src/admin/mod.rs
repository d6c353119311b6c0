//! The management API below `/admin/v1`: models, downloads, conversations, settings and the server, for Hearth's own page
//! and command line. Only who can read the server's token may use it, and only from this machine.
//!
//! Each file has the handlers of one resource. What they do is the library's doing; this keeps the engine in step with it.

pub(crate) mod activity;
mod cache;
pub(crate) mod conversations;
pub(crate) mod downloads;
mod errors;
pub(crate) mod events;
pub(crate) mod guard;
pub(crate) mod key;
pub(crate) mod links;
mod logs;
pub(crate) mod models;
pub(crate) mod offer;
mod running;
mod seen;
pub(crate) mod settings;
mod specs;
pub(crate) mod status;

use std::{collections::HashMap, fmt, sync::Arc, time::Instant};

use axum::{extract::FromRequestParts, http::request::Parts};
use hearth_engine::{Engine, ModelSpec};
use tokio::sync::{Mutex, broadcast::error::RecvError, watch};

pub use cache::CacheFolder;
pub use logs::LogTail;
pub use running::{Running, Source, Stored, keep_alive, seconds};

use crate::{
    error::ApiError,
    library::{Event, Library, Result},
    state::AppState,
};

/// Where all its routes are.
pub(crate) const PATH: &str = "/admin/v1";

/// What the management API serves. Clones are handles of the same one.
#[derive(Clone)]
pub struct Admin {
    inner: Arc<Inner>,
}

/// What it is made of.
pub struct AdminOptions {
    /// The models.
    pub library: Library,
    /// Models that were named at the start: they come first, and are offered whether the library knows them or not, until
    /// they are removed.
    pub named: Vec<ModelSpec>,
    /// What a client must carry.
    pub token: String,
    /// Where the server listens.
    pub url: String,
    /// The last lines of its log.
    pub logs: LogTail,
    /// Bytes that all models may take together; 0: not known.
    pub memory_limit: u64,
    /// What it was started with.
    pub running: Running,
}

struct Inner {
    options: AdminOptions,
    started: Instant,
    keys: links::Keys,
    running: std::sync::Mutex<Running>,
    /// Held while the key or who may reach the server changes, so that what is stored and what counts stay the same, and no
    /// server is open without a key.
    opening: Mutex<()>,
    /// Bytes that the caches take on disk.
    cache_seen: seen::Seen<u64>,
    /// Bytes that may still be downloaded.
    free_seen: seen::Seen<Option<u64>>,
    /// Requests to each model, by its source, that the library has counted. Held while the engine is told what to offer, so
    /// that a later list does not come before an earlier one.
    counted: Mutex<HashMap<String, u64>>,
    /// Whether open streams of events shall end.
    closing: watch::Sender<bool>,
}

impl Admin {
    /// Nothing runs yet.
    pub fn new(mut options: AdminOptions) -> Self {
        let running = std::mem::take(&mut options.running).into();
        let inner = Inner {
            options,
            started: Instant::now(),
            keys: links::Keys::default(),
            running,
            opening: Mutex::default(),
            cache_seen: seen::Seen::default(),
            free_seen: seen::Seen::default(),
            counted: Mutex::default(),
            closing: watch::Sender::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What the engine is to offer: the models that were named, then those of the library that can be used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn specs(&self) -> Result<Vec<ModelSpec>> {
        let library = self.library();
        let mut specs = specs::merge(&self.options().named, &library.models().await?, |dir| library.is_gone(dir));
        let idle = self.running().idle();
        if let Some(idle) = idle {
            specs.iter_mut().for_each(|spec| _ = spec.settings.keep_alive.get_or_insert(idle));
        }
        Ok(specs)
    }

    /// Keeps the engine in step with the library, and the library with the disk, for as long as it is polled.
    pub async fn run(&self, engine: &Engine) {
        tokio::join!(self.library().run(), self.follow(engine));
    }

    /// Ends open streams of events, so that the server can end.
    pub fn close(&self) {
        self.inner.closing.send_replace(true);
    }

    /// Notes in the library how often models were used since the last time.
    pub async fn count_uses(&self, engine: &Engine) {
        let mut counted = self.inner.counted.lock().await;
        for status in engine.status() {
            let before = counted.insert(status.card.source.clone(), status.requests).unwrap_or(0);
            // Fewer than before: the engine has made it anew.
            let uses = status.requests.checked_sub(before).unwrap_or(status.requests);
            if uses == 0 {
                continue;
            }
            let noted = async { self.library().count_uses(&self.library().model(&status.card.id).await?, uses).await };
            if let Err(error) = noted.await {
                tracing::debug!(model = status.card.id, "its use is not counted: {error}");
            }
        }
    }

    /// Offers what the library has now.
    pub(crate) async fn offer(&self, engine: &Engine) -> Result<()> {
        self.count_uses(engine).await;
        let _in_order = self.inner.counted.lock().await;
        engine.offer(self.specs().await?);
        Ok(())
    }

    async fn follow(&self, engine: &Engine) {
        let (mut events, mut changes) = (self.library().events(), engine.changes());
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(Event::Models) | Err(RecvError::Lagged(_)) => {
                        if let Err(error) = self.offer(engine).await {
                            tracing::warn!("models are offered as before: {error}");
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
                changed = changes.changed() => match changed {
                    Ok(()) => self.count_uses(engine).await,
                    Err(_) => return,
                },
            }
        }
    }

    fn options(&self) -> &AdminOptions {
        &self.inner.options
    }

    /// The models that it manages.
    pub fn library(&self) -> &Library {
        &self.inner.options.library
    }
}

/// Nobody's token belongs in a log.
impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("url", &self.options().url).finish_non_exhaustive()
    }
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // Its routes are there only with it.
        state.options.admin.clone().ok_or_else(|| ApiError::new(axum::http::StatusCode::NOT_FOUND, parts.uri.path()))
    }
}

/// Whether a path belongs to the management API.
pub(crate) fn is_below(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
