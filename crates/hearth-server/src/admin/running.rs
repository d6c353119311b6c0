//! The settings of the server itself: its port, who reaches it, what it may hold. They are stored here and read at the next
//! start, where flags are stronger; only the idle time counts at once. Beside them stands what the running server uses.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use hearth_core::model::KeepAlive;
use hearth_engine::EngineOptions;
use hearth_store::Store;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Admin, cache::CacheFolder};
use crate::library::{DATABASE, Line, Result, wrong};

pub(super) const NETWORK: &str = "network";
const IDLE: &str = "idle_timeout";

/// With fewer bytes for all models not even the smallest could answer.
const LEAST_MEMORY: i64 = 256 << 20;

const LINES: [Line; 6] = [
    ("port", "a port, 1 to 65535", |value| is_within(value, 1, 65_535)),
    (NETWORK, "true or false", Value::is_boolean),
    ("memory", "a number of bytes, 268435456 (0.27 GB) at least", |value| is_within(value, LEAST_MEMORY, i64::MAX)),
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
            return Err(wrong(name, expected, &value));
        }
        own.insert(name.to_owned(), value);
    }
    Ok(own)
}

impl Admin {
    /// Stores what [`take`] took; null takes one back.
    pub(super) async fn store_server_settings(&self, changes: &Map<String, Value>) -> Result<()> {
        for (name, value) in changes {
            match value {
                Value::Null => self.library().store().remove_setting(name).await?,
                value => self.library().store().set_setting(name, value).await?,
            }
        }
        if let Some(value) = changes.get(IDLE) {
            self.running().set_idle(value);
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
            api_key: ApiKey { set: running.has_any_key() },
            in_force: running.in_force.clone(),
            from: running.from.clone(),
        })
    }

    pub(super) fn running(&self) -> MutexGuard<'_, Running> {
        // No holder of the lock leaves it half changed.
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// How long models stay loaded that say nothing of it themselves; none where that is the engine's matter, as what was said
    /// at the start is, down to parts of a second.
    pub(super) fn idle(&self) -> Option<KeepAlive> {
        let set = self.in_force.get(IDLE).filter(|_| !self.is_said(IDLE));
        set.and_then(Value::as_i64).map(keep_alive)
    }

    fn set_idle(&mut self, value: &Value) {
        if self.is_said(IDLE) {
            return;
        }
        let (from, value) = match value.as_i64() {
            Some(seconds) => (Source::Setting, seconds),
            None => (Source::Default, seconds(EngineOptions::default().keep_alive)),
        };
        self.from.insert(IDLE, from);
        self.in_force.insert(IDLE.to_owned(), value.into());
    }

    fn is_said(&self, name: &str) -> bool {
        self.from.get(name) == Some(&Source::Flag)
    }

    /// Whether clients need a key, whoever made it.
    pub(super) fn has_any_key(&self) -> bool {
        self.has_key || self.key_hash.is_some()
    }

    /// Whether the server would use something else if it were started again in the same way.
    fn would_change(&self, name: &str, stored: Option<&Value>) -> bool {
        // Without a key nobody else is let in, whatever is stored.
        let is_void = name == NETWORK && stored == Some(&true.into()) && !self.has_any_key();
        match (self.from.get(name), stored) {
            _ if is_void || self.is_said(name) => false,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn running(in_force: Value, from: &[(&'static str, Source)]) -> Running {
        let in_force = in_force.as_object().cloned().unwrap_or_default();
        Running { in_force, from: from.iter().copied().collect(), ..Running::default() }
    }

    #[test]
    fn a_network_that_no_key_opens_needs_no_restart() {
        let mut running = running(json!({"network": false}), &[(NETWORK, Source::Default)]);
        assert!(!running.would_change(NETWORK, Some(&true.into())));
        running.key_hash = Some("00".to_owned());
        assert!(running.would_change(NETWORK, Some(&true.into())));
    }

    #[test]
    fn an_idle_time_that_was_said_at_the_start_is_left_to_the_engine() {
        let mut said = running(json!({"idle_timeout": 0}), &[(IDLE, Source::Flag)]);
        said.set_idle(&7.into());
        assert_eq!(said.idle(), None);
        let mut stored = running(json!({"idle_timeout": 7}), &[(IDLE, Source::Setting)]);
        assert_eq!(stored.idle(), Some(keep_alive(7)));
        stored.set_idle(&Value::Null);
        assert_eq!(stored.idle(), Some(EngineOptions::default().keep_alive));
    }

    #[test]
    fn a_stored_setting_that_cannot_be_is_left_out() {
        let stored = [("memory", json!(12)), ("port", json!(9))].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(Value::Object(Stored::of(&stored.into()).settings), json!({"port": 9}));
    }
}
