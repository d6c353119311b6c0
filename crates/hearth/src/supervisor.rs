//! One server from its listener to its end: the engine, the routes before it, and the order in which they stop.

use std::ffi::OsString;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use hearth_engine::{Engine, EngineOptions, Placement};
use hearth_server::{Protocols, ServeOptions, ServerOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::settings::Settings;
use crate::{model, port};

/// How long requests may run on after the server was told to stop; then they are told so.
const GRACE: Duration = Duration::from_secs(2);

/// What a server says of itself when its first model is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The models as people call them, the default one first.
    pub model: String,
    /// The protocols that it speaks.
    pub protocols: Protocols,
    /// Where it listens.
    pub base_url: String,
    /// Whether requests must carry a key.
    pub authenticated: bool,
}

/// Serves `settings.models` on `listener` until `shutdown`; `on_ready` is called once the first is loaded. Requests are
/// taken from the first moment on: those that need it wait for it, and the others are loaded when they are asked for. A
/// first model that cannot be loaded ends it all.
pub async fn serve(
    settings: &Settings,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    on_ready: impl FnOnce(&Ready),
) -> Result<()> {
    let ready = Ready {
        model: model::display_all(&settings.models),
        protocols: settings.protocols.clone(),
        base_url: port::base_url(listener.local_addr().context("the listener has no address")?),
        authenticated: settings.api_key.is_some(),
    };
    tracing::info!("listening on {}", ready.base_url);
    let engine = engine(&settings.models, settings.engine.clone(), &settings.logging.level)?;
    let router = hearth_server::router(engine.clone(), server_options(settings));
    let (stop, mut stopped) = watch::channel(false);
    let stopping = async move {
        // A sender that is gone means the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let mut server =
        tokio::spawn(async move { hearth_server::serve(listener, router, &ServeOptions::default(), stopping).await });

    let outcome = tokio::select! {
        outcome = run(&engine, shutdown, || on_ready(&ready)) => outcome.with_context(|| format!("cannot load {}", settings.models[0])),
        ended = &mut server => return Ok(ended??),
    };
    stop.send_replace(true);
    let ended = timeout(GRACE, &mut server).await;
    engine.shutdown().await;
    match ended {
        Ok(ended) => ended??,
        Err(_) => server.await??,
    }
    outcome
}

/// Loads the first model, then waits for the end; the end may come first.
async fn run(engine: &Engine, shutdown: impl Future<Output = ()>, on_ready: impl FnOnce()) -> Result<()> {
    let mut shutdown = pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => return Ok(()),
        loaded = engine.load("", None) => { loaded?; }
    };
    on_ready();
    shutdown.await;
    Ok(())
}

/// An engine for these models, whose workers are child processes of this same program. Nothing is started yet.
pub fn engine(models: &[String], options: EngineOptions, log_level: &str) -> Result<Engine> {
    let models = model::find_all(models)?;
    let executable = std::env::current_exe().context("cannot find Hearth's own program file")?;
    let args = ["worker", "--log-level", log_level].map(OsString::from).to_vec();
    Ok(Engine::new(models, Placement::Process { executable, args }, options))
}

fn server_options(settings: &Settings) -> ServerOptions {
    ServerOptions {
        protocols: settings.protocols.clone(),
        api_key: settings.api_key.clone(),
        cors_origins: settings.cors_origins.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        ..ServerOptions::default()
    }
}
