//! One server from its listener to its end: the engine, the routes before it, and the order in which they stop.

use std::ffi::OsString;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use hearth_engine::{Engine, EngineOptions, ModelSpec, Placement};
use hearth_server::admin::{Admin, AdminOptions};
use hearth_server::library::Library;
use hearth_server::{Protocols, ServeOptions, ServerOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::paths::{self, process_env};
use crate::server_file::{self, ServerFile};
use crate::settings::Settings;
use crate::{library, logging, model, port};

/// How long requests may run on after the server was told to stop; then they are told so.
const GRACE: Duration = Duration::from_secs(2);

/// How long the start waits for the first look through all folders: one may be on a disk that does not answer.
const FIRST_SCAN: Duration = Duration::from_secs(5);

/// What a server says of itself on its way.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// This model is about to be loaded, as people call it.
    Loading(&'a str),
    /// It is loaded.
    Ready(&'a Ready),
}

/// What a server says of itself when its first model is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The models that it was asked to serve as people call them, else the default one; the default one first.
    pub model: String,
    /// The protocols that it speaks.
    pub protocols: Protocols,
    /// Where it listens.
    pub base_url: String,
    /// Whether requests must carry a key.
    pub authenticated: bool,
}

/// Serves `settings.models`, and all others on this machine, on `listener` until `shutdown`. The first is loaded, and the
/// others when they are asked for. Requests are taken from then on: those that need the first wait for it. Where it was
/// named, and cannot be loaded, that ends it all.
pub async fn serve(
    settings: &Settings,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    mut tell: impl FnMut(Stage<'_>),
) -> Result<()> {
    let base_url = port::base_url(listener.local_addr().context("the listener has no address")?);
    tracing::info!("listening on {base_url}");
    let data = paths::data_dir(process_env)?;
    let library = library::open(&settings.models).await?;
    match timeout(FIRST_SCAN, library.scan()).await {
        Ok(scanned) => scanned?,
        Err(_) => tracing::warn!("looking for models takes long: those that are not found yet come later"),
    }
    let token = server_file::token().context("the system gives no random numbers")?;
    let admin = Admin::new(AdminOptions {
        named: named(&library, &settings.models).await?,
        memory_limit: settings.engine.cache.limit.unwrap_or_else(|| library.memory_limit()),
        library,
        token: token.clone(),
        url: base_url.clone(),
        logs: logging::tail(),
    });
    let specs = admin.specs().await?;
    let default = specs.first().map_or(String::new(), |spec| spec.id.clone());
    let ready = Ready {
        model: if settings.models.is_empty() { default.clone() } else { model::display_all(&settings.models) },
        protocols: settings.protocols.clone(),
        base_url,
        authenticated: settings.api_key.is_some(),
    };
    tell(Stage::Loading(&settings.models.first().map_or(default, |name| model::display(name))));
    let engine = engine(specs, settings.engine.clone(), &settings.logging.level)?;
    let router = hearth_server::router(engine.clone(), server_options(settings, admin.clone()));
    let _file = ServerFile::write(&data, &ready.base_url, &token)
        .with_context(|| format!("cannot write server.json into {} (HEARTH_HOME)", data.display()))?;
    let (stop, mut stopped) = watch::channel(false);
    let stopping = async move {
        // A sender that is gone means the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let mut server =
        tokio::spawn(async move { hearth_server::serve(listener, router, &ServeOptions::default(), stopping).await });

    let outcome = tokio::select! {
        outcome = run(&engine, settings.models.first(), shutdown, || tell(Stage::Ready(&ready))) => outcome,
        () = admin.run(&engine) => Ok(()),
        ended = &mut server => return Ok(ended??),
    };
    stop.send_replace(true);
    admin.close();
    let ended = timeout(GRACE, &mut server).await;
    engine.shutdown().await;
    admin.count_uses(&engine).await;
    match ended {
        Ok(ended) => ended??,
        Err(_) => server.await??,
    }
    outcome
}

/// The models that were named, by a folder or by what the library calls them.
async fn named(library: &Library, names: &[String]) -> Result<Vec<ModelSpec>> {
    let mut specs = Vec::new();
    for name in names {
        let known = if Path::new(name).is_dir() { None } else { library.model(name).await.ok() };
        specs.push(match known {
            Some(model) => ModelSpec { id: model.id, source: model.source, dir: model.dir, ..ModelSpec::default() },
            None => model::find(name)?,
        });
    }
    Ok(specs)
}

/// Loads the first model, then waits for the end; the end may come first. A model that nobody has named is worth a warning.
async fn run(
    engine: &Engine,
    named: Option<&String>,
    shutdown: impl Future<Output = ()>,
    on_ready: impl FnOnce(),
) -> Result<()> {
    let mut shutdown = pin!(shutdown);
    let loaded = tokio::select! {
        () = &mut shutdown => return Ok(()),
        loaded = engine.load("", None) => loaded,
    };
    match (loaded, named) {
        (Err(error), Some(name)) => return Err(error).with_context(|| format!("cannot load {name}")),
        (Err(error), None) => tracing::warn!("the default model cannot be loaded: {error}"),
        (Ok(_), _) => {}
    }
    on_ready();
    shutdown.await;
    Ok(())
}

/// An engine for these models, whose workers are child processes of this same program. Nothing is started yet.
pub fn engine(models: Vec<ModelSpec>, options: EngineOptions, log_level: &str) -> Result<Engine> {
    let executable = std::env::current_exe().context("cannot find Hearth's own program file")?;
    let args = ["worker", "--log-level", log_level].map(OsString::from).to_vec();
    Ok(Engine::new(models, Placement::Process { executable, args }, options))
}

fn server_options(settings: &Settings, admin: Admin) -> ServerOptions {
    ServerOptions {
        protocols: settings.protocols.clone(),
        api_key: settings.api_key.clone(),
        cors_origins: settings.cors_origins.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        admin: Some(admin),
        ..ServerOptions::default()
    }
}
