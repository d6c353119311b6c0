//! Logs go to standard error, for people or as one JSON object a line; standard output is for answers.
//!
//! Logs hold names, counts and times, never what a client or a model wrote.

use std::io::{self, IsTerminal};
use std::sync::LazyLock;

use clap::ValueEnum;
use hearth_server::admin::LogTail;
use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// For programs: one JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Human or JSON.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `hearth_engine=debug,info`.
    pub level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned() }
    }
}

/// A filter that can be used, or one sentence that says why not.
pub fn check_level(level: &str) -> Result<(), String> {
    let words = ["error", "warn", "info", "debug", "trace", "off"];
    let known = words.contains(&level) || level.contains('=') || level.contains(',');
    match EnvFilter::try_new(level) {
        Ok(_) if known => Ok(()),
        _ => Err(format!("`{level}` is not a log level; use error, warn, info, debug or trace")),
    }
}

/// Starts logging for this process. A second call changes nothing, so that tests and embedders may have their own.
pub fn init(logging: &Logging) {
    // The library that watches folders tells of each one that is gone.
    let level = format!("notify=warn,{}", logging.level);
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match logging.format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let kept = fmt::layer().with_ansi(false).with_target(false).with_writer(tail);
    drop(registry().with(filter).with(lines).with(kept).try_init());
}

/// The last lines that were logged.
pub(crate) fn tail() -> LogTail {
    static TAIL: LazyLock<LogTail> = LazyLock::new(LogTail::default);
    TAIL.clone()
}

/// Starts logging for a worker: its server adds the time, and hands its lines on.
pub fn init_worker(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    drop(lines.with_ansi(false).with_target(false).without_time().try_init());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_known_and_typing_errors_are_not() {
        for level in ["error", "warn", "info", "debug", "trace", "off", "hearth_engine=debug,info"] {
            assert_eq!(check_level(level), Ok(()), "{level}");
        }
        for level in ["verbose", "", "hearth=loud"] {
            assert!(check_level(level).is_err(), "{level}");
        }
    }
}
