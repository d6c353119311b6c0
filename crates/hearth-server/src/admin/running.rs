//! The settings of the server itself: its port, who reaches it, what it may hold. They are stored here and read at the next
//! start, where flags are stronger; only the idle time counts at once. Beside them stands what the running server uses.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use hearth_core::model::KeepAlive;
use hearth_engine::{Engine, EngineOptions, WorkerState};
use hearth_store::Store;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Admin, cache::CacheFolder};
use crate::library::{DATABASE, LibraryError, Result};

/// A setting: its name, what it must be, and whether a value is that.
type Line = (&'static str, &'static str, fn(&Value) -> bool);

pub(super) const NETWORK: &str = "network";
const IDLE: &str = "idle_timeout";

const LINES: [Line; 6] = [
    ("port", "a port, 1 to 65535", |value| is_within(value, 1, 65_535)),
    (NETWORK, "true or false", Value::is_boolean),
    ("memory", "a number of bytes above 0", |value| is_within(value, 1, i64::MAX)),
    ("cache_memory", "a number of bytes", |value| is_within(value, 0, i64::MAX)),
    ("cache_disk", "a number of bytes", |value| is_within(value, 0, i64::MAX)),
    (IDLE, "a number of seconds, or -1 for never", |value| is_within(value, -1, i64::from(u32::MAX))),
];

fn is_within(value: &Value, least: i64, most: i64) -> bool {
    value.as_i64().is_some_and(|number| (least..=most).contains(&number))
}

/// Whose word counts for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It was set here.
    Setting,
    /// It was said when the server was started: by a flag, a variable, or the configuration file.
    Flag,
    /// Nobody said anything.
    Default,
}

/// What a server was started with.
#[derive(Debug, Default)]
pub struct Running {
    /// What it uses, by the names of the settings; null where that is not known before a model is loaded.
    pub in_force: Map<String, Value>,
    /// Whose word that is.
    pub from: BTreeMap<&'static str, Source>,
    /// Whether an API key was given at its start.
    pub has_key: bool,
    /// The hash of the key that was made here, see [`Stored`].
    pub key_hash: Option<String>,
    /// Where caches are kept on disk.
    pub cache: Option<CacheFolder>,
}

/// What was set here for the next start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// Those that were set, by their names, each of its kind.
    pub settings: Map<String, Value>,
    /// The hash of the key that clients need.
    pub key_hash: Option<String>,
}

impl Stored {
    /// What the database in the data folder has.
    ///
    /// # Errors
    /// When it cannot be read: without it a key that is needed would not be asked for.
    pub async fn read(data_dir: &Path) -> Result<Self> {
        Ok(Self::of(&Store::peek_settings(&data_dir.join(DATABASE)).await?))
    }

    /// Those of `settings`, as a database has them, that are good; the others are left out with a warning.
    fn of(settings: &BTreeMap<String, Value>) -> Self {
        let mut stored = Self { key_hash: key_hash(settings), ..Self::default() };
        for (name, expected, is_good) in LINES {
            match settings.get(name) {
                Some(value) if is_good(value) => _ = stored.settings.insert(name.to_owned(), value.clone()),
                Some(_) => tracing::warn!("the stored setting `{name}` is not {expected}, and not used"),
                None => {}
            }
        }
        stored
    }
}

fn key_hash(settings: &BTreeMap<String, Value>) -> Option<String> {
    settings.get(super::key::STORED).and_then(Value::as_str).map(str::to_owned)
}

/// The settings and what is in force, as the API shows them.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    stored: Map<String, Value>,
    in_force: Map<String, Value>,
    from: BTreeMap<&'static str, Source>,
    needs_restart: bool,
    api_key: ApiKey,
}

#[derive(Serialize)]
struct ApiKey {
    set: bool,
}

/// The names of all of them.
pub(super) fn names() -> String {
    LINES.map(|(name, ..)| name).join(", ")
}

