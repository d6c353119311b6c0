//! The models on this machine, and those that could be: what is installed, what it is called, whether it fits, what is
//! being downloaded. It joins what a scan finds with what the database remembers. Nothing here knows HTTP.
//!
//! A scan replaces what is known of the disk; names, settings and downloads are read from and written to the database.
//! Several processes may have a library on one data folder.

mod changes;
mod downloads;
mod error;
mod job;
mod models;
mod offer;
mod removal;
mod scanning;
mod settings;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hearth_hub::{
    download::DownloadOptions,
    fit::{Machine, measure_bandwidth},
    registry::{Hub, HubOptions},
    scan::Root,
};
use hearth_store::Store;
use tokio::sync::{Notify, OnceCell, broadcast};

pub use changes::Change;
pub use downloads::Download;
use downloads::Downloads;
pub use error::{LibraryError, Result};
pub use models::Model;
pub use offer::{CatalogModel, CatalogVariant, RepoFit, SearchHit};
use removal::Gone;
pub use removal::Removal;
pub use scanning::SilentFolder;
pub(crate) use scanning::on_thread;
use scanning::{Found, Seen};
pub use settings::Settings;
pub(crate) use settings::{Line, wrong};

/// Events that a slow listener may be behind before it loses some.
const EVENTS: usize = 256;

/// The file in the data folder in which all is remembered.
pub(crate) const DATABASE: &str = "hearth.db";

/// The setting that holds what was measured of the memory.
const BANDWIDTH: &str = "measured_bandwidth";

/// Where models are, and what can be done with them.
#[derive(Debug, Clone)]
pub struct LibraryOptions {
    /// The folder of the database.
    pub data_dir: PathBuf,
    /// How to reach the Hub, and where downloads go.
    pub hub: HubOptions,
    /// Where models lie, besides the folders that a person has added.
    pub roots: Vec<Root>,
    /// The model that is part of the program.
    pub builtin: Builtin,
    /// Every `model_type` that this build runs.
    pub known: Vec<String>,
    /// The machine that models have to fit. A bandwidth that it does not say is measured, once for all time.
    pub machine: Machine,
    /// How downloads go about their work.
    pub downloads: DownloadOptions,
}

/// The model that is always there.
#[derive(Debug, Clone)]
pub struct Builtin {
    /// What it is known by, and its API name.
    pub source: String,
    /// What people see.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
}

/// What has changed. Whoever is told looks for the rest.
#[derive(Debug, Clone)]
pub enum Event {
    /// The list of models: one came, went, or got other names or settings.
    Models,
    /// A download, which now stands so.
    Download(Box<Download>),
    /// A download is no longer listed.
    Forgotten(i64),
}

/// The library. Clones are handles of the same one.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

struct Inner {
    options: LibraryOptions,
    store: Store,
    /// Replaced when its address is set anew.
    hub: Mutex<Hub>,
    found: Mutex<Vec<Found>>,
    seen: Mutex<Seen>,
    /// Models that were removed or are being removed. Locked after `found`.
    gone: Mutex<HashMap<PathBuf, Gone>>,
    /// Held by the scan that runs.
    scanning: tokio::sync::Mutex<()>,
    /// Says that folders were added or taken away.
    folders: Notify,
    downloads: Downloads,
    events: broadcast::Sender<Event>,
    bandwidth: OnceCell<Option<f64>>,
}

impl Library {
    /// Opens the database in the data folder. The disk is not looked at before [`Library::scan`] or [`Library::run`].
    ///
    /// # Errors
    /// When the database cannot be opened, or the Hub's address is none.
    pub async fn open(options: LibraryOptions) -> Result<Self> {
        let store = Store::open(&options.data_dir.join(DATABASE)).await?.store;
        let hub = settings::hub(&store, &options.hub).await?;
        // The first of all, so that no other model takes its name.
        let Builtin { source, name, .. } = &options.builtin;
        store.add_model(source, name, source).await?;
        let downloads = Downloads::new(store.downloads().await?);
        let inner = Inner {
            options,
            store,
            hub: Mutex::new(hub),
            found: Mutex::default(),
            seen: Mutex::default(),
            gone: Mutex::default(),
            scanning: tokio::sync::Mutex::default(),
            folders: Notify::new(),
            downloads,
            events: broadcast::channel(EVENTS).0,
            bandwidth: OnceCell::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Goes on with the downloads that were under way when the last server ended, and keeps up with what changes on disk,
    /// for as long as it is polled. A server runs it; a single command scans once.
    pub async fn run(&self) {
        self.go_on();
        self.watch().await;
    }

    /// What changes from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// Where downloads go.
    pub fn download_dir(&self) -> PathBuf {
        self.inner.options.hub.cache_dir.clone()
    }

    /// Bytes that a process may hold on this machine; 0: not known.
    pub fn memory_limit(&self) -> u64 {
        self.inner.options.machine.limit
    }

    /// The database, for what is no model's.
    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    fn tell(&self, event: Event) {
        // Nobody need listen.
        let _ = self.inner.events.send(event);
    }

    fn hub(&self) -> Hub {
        lock(&self.inner.hub).clone()
    }

    fn knows(&self, model_type: &str) -> bool {
        self.inner.options.known.iter().any(|known| known == model_type)
    }

    /// The machine with its bandwidth, which is measured where nobody ever did.
    async fn machine(&self) -> Machine {
        let machine = self.inner.options.machine.clone();
        let bandwidth = match machine.bandwidth {
            Some(bandwidth) => Some(bandwidth),
            None => *self.inner.bandwidth.get_or_init(|| self.measured()).await,
        };
        Machine { bandwidth, ..machine }
    }

    async fn measured(&self) -> Option<f64> {
        let store = &self.inner.store;
        if let Ok(Some(known)) = store.setting(BANDWIDTH).await {
            return Some(known);
        }
        let measured = scanning::on_thread(measure_bandwidth).await?;
        if let Err(error) = store.set_setting(BANDWIDTH, &measured).await {
            tracing::warn!("what was measured of the memory is not kept: {error}");
        }
        Some(measured)
    }
}

/// A lock whose holders leave nothing half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
