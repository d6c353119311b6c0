//! What was typed becomes what is needed, in one place.
//!
//! [`Options`] is what a person may say, wherever they say it: by a flag, else a `HEARTH_…` variable, else a line of
//! the configuration file, else in Hearth's page. [`Settings`] is what comes of it, complete and checked.

pub(crate) mod cache;
mod options;
mod stored;
pub(crate) mod units;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, bail};
use hearth_engine::EngineOptions;
use hearth_server::Protocols;
use hearth_server::admin::{Source, Stored};

use crate::logging::{self, Logging};

pub use options::Options;
pub use units::{Idle, KvBits, Size, Span};

/// Everything that a server needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names of models, folders, Hugging Face ids, or `ember`: the default first. None: the library's default.
    pub models: Vec<String>,
    /// Address to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Protocols to speak.
    pub protocols: Protocols,
    /// Key that requests must carry.
    pub api_key: Option<String>,
    /// The hash of one that was made in Hearth's page.
    pub(crate) key_hash: Option<String>,
    /// Whose word counts for what can be set there, by its name.
    pub(crate) from: BTreeMap<&'static str, Source>,
    /// Web origins whose pages may use the server.
    pub cors_origins: Vec<String>,
    /// Further names by which clients may address the server.
    pub allowed_hosts: Vec<String>,
    /// How the model is run.
    pub engine: EngineOptions,
    /// What is logged, and how.
    pub logging: Logging,
}

impl TryFrom<Options> for Settings {
    type Error = anyhow::Error;

    fn try_from(options: Options) -> Result<Self> {
        let (cache, sessions) = cache::of(&options)?;
        let allowed_hosts = allowed_hosts(options.allowed_host, options.host.as_deref());
        let settings = Self {
            models: options.model.into_iter().collect(),
            host: options.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: options.port.unwrap_or(8080),
            protocols: protocols(options.protocols)?,
            api_key: options.api_key,
            key_hash: None,
            from: BTreeMap::new(),
            cors_origins: options.cors_origin.unwrap_or_default(),
            allowed_hosts,
            engine: EngineOptions {
                max_batch: options.max_batch.map_or(EngineOptions::default().max_batch, Into::into),
                max_tokens: options.max_tokens.map(Into::into),
                context: options.context.map(Into::into),
                chat_template: options.chat_template,
                cache,
                sessions,
                keep_alive: options.idle_timeout.map_or(EngineOptions::default().keep_alive, |idle| idle.0),
                ..EngineOptions::default()
            },
            logging: logging(options.log_format, options.log_level, "info")?,
        };
        settings.check(options.allow_unauthenticated.unwrap_or(false))?;
        Ok(settings)
    }
}

impl Settings {
    /// What comes of `options` and of what was set in Hearth's page, which is weaker.
    ///
    /// # Errors
    /// When one of them cannot be, in a sentence that names it.
    pub async fn load(options: Options) -> Result<Self> {
        Self::with(options, &stored::read().await?)
    }

    fn with(said: Options, stored: &Stored) -> Result<Self> {
        let weaker = stored::options(stored, &said);
        let from = stored::sources(&said, &weaker);
        let settings = Self::try_from(said.or(weaker))?;
        Ok(Self { from, key_hash: stored.key_hash.clone(), ..settings })
    }

    /// Whether requests must carry a key.
    pub fn needs_key(&self) -> bool {
        self.api_key.is_some() || self.key_hash.is_some()
    }

    /// Whether only programs on this machine can reach the server.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.host)
    }

    fn check(&self, allow_unauthenticated: bool) -> Result<()> {
        if self.host.is_empty() {
            bail!("--host is empty: give an address, or leave it away");
        }
        check_api_key(self.api_key.as_deref())?;
        check_origins(&self.cors_origins)?;
        check_template(self.engine.chat_template.as_deref())?;
        if !self.is_local() && self.api_key.is_none() && !allow_unauthenticated {
            let host = &self.host;
            bail!(
                "--host {host} lets other machines use this server, and no API key is set: set --api-key, or say \
                 --allow-unauthenticated"
            );
        }
        Ok(())
    }
}

/// A name to listen on is a name by which clients come; addresses the server knows by itself.
fn allowed_hosts(given: Option<Vec<String>>, host: Option<&str>) -> Vec<String> {
    let name = host.filter(|host| bare(host).parse::<IpAddr>().is_err());
    given.unwrap_or_default().into_iter().chain(name.map(str::to_owned)).collect()
}