/// Takes those that are of the server out of `changes`. Errors: one of them cannot be.
pub(super) fn take(changes: &mut Map<String, Value>) -> Result<Map<String, Value>> {
    let mut own = Map::new();
    for (name, expected, is_good) in LINES {
        let Some(value) = changes.shift_remove(name) else { continue };
        if !value.is_null() && !is_good(&value) {
            let (key, expected) = (name.to_owned(), expected.to_owned());
            return Err(LibraryError::Setting { key, expected, given: value.to_string().chars().take(80).collect() });
        }
        own.insert(name.to_owned(), value);
    }
    Ok(own)
}

impl Admin {
    /// Stores what [`take`] took; null takes one back.
    pub(super) async fn store_server_settings(&self, changes: &Map<String, Value>, engine: &Engine) -> Result<()> {
        for (name, value) in changes {
            match value {
                Value::Null => self.library().store().remove_setting(name).await?,
                value => self.library().store().set_setting(name, value).await?,
            }
        }
        if let Some(value) = changes.get(IDLE) {
            self.set_idle(value, engine).await;
        }
        Ok(())
    }

    pub(super) async fn server_settings(&self) -> Result<Shown> {
        let set = stored(self.library().store()).await?.settings;
        let running = self.running();
        let value = |name: &str| set.get(name).cloned().unwrap_or_default();
        Ok(Shown {
            stored: LINES.iter().map(|(name, ..)| ((*name).to_owned(), value(name))).collect(),
            needs_restart: LINES.iter().any(|(name, ..)| running.would_change(name, set.get(*name))),
            api_key: ApiKey { set: running.has_key || running.key_hash.is_some() },
            in_force: running.in_force.clone(),
            from: running.from.clone(),
        })
    }

    /// How long models stay loaded that say nothing of it themselves; none where that is the engine's matter.
    pub(super) fn idle(&self) -> Option<KeepAlive> {
        self.running().in_force.get(IDLE).and_then(Value::as_i64).map(keep_alive)
    }

    /// Models that are loaded hear of it at once, the others when they are.
    async fn set_idle(&self, value: &Value, engine: &Engine) {
        {
            let mut running = self.running();
            if running.from.get(IDLE) == Some(&Source::Flag) {
                return;
            }
            let (from, value) = match value.as_i64() {
                Some(seconds) => (Source::Setting, seconds),
                None => (Source::Default, seconds(EngineOptions::default().keep_alive)),
            };
            running.from.insert(IDLE, from);
            running.in_force.insert(IDLE.to_owned(), value.into());
        }
        let models = self.library().models().await.unwrap_or_default();
        let has_own = |id: &str| models.iter().any(|model| model.id == id && model.settings.keep_alive.is_some());
        for status in engine.status() {
            if status.worker == WorkerState::Ready && !has_own(&status.card.id) {
                // One that cannot be loaded is gone by now.
                let _ = engine.load(&status.card.id, self.idle()).await;
            }
        }
    }

    pub(super) fn running(&self) -> MutexGuard<'_, Running> {
        // No holder of the lock leaves it half changed.
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Whether the server would use something else if it were started again in the same way.
    fn would_change(&self, name: &str, stored: Option<&Value>) -> bool {
        match (self.from.get(name), stored) {
            (Some(Source::Flag), _) => false,
            (_, Some(stored)) => self.in_force.get(name) != Some(stored),
            (from, None) => from == Some(&Source::Setting),
        }
    }
}

/// What is stored now.
pub(super) async fn stored(store: &Store) -> Result<Stored> {
    Ok(Stored::of(&store.settings().await?))
}

/// A number of seconds as a time; below 0 for ever.
pub fn keep_alive(seconds: i64) -> KeepAlive {
    u64::try_from(seconds).map_or(KeepAlive::Forever, |seconds| KeepAlive::For(Duration::from_secs(seconds)))
}

/// The other way around.
pub fn seconds(time: KeepAlive) -> i64 {
    match time {
        KeepAlive::For(time) => time.as_secs().try_into().unwrap_or(i64::MAX),
        KeepAlive::Forever => -1,
    }
}
