//! `hearth serve`: listens first, loads the first model behind it, and says when both are done.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use hearth_server::Protocol;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::fail;
use crate::settings::{self, Options, Settings};
use crate::supervisor::{self, Ready, Stage};
use crate::{logging, port};

const AFTER_HELP: &str = "\
Every option can also be set as a variable of the environment (--max-tokens as HEARTH_MAX_TOKENS)
and in the configuration file (max-tokens = 512). A flag is stronger than a variable, a variable than
the file, and the file than what was set in Hearth's page. HEARTH_HOME is the folder for Hearth's own
data.

Examples:
  hearth serve
  hearth serve ~/models/Qwen3-4B-4bit --port 9000
  hearth serve mlx-community/Qwen3-4B-4bit --max-tokens 2048
  hearth serve ember ~/models/Qwen3-4B-4bit --memory 12G --idle-timeout 30m
  HEARTH_API_KEY=secret hearth serve --host 0.0.0.0";

const EXIT_PORT_TAKEN: u8 = 2;

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Models to serve first: folders, or names of models that are on this machine. The first is the default, and loaded at
    /// once; all others on this machine when they are asked for [default: the one chosen in the settings, else ember]
    #[arg(value_name = "MODEL")]
    names: Vec<String>,

    /// Configuration file, in TOML
    #[arg(short = 'C', long, env = "HEARTH_CONFIG", hide_env = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let taken = matches!(error.downcast_ref(), Some(port::BindError::Taken { .. }));
            let code = fail(&error);
            if taken { ExitCode::from(EXIT_PORT_TAKEN) } else { code }
        }
    }
}

async fn read(arguments: Arguments) -> Result<Settings> {
    let file = arguments.config.as_deref().map(Options::read).transpose()?.unwrap_or_default();
    let options = arguments.options.or(file);
    // What is said of the settings already goes to the log as it was asked for.
    logging::init(&settings::logging(options.log_format, options.log_level.clone(), "info")?);
    let settings = Settings::load(options).await?;
    let models = if arguments.names.is_empty() { settings.models } else { arguments.names };
    Ok(Settings { models, ..settings })
}

fn serve(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the threads of the server")?;
    runtime.block_on(async {
        let settings = read(arguments).await?;
        let shutdown = stop_signal()?;
        let listener = port::bind(&settings.host, settings.port).await?;
        warn_of_strangers(&settings);
        let tell = |stage: Stage<'_>| match stage {
            Stage::Loading(model) => say(&format!("Loading model: {model}\n")),
            Stage::Serving(ready) => ready.link().iter().for_each(|link| say(&format!("Open in a browser: {link}\n"))),
            Stage::Ready(ready) => say(&banner(ready)),
        };
        supervisor::serve(&settings, listener, shutdown, tell).await
    })
}

/// Resolves at the first SIGINT or SIGTERM; the second ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let (first, stop) = oneshot::channel();
    tokio::spawn(async move {
        let mut next = async || tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} };
        next().await;
        tracing::info!("stopping; once more to stop at once");
        // Nobody waits for it when the server has ended by itself.
        let _ = first.send(());
        next().await;
        std::process::exit(1);
    });
    Ok(async move {
        // The task above never drops its end before it has sent.
        let _ = stop.await;
    })
}

fn warn_of_strangers(settings: &Settings) {
    if settings.is_local() {
        return;
    }
    let key = if settings.needs_key() { "with the API key" } else { "without any key" };
    tracing::warn!("listening on {}: other machines can use this server, {key}", settings.host);
}

/// For people and for programs that wait for it. Nobody may be reading, and that is fine.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn banner(ready: &Ready) -> String {
    let rule = "=".repeat(60);
    let mut lines = vec![
        String::new(),
        rule.clone(),
        "Hearth is ready".to_owned(),
        format!("Model     : {}", ready.model),
        format!("Protocols : {}", ready.protocols),
        format!("Base URL  : {}", ready.base_url),
    ];
    if ready.protocols.contains(Protocol::OpenAi) {
        lines.push(format!("OpenAI URL: {}/v1", ready.base_url));
    }
    if ready.authenticated {
        lines.push("Auth      : Bearer token enabled".to_owned());
    }
    lines.push(rule);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use hearth_server::Protocols;

    use super::*;

    #[test]
    fn the_banner_says_where_and_what() {
        let ready = Ready {
            model: "ember".into(),
            protocols: Protocols::default(),
            base_url: "http://127.0.0.1:8080".into(),
            authenticated: true,
            admin: None,
            glances: tokio::sync::watch::channel(crate::Glance::default()).1,
        };
        let rule = "=".repeat(60);
        let expected = format!(
            "\n{rule}\nHearth is ready\nModel     : ember\nProtocols : openai\nBase URL  : http://127.0.0.1:8080\n\
             OpenAI URL: http://127.0.0.1:8080/v1\nAuth      : Bearer token enabled\n{rule}\n"
        );
        assert_eq!(banner(&ready), expected);
        assert!(!banner(&Ready { authenticated: false, ..ready }).contains("Auth"));
    }
}
