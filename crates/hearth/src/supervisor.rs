//! One server from its listener to its end: the engine, the routes before it, and the order in which they stop.

use std::ffi::OsString;
use std::future::{Future, pending};
use std::net::SocketAddr;
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

use crate::glance::{self, Glance};
use crate::paths::{self, process_env};
use crate::server_file::{self, ServerFile};
use crate::settings::Settings;
use crate::{ember, library, limits, logging, model, port, ui};

/// How long requests may run on after the server was told to stop; then they are told so.
const GRACE: Duration = Duration::from_secs(2);

/// How long the start waits for the first look through all folders: one may be on a disk that does not answer.
const FIRST_SCAN: Duration = Duration::from_secs(5);

/// What a server says of itself on its way.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// Requests are taken, and the page can be opened.
    Serving(&'a Ready),
    /// This model is about to be loaded, as people call it.
    Loading(&'a str),
    /// It is loaded.
    Ready(&'a Ready),
}

/// What a server says of itself.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The models that it was asked to serve as people call them, else the default one; the default one first.
    pub model: String,
    /// The protocols that it speaks.
    pub protocols: Protocols,
    /// Where it listens.
    pub base_url: String,
    /// Whether requests must carry a key.
    pub authenticated: bool,
    /// What manages it; none where there is no place for data.
    pub admin: Option<Admin>,
    /// How it is from now on, at a glance.
    pub glances: watch::Receiver<Glance>,
}

impl Ready {
    /// A new link that opens Hearth's page once; none where the page could not be used: only loopback's addresses
    /// manage a server.
    pub fn link(&self) -> Option<String> {
        let admin = self.admin.as_ref().filter(|_| self.is_managed())?;
        admin.link().inspect_err(|error| tracing::warn!("no link: {error}")).ok()
    }

    /// Whether its page can be used.
    pub fn is_managed(&self) -> bool {
        self.admin.is_some() && port::is_local(&self.base_url)
    }
}

/// Serves `settings.models`, and all others on this machine, on `listener` until `shutdown`. The first is loaded, and the
/// others when they are asked for. Requests are taken from then on: those that need the first wait for it. Where it was
/// named, or is Ember, and cannot be loaded, that ends it all.
pub async fn serve(
    settings: &Settings,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    mut tell: impl FnMut(Stage<'_>),
) -> Result<()> {
    limits::raise_open_files();
    let address = listener.local_addr().context("the listener has no address")?;
    let base_url = port::base_url(address);
    tracing::info!("listening on {base_url}");
    let mut shutdown = pin!(shutdown);
    let library = tokio::select! {
        () = &mut shutdown => return Ok(()),
        library = library(settings) => library?,
    };
    let named = named(library.as_ref(), &settings.models).await?;
    let managed = library.map(|library| Managed::new(settings, library, named.clone(), address)).transpose()?;
    let specs = match &managed {
        Some(managed) => managed.admin.specs().await?,
        None => named.clone(),
    };
    tell_names(&named, &specs);
    let first = First::of(settings, &specs);
    let admin = managed.as_ref().map(|managed| managed.admin.clone());
    let engine = engine(specs, settings.engine.clone(), &settings.logging.level)?;
    let (glances, seen) = watch::channel(glance::of(&engine, admin.as_ref().map(Admin::library)));
    let ready = Ready {
        model: if settings.models.is_empty() { first.name.clone() } else { model::display_all(&settings.models) },
        protocols: settings.protocols.clone(),
        base_url,
        authenticated: settings.needs_key(),
        admin: admin.clone(),
        glances: seen,
    };
    tell(Stage::Loading(&model::display(&first.name)));
    let router = hearth_server::router(engine.clone(), server_options(settings, admin.clone()));
    let (stop, mut stopped) = watch::channel(false);
    let stopping = async move {
        // A sender that is gone means the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let mut server =
        tokio::spawn(async move { hearth_server::serve(listener, router, &ServeOptions::default(), stopping).await });

    tell(Stage::Serving(&ready));
    let outcome = tokio::select! {
        outcome = run(&engine, &first, &mut shutdown, || tell(Stage::Ready(&ready))) => outcome,
        () = manage(admin.as_ref(), &engine) => Ok(()),
        () = glance::follow(&engine, admin.as_ref().map(Admin::library), &glances) => Ok(()),
        ended = &mut server => return Ok(ended??),
    };
    stop.send_replace(true);
    if let Some(admin) = &admin {
        admin.close();
    }
    let ended = timeout(GRACE, &mut server).await;
    engine.shutdown().await;
    if let Some(admin) = &admin {
        admin.count_uses(&engine).await;
    }
    match ended {
        Ok(ended) => ended??,
        Err(_) => server.await??,
    }
    outcome
}

/// The library, looked through once. Where there is no place for data, models that were named are served without it.
async fn library(settings: &Settings) -> Result<Option<Library>> {
    let names = &settings.models;
    let library = match library::open(names).await {
        Ok(library) => library,
        // A key that was made is checked by what manages the server.
        Err(error) if !names.is_empty() && settings.key_hash.is_none() => {
            tracing::warn!("only the models that were named are served, and not managed: {error:#}");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match timeout(FIRST_SCAN, library.scan()).await {
        Ok(scanned) => scanned?,
        Err(_) => tracing::warn!("looking for models takes long: those that are not found yet come later"),
    }
    Ok(Some(library))
}

/// The models that were named, by a folder or by what the library calls them.
async fn named(library: Option<&Library>, names: &[String]) -> Result<Vec<ModelSpec>> {
    let mut specs: Vec<ModelSpec> = Vec::new();
    for name in names {
        let known = match library {
            Some(library) if !Path::new(name).is_dir() => library.model(name).await.ok(),
            _ => None,
        };
        let spec = match known {
            Some(model) => ModelSpec { id: model.id, source: model.source, dir: model.dir, ..ModelSpec::default() },
            None => model::find(name)?,
        };
        if specs.iter().all(|other| other.dir != spec.dir) {
            specs.push(spec);
        }
    }
    Ok(specs)
}

/// Says which of the models that were named are called otherwise, because another model on this machine has their name.
fn tell_names(named: &[ModelSpec], specs: &[ModelSpec]) {
    for (named, spec) in named.iter().zip(specs).filter(|(named, spec)| named.id != spec.id) {
        tracing::info!(
            "clients call {} `{}`: its folder's name is another model's, or it was renamed",
            named.source,
            spec.id
        );
    }
}

/// What makes a server manageable.
struct Managed {
    admin: Admin,
    _file: ServerFile,
}

impl Managed {
    fn new(settings: &Settings, library: Library, named: Vec<ModelSpec>, address: SocketAddr) -> Result<Self> {
        let url = port::base_url(address);
        let data = paths::data_dir(process_env)?;
        let written = server_file::token(&data).and_then(|token| Ok((ServerFile::write(&data, &url, &token)?, token)));
        let (file, token) = written
            .with_context(|| format!("cannot write token and server.json into {} (HEARTH_HOME)", data.display()))?;
        let memory_limit = settings.engine.cache.limit.unwrap_or_else(|| library.memory_limit());
        let running = settings.running(address.port(), memory_limit);
        let logs = logging::tail();
        let admin = Admin::new(AdminOptions { library, named, token, url, logs, memory_limit, running });
        Ok(Self { admin, _file: file })
    }
}

async fn manage(admin: Option<&Admin>, engine: &Engine) {
    match admin {
        Some(admin) => admin.run(engine).await,
        None => pending().await,
    }
}

/// The model that is loaded at the start.
struct First {
    name: String,
    /// Whether the server is of no use without it: it was named, or it is the built-in one. One that was chosen in the
    /// settings may be too large by now; then another is chosen there.
    needed: bool,
}

impl First {
    fn of(settings: &Settings, specs: &[ModelSpec]) -> Self {
        match (settings.models.first(), specs.first()) {
            (Some(name), _) => Self { name: name.clone(), needed: true },
            (None, Some(spec)) => Self { name: spec.id.clone(), needed: spec.source == ember::NAME },
            (None, None) => Self { name: String::new(), needed: true },
        }
    }
}

/// Loads the first model, then waits for the end; the end may come first.
async fn run(
    engine: &Engine,
    first: &First,
    mut shutdown: impl Future<Output = ()> + Unpin,
    on_ready: impl FnOnce(),
) -> Result<()> {
    let loaded = tokio::select! {
        () = &mut shutdown => return Ok(()),
        loaded = engine.load("", None) => loaded,
    };
    match loaded.with_context(|| format!("cannot load {}", first.name)) {
        Err(error) if first.needed => return Err(error),
        Err(error) => tracing::warn!("{error:#}"),
        Ok(_) => {}
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

fn server_options(settings: &Settings, admin: Option<Admin>) -> ServerOptions {
    ServerOptions {
        protocols: settings.protocols.clone(),
        api_key: settings.api_key.clone(),
        cors_origins: settings.cors_origins.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        admin,
        ui: Some(ui::file),
        ..ServerOptions::default()
    }
}