fn protocols(names: Option<Vec<String>>) -> Result<Protocols> {
    names.unwrap_or_default().join(",").parse().map_err(anyhow::Error::msg)
}

/// Logging as asked for; `level` is for those who did not ask.
pub(crate) fn logging(format: Option<logging::LogFormat>, asked: Option<String>, level: &str) -> Result<Logging> {
    let level = asked.unwrap_or_else(|| level.to_owned());
    logging::check_level(&level).map_err(anyhow::Error::msg)?;
    Ok(Logging { format: format.unwrap_or_default(), level })
}

fn check_api_key(key: Option<&str>) -> Result<()> {
    match key {
        Some("") => bail!("--api-key is empty: give a key, or leave it away"),
        Some(key) if !key.chars().all(|c| c.is_ascii_graphic()) => {
            bail!("--api-key may hold only visible ASCII characters, as it travels in a header")
        }
        _ => Ok(()),
    }
}

/// An origin is what a browser sends: scheme, host and perhaps a port, nothing after it. `*` is all of them.
fn check_origins(origins: &[String]) -> Result<()> {
    for origin in origins.iter().filter(|origin| *origin != "*") {
        let host = origin.split_once("://").map(|(_, host)| host);
        if !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
            bail!("--cors-origin {origin} is not an origin: write it as http://localhost:3000, without a path");
        }
    }
    Ok(())
}

fn check_template(file: Option<&Path>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    match std::fs::read_to_string(file) {
        Ok(_) => Ok(()),
        Err(error) => bail!("cannot read the chat template {}: {error}", file.display()),
    }
}

fn is_loopback(host: &str) -> bool {
    bare(host).eq_ignore_ascii_case("localhost") || bare(host).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An address of IPv6 may be written as in a URL.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut Options)) -> Result<Settings> {
        let mut options = Options::default();
        change(&mut options);
        options.try_into()
    }

    #[test]
    fn silence_gives_the_defaults() {
        let settings = settings(|_| {}).unwrap();
        assert_eq!((settings.models.len(), settings.host.as_str(), settings.port), (0, "127.0.0.1", 8080));
        assert_eq!(settings.protocols, Protocols::default());
        assert_eq!(settings.logging.level, "info");
    }

    #[test]
    fn another_host_needs_a_key_or_a_word() {
        for host in ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.2"] {
            assert!(settings(|o| o.host = Some(host.into())).is_ok(), "{host}");
        }
        for host in ["0.0.0.0", "::", "192.168.1.7", "my-mac.local"] {
            let message = settings(|o| o.host = Some(host.into())).unwrap_err().to_string();
            assert!(message.contains(host) && message.contains("--allow-unauthenticated"), "{message}");
        }
        let with = |change: fn(&mut Options)| {
            settings(|o| {
                o.host = Some("0.0.0.0".into());
                change(o);
            })
        };
        assert!(with(|o| o.api_key = Some("k".into())).is_ok());
        assert!(with(|o| o.allow_unauthenticated = Some(true)).is_ok());
    }

    #[test]
    fn the_name_that_is_listened_on_is_allowed() {
        let allowed = |host: &str| {
            let change = |o: &mut Options| (o.host, o.api_key) = (Some(host.into()), Some("k".into()));
            settings(change).unwrap().allowed_hosts
        };
        assert_eq!(allowed("my-mac.local"), ["my-mac.local"]);
        assert!(allowed("192.168.1.7").is_empty() && allowed("[::]").is_empty());
    }

    #[test]
    fn what_cannot_work_is_named() {
        type Change = fn(&mut Options);
        let table: [(Change, &str); 8] = [
            (|o| o.host = Some(String::new()), "--host is empty"),
            (|o| o.protocols = Some(vec!["openai".into(), "Grpc".into()]), "Unknown protocol 'grpc'"),
            (|o| o.api_key = Some(String::new()), "--api-key is empty"),
            (|o| o.api_key = Some("a b".into()), "--api-key"),
            (|o| o.cors_origin = Some(vec!["localhost:3000".into()]), "localhost:3000 is not an origin"),
            (|o| o.cors_origin = Some(vec!["http://a.example/".into()]), "http://a.example/ is not an origin"),
            (|o| o.chat_template = Some("no/such.jinja".into()), "no/such.jinja"),
            (|o| o.log_level = Some("loud".into()), "`loud` is not a log level"),
        ];
        for (change, culprit) in table {
            let message = settings(change).unwrap_err().to_string();
            assert!(message.contains(culprit), "{message}");
        }
    }
}
