//! The management API for one command, where no server runs: on a free port of this machine, behind a token that nobody else
//! is told. It ends with the command, and loads no model.

use std::future::pending;

use anyhow::{Context, Result};
use hearth_engine::EngineOptions;
use hearth_server::admin::{Admin, AdminOptions, LogTail, Running};
use hearth_server::{ServeOptions, ServerOptions};
use tokio::runtime::Runtime;

use crate::logging::{self, LogFormat, Logging};
use crate::{library, port, supervisor};

const LEVEL: &str = "warn";

pub(super) struct Local {
    pub(super) url: String,
    pub(super) token: String,
    /// Serves for as long as it lives.
    pub(super) runtime: Runtime,
}

/// Looks for the models on this machine, and serves what can be done with them.
pub(super) fn start() -> Result<Local> {
    logging::init(&Logging { format: LogFormat::Human, level: LEVEL.to_owned() });
    let token = hearth_server::secret().context("the system gives no random numbers")?;
    let runtime = Runtime::new().context("cannot start the threads of the program")?;
    let url = runtime.block_on(serve(&token))?;
    Ok(Local { url, token, runtime })
}

async fn serve(token: &str) -> Result<String> {
    let library = library::open(&[]).await?;
    library.scan().await?;
    let listener = port::bind("127.0.0.1", 0).await?;
    let url = port::base_url(listener.local_addr().context("the listener has no address")?);
    let (named, logs, running) = (Vec::new(), LogTail::default(), Running::default());
    let (token, memory_limit) = (token.to_owned(), 0);
    let admin = AdminOptions { library, named, token: token.clone(), url: url.clone(), logs, memory_limit, running };
    // The key keeps everybody from all other routes.
    let (api_key, admin) = (Some(token), Some(Admin::new(admin)));
    let engine = supervisor::engine(Vec::new(), EngineOptions::default(), LEVEL)?;
    let router = hearth_server::router(engine, ServerOptions { api_key, admin, ..ServerOptions::default() });
    tokio::spawn(async { hearth_server::serve(listener, router, &ServeOptions::default(), pending()).await });
    Ok(url)
}
