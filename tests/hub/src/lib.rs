//! A Hub of our own for tests: the part of Hugging Face's API that downloads use, faithful enough for Python's
//! huggingface_hub to read from it, and faults that a test switches on for the requests that it names.
//!
//! It runs in the test's process ([`TestHub::start`]) or as a program (`test_hub --root DIR`).

mod api;
mod content;
mod fault;
mod repo;
mod resolve;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use fault::{Fault, Kind};
pub use repo::{File, Repo};

/// A running hub on a free port of the loopback; it ends when this is dropped.
pub struct TestHub {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Range` header, where there was one.
    pub range: Option<String>,
    /// The `Authorization` header, where there was one.
    pub authorization: Option<String>,
}

impl TestHub {
    /// Serves `repos` on a free port.
    ///
    /// # Errors
    /// When the loopback has no free port.
    pub async fn start(repos: Vec<Repo>) -> std::io::Result<Self> {
        Self::start_on(repos, 0).await
    }

    /// As [`TestHub::start`], on a port of the caller's choice.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start_on(repos: Vec<Repo>, port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new(address, repos));
        let router = router(state.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the test hub ended: {error}");
            }
        });
        Ok(Self { address, state, task })
    }

    /// Its base URL, for `HF_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Switches a fault on for coming requests.
    pub fn fault(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Switches all faults off.
    pub fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// Replaces what is served, as if somebody had pushed to the Hub.
    pub fn serve(&self, repos: Vec<Repo>) {
        self.state.lock().repos = repos;
    }

    /// All requests so far, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }

    /// Waits until so many bytes of file contents have been sent in all.
    pub async fn has_sent(&self, bytes: u64) {
        // The sender lives as long as the hub.
        let _ = self.state.total.subscribe().wait_for(|total| *total >= bytes).await;
    }

    /// Bytes of file contents sent so far, over all requests whose path ends with `end`.
    #[must_use]
    pub fn bytes_sent(&self, end: &str) -> u64 {
        self.state.lock().sent.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, bytes)| bytes).sum()
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) struct State {
    pub(crate) url: String,
    /// Where contents in LFS lie: at another host's name, as they do for the real Hub.
    pub(crate) cdn: String,
    inner: Mutex<Inner>,
    total: watch::Sender<u64>,
}

pub(crate) struct Inner {
    pub(crate) repos: Vec<Repo>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) seen: Vec<Seen>,
    sent: HashMap<String, u64>,
}

impl State {
    fn new(address: SocketAddr, repos: Vec<Repo>) -> Self {
        let (url, cdn) = (format!("http://{address}"), format!("http://localhost:{}", address.port()));
        let inner = Inner { repos, faults: Vec::new(), seen: Vec::new(), sent: HashMap::new() };
        Self { url, cdn, inner: Mutex::new(inner), total: watch::channel(0).0 }
    }

    /// Counts bytes that go out for a path.
    pub(crate) fn count(&self, path: &str, bytes: u64) {
        *self.lock().sent.entry(path.to_owned()).or_default() += bytes;
        self.total.send_modify(|total| *total += bytes);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/api/models", get(api::list))
        .route("/api/models/{owner}/{name}", get(api::info))
        .route("/api/models/{owner}/{name}/revision/{revision}", get(api::info_at))
        .route("/api/models/{owner}/{name}/tree/{revision}", get(api::tree))
        .route("/{owner}/{name}/resolve/{revision}/{*file}", get(resolve::resolve))
        .route("/cdn/{sha256}/{*file}", get(resolve::cdn))
        .layer(axum::middleware::from_fn_with_state(state.clone(), fault::watch))
        .with_state(state)
}
