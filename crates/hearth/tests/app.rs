//! Another program around the crate, as the desktop app is: it brings the listener and the end, and its models run in child
//! processes of its own. Without the test harness, since this program is also those.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::process::{Command, ExitCode};

use hearth::port::{self, BindError};
use hearth::settings::Options;
use hearth::{Settings, Stage};
use tokio::sync::oneshot;

const APP: &str = "HEARTH_TEST_APP";

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == "worker") {
        return hearth::cli::main();
    }
    if std::env::var_os(APP).is_some() {
        tokio::runtime::Runtime::new().unwrap().block_on(app());
        return ExitCode::SUCCESS;
    }
    let home = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let status = Command::new(this).env(APP, "1").env("HEARTH_HOME", home.path()).status().unwrap();
    assert!(status.success(), "{status}");
    assert!(home.path().join("hearth.db").is_file() && !home.path().join("server.json").exists());
    println!("a server of another program starts, tells its link, and ends");
    ExitCode::SUCCESS
}

async fn app() {
    let listener = port::bind("127.0.0.1", 0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let Err(BindError::Taken { port, holder, .. }) = port::bind("127.0.0.1", address.port()).await else {
        panic!("the port is taken")
    };
    assert_eq!((port, holder.unwrap().pid), (address.port(), std::process::id()));
    assert!(port::next_free("127.0.0.1", port).await > Some(port));
    let settings = Settings::load(Options::default()).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (mut stop, mut told) = (Some(stop), Vec::new());
    let tell = |stage: Stage<'_>| match stage {
        Stage::Loading(model) => told.push(model.to_owned()),
        Stage::Serving(ready) => told.push(ready.link().unwrap().split_once("key=").unwrap().0.to_owned()),
        Stage::Ready(_) => drop(stop.take()),
    };
    hearth::serve(&settings, listener, async { drop(stopped.await) }, tell).await.unwrap();
    assert_eq!(told, ["ember".to_owned(), format!("http://{address}/ui/#")]);
    port::bind("127.0.0.1", port).await.expect("it is free again");
}
