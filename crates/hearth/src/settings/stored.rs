//! What was set in Hearth's page for the next start: weaker than all that is said at the start, stronger than silence.

use std::collections::BTreeMap;

use anyhow::Result;
use hearth_core::model::KeepAlive;
use hearth_server::admin::{CacheFolder, Running, Source, Stored, keep_alive, seconds};
use serde_json::{Map, Value, json};

use super::{Options, Settings, Size, units::Idle};
use crate::cache_dir;
use crate::paths::{self, process_env};

/// All addresses of this machine.
const EVERYWHERE: &str = "0.0.0.0";

/// What is stored in the data folder; nothing where there is none.
pub(super) async fn read() -> Result<Stored> {
    match paths::data_dir(process_env) {
        Ok(data) => Ok(Stored::read(&data).await?),
        Err(_) => Ok(Stored::default()),
    }
}

/// The options that `stored` stands for, beside those that were `said`.
pub(super) fn options(stored: &Stored, said: &Options) -> Options {
    let number = |name: &str| stored.settings.get(name).and_then(Value::as_u64);
    let network = stored.settings.get("network") == Some(&true.into());
    let has_key = stored.key_hash.is_some() || said.api_key.is_some() || said.allow_unauthenticated == Some(true);
    if network && !has_key && said.host.is_none() {
        tracing::warn!("only this machine can use the server: others may, by the settings, but there is no API key");
    }
    Options {
        host: (network && has_key).then(|| EVERYWHERE.to_owned()),
        port: number("port").and_then(|port| port.try_into().ok()),
        memory: number("memory").map(Size),
        cache_memory: number("cache_memory").map(Size),
        cache_disk: number("cache_disk").map(Size),
        idle_timeout: stored.settings.get("idle_timeout").and_then(Value::as_i64).map(|time| Idle(keep_alive(time))),
        // With a key nobody is unauthenticated, although none was said.
        allow_unauthenticated: stored.key_hash.is_some().then_some(true),
        ..Options::default()
    }
}

/// Whose word counts for each setting.
pub(super) fn sources(said: &Options, stored: &Options) -> BTreeMap<&'static str, Source> {
    let source = |is_said, is_stored| match (is_said, is_stored) {
        (true, _) => Source::Flag,
        (_, true) => Source::Setting,
        _ => Source::Default,
    };
    BTreeMap::from([
        ("port", source(said.port.is_some(), stored.port.is_some())),
        ("network", source(said.host.is_some(), stored.host.is_some())),
        ("memory", source(said.memory.is_some(), stored.memory.is_some())),
        ("cache_memory", source(said.cache_memory.is_some(), stored.cache_memory.is_some())),
        ("cache_disk", source(said.cache_disk.is_some(), stored.cache_disk.is_some())),
        ("idle_timeout", source(said.idle_timeout.is_some(), stored.idle_timeout.is_some())),
    ])
}

impl Settings {
    /// What a server with these settings uses, of which `port` and `memory_limit` show only when it runs.
    pub(crate) fn running(&self, port: u16, memory_limit: u64) -> Running {
        let engine = &self.engine;
        let disk = engine.cache.disk.as_ref();
        let limit = disk.map_or(0, |disk| disk.bytes + engine.sessions.disk);
        Running {
            in_force: self.in_force(port, memory_limit, limit, engine.keep_alive),
            from: self.from.clone(),
            has_key: self.api_key.is_some(),
            key_hash: self.key_hash.clone(),
            cache: disk.map(|disk| CacheFolder { dir: disk.dir.clone(), limit, used: cache_dir::bytes }),
        }
    }

    fn in_force(&self, port: u16, memory: u64, cache_disk: u64, idle: KeepAlive) -> Map<String, Value> {
        let pairs = [
            ("port", json!(port)),
            ("network", json!(!self.is_local())),
            // 0: not known.
            ("memory", json!(Some(memory).filter(|bytes| *bytes > 0))),
            ("cache_memory", json!(self.engine.cache.memory)),
            ("cache_disk", json!(cache_disk)),
            ("idle_timeout", json!(seconds(idle))),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(settings: Value, key: bool) -> Stored {
        Stored { settings: settings.as_object().unwrap().clone(), key_hash: key.then(|| "00".to_owned()) }
    }

    fn load(said: Options, stored: &Stored) -> Settings {
        Settings::with(said, stored).unwrap()
    }

    #[test]
    fn what_is_stored_counts_where_nothing_is_said() {
        let said = Options { port: Some(9), ..Options::default() };
        let stored =
            stored(json!({"port": 8, "memory": 7, "cache_memory": 6, "cache_disk": 500, "idle_timeout": -1}), false);
        let settings = load(said, &stored);
        let running = settings.running(9, 7);
        let expected =
            json!({"port": 9, "network": false, "memory": 7, "cache_memory": 6, "cache_disk": 500, "idle_timeout": -1});
        assert_eq!(Value::Object(running.in_force), expected);
        assert_eq!(settings.port, 9);
        assert_eq!((running.from["port"], running.from["network"]), (Source::Flag, Source::Default));
        assert_eq!((running.from["cache_disk"], running.has_key), (Source::Setting, false));
    }

    #[test]
    fn the_network_is_opened_only_with_a_key() {
        let open = json!({"network": true});
        let said = |key: Option<&str>, host: Option<&str>| Options {
            api_key: key.map(str::to_owned),
            host: host.map(str::to_owned),
            ..Options::default()
        };
        for (said, has_key, host) in [
            (said(None, None), false, "127.0.0.1"),
            (said(None, None), true, EVERYWHERE),
            (said(Some("k"), None), false, EVERYWHERE),
            (said(None, Some("127.0.0.1")), true, "127.0.0.1"),
            (said(None, Some("0.0.0.0")), true, "0.0.0.0"),
        ] {
            assert_eq!(load(said, &stored(open.clone(), has_key)).host, host);
        }
        let refused = Settings::with(said(None, Some("0.0.0.0")), &stored(open, false)).unwrap_err().to_string();
        assert!(refused.contains("no API key is set"), "{refused}");
    }
}
