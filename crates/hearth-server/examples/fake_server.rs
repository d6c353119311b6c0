//! A server whose model answers everything at once with a long text: what is left is the server's own cost, which
//! `cargo xtask bench` measures. Prints its port and serves until it is killed.

use std::{error::Error, sync::Arc};

use hearth_engine::{Engine, EngineOptions, LoadRequest, ModelSpec, Placement, Progress, fake};
use hearth_server::{ServeOptions, ServerOptions, router, serve};

/// Tokens of an answer, a byte each.
const ANSWER: usize = 32 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    fake::write_model(folder.path())?;
    let spec =
        ModelSpec { id: "fake".into(), source: "fake".into(), dir: folder.path().into(), ..ModelSpec::default() };
    let runner = |_: &LoadRequest, _: Progress<'_>| {
        let runner = fake::FakeRunner::saying(&"word ".repeat(ANSWER / 5)).with_context(2 * ANSWER);
        Ok(Box::new(runner) as _)
    };
    let engine = Engine::new(vec![spec], Placement::Thread(Arc::new(runner)), EngineOptions::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let router = router(engine, ServerOptions::default());
    Ok(serve(listener, router, &ServeOptions::default(), std::future::pending()).await?)
}
