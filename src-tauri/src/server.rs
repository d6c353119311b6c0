//! The server inside the app: started, stopped, and how it is. It runs on a thread with a runtime of its own, so that its end takes
//! along all that it began.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use hearth::{
    Ready, Settings, Stage,
    port::{self, BindError},
    settings::Options,
};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

/// How long quitting waits for workers that write their caches; a log-out must not wait longer for an app.
const AT_EXIT: Duration = Duration::from_secs(4);

/// How the server is.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    #[default]
    Stopped,
    Starting,
    Ready {
        url: String,
        #[serde(skip)]
        server: Ready,
    },
    Failed {
        /// One sentence.
        error: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        port_taken: Option<PortTaken>,
    },
}

impl State {
    fn from_error(error: &impl ToString) -> Self {
        Self::Failed { error: error.to_string(), port_taken: None }
    }
}

/// A port that another program has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PortTaken {
    port: u16,
    /// Its name and process.
    holder: Option<String>,
    /// The next port that is free.
    free: Option<u16>,
}

/// The one server of the app.
#[derive(Default)]
pub(crate) struct Server {
    state: watch::Sender<State>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Starts it, on another port than the settings' where one is given; nothing where it runs.
    pub(crate) fn start(&self, port: Option<u16>) {
        let mut running = self.running();
        if running.as_ref().is_some_and(|running| !running.thread.is_finished()) {
            return;
        }
        self.state.send_replace(State::Starting);
        let (stop, stopped) = oneshot::channel();
        let state = self.state.clone();
        let thread = thread::Builder::new().name("server".into()).spawn(move || {
            let ended = tokio::runtime::Runtime::new().map(|runtime| runtime.block_on(run(port, stopped, &state)));
            state.send_replace(ended.unwrap_or_else(|error| State::from_error(&error)));
        });
        match thread {
            Ok(thread) => *running = Some(Running { stop, thread }),
            Err(error) => drop(self.state.send_replace(State::from_error(&error))),
        }
    }

    /// Stops it in order; returns when it has ended.
    pub(crate) async fn stop(&self) {
        let Some(Running { stop, thread }) = self.running().take() else { return };
        // An error: it has ended by itself.
        let _ = stop.send(());
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }

    /// Stops it, waiting for a short time only. Workers end with this process in any case.
    pub(crate) fn stop_at_exit(&self) {
        let Some(Running { stop, thread }) = self.running().take() else { return };
        let _ = stop.send(());
        let until = Instant::now() + AT_EXIT;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until it is stopped, or fails.
async fn run(port: Option<u16>, stopped: oneshot::Receiver<()>, state: &watch::Sender<State>) -> State {
    match serve(port, stopped, state).await {
        Ok(()) => State::Stopped,
        Err(error) => match error.downcast_ref() {
            Some(BindError::Taken { host, port, holder }) => {
                let free = port::next_free(host, *port).await;
                let port_taken = PortTaken { port: *port, holder: holder.as_ref().map(ToString::to_string), free };
                State::Failed { error: error.to_string(), port_taken: Some(port_taken) }
            }
            _ => State::from_error(&format!("{error:#}")),
        },
    }
}

async fn serve(port: Option<u16>, stopped: oneshot::Receiver<()>, state: &watch::Sender<State>) -> Result<()> {
    let mut settings = Settings::load(Options::of_environment()?).await?;
    settings.port = port.unwrap_or(settings.port);
    let listener = port::bind(&settings.host, settings.port).await?;
    let shutdown = async { drop(stopped.await) };
    let tell = |stage: Stage<'_>| {
        if let Stage::Serving(server) = stage {
            state.send_replace(State::Ready { url: server.base_url.clone(), server: server.clone() });
        }
    };
    hearth::serve(&settings, listener, shutdown, tell).await
}
