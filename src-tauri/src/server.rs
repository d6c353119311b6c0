//! The server inside the app: started, stopped, and how it is. It runs on a thread with a runtime of its own, so that its end takes
//! along all that it began.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use hearth::{
    Ready, Settings, Stage,
    port::{self, BindError},
    settings::Options,
};
use serde::Serialize;
use tokio::{
    runtime::Runtime,
    sync::{oneshot, watch},
};

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
    Stopping,
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
    /// Where it listens in place of a port that somebody has; that one comes first.
    instead: Arc<Mutex<Option<(u16, u16)>>>,
}

/// A server from its start until nothing of it is left.
struct Running {
    /// None once it was used.
    stop: Option<oneshot::Sender<()>>,
    /// Closed at its end, in whatever way it comes.
    alive: watch::Receiver<()>,
}

impl Server {
    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Starts it, on another port than the settings' where one is given; nothing where it runs. One that is stopping ends first,
    /// for it has the port.
    pub(crate) fn start(&self, port: Option<u16>) {
        let mut running = self.running();
        let last = running.take().filter(Running::is_alive);
        if last.as_ref().is_some_and(|last| last.stop.is_some()) {
            *running = last;
            return;
        }
        let (stop, stopped) = oneshot::channel();
        let (life, alive) = watch::channel(());
        let (state, place) = (self.state.clone(), Place { chosen: port, instead: self.instead.clone() });
        let thread = thread::Builder::new().name("server".into()).spawn(move || {
            let _life = life;
            live(last, place, stopped, &state);
        });
        match thread {
            Ok(_) => *running = Some(Running { stop: Some(stop), alive }),
            Err(error) => drop(self.state.send_replace(State::from_error(&error))),
        }
    }

    /// Stops it in order; returns when it has ended.
    pub(crate) async fn stop(&self) {
        let Some(mut alive) = self.begin_to_stop() else { return };
        while alive.changed().await.is_ok() {}
    }

    /// Stops it, waiting for a short time only. Workers end with this process in any case.
    pub(crate) fn stop_at_exit(&self) {
        let Some(alive) = self.begin_to_stop() else { return };
        let until = Instant::now() + AT_EXIT;
        while alive.has_changed().is_ok() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn begin_to_stop(&self) -> Option<watch::Receiver<()>> {
        let mut running = self.running();
        let running = running.as_mut()?;
        if let Some(stop) = running.stop.take() {
            self.state.send_if_modified(|state| {
                let runs = matches!(state, State::Starting | State::Ready { .. });
                if runs {
                    *state = State::Stopping;
                }
                runs
            });
            // An error: it has ended by itself.
            let _ = stop.send(());
        }
        Some(running.alive.clone())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn is_alive(&self) -> bool {
        self.alive.has_changed().is_ok()
    }
}

/// Runs a server on this thread, after the last one.
fn live(last: Option<Running>, place: Place, stopped: oneshot::Receiver<()>, state: &watch::Sender<State>) {
    let ended = Runtime::new().map(|runtime| {
        let ended = runtime.block_on(async {
            if let Some(mut last) = last {
                while last.alive.changed().await.is_ok() {}
            }
            become_unless_stopping(state, State::Starting);
            let server = tokio::spawn(run(place, stopped, state.clone()));
            server
                .await
                .unwrap_or_else(|fault| State::from_error(&format!("the server broke off ({fault}); start it again")))
        });
        // A folder on a disk that does not answer holds nobody.
        runtime.shutdown_timeout(AT_EXIT);
        ended
    });
    state.send_replace(ended.unwrap_or_else(|error| State::from_error(&error)));
}

/// Somebody may have told it to stop already.
fn become_unless_stopping(state: &watch::Sender<State>, new: State) {
    state.send_if_modified(|state| {
        let goes_on = !matches!(state, State::Stopping);
        if goes_on {
            *state = new;
        }
        goes_on
    });
}

/// Where a server listens.
struct Place {
    /// In place of the settings' port.
    chosen: Option<u16>,
    /// What was chosen before, and in place of what.
    instead: Arc<Mutex<Option<(u16, u16)>>>,
}

impl Place {
    /// A port that was chosen stays so, until the settings have another one.
    fn port(&self, set: u16) -> u16 {
        let mut instead = self.instead.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chosen) = self.chosen {
            *instead = Some((set, chosen));
        }
        instead.filter(|(taken, _)| *taken == set).map_or(set, |(_, chosen)| chosen)
    }
}

/// Runs until it is stopped, or fails.
async fn run(place: Place, stopped: oneshot::Receiver<()>, state: watch::Sender<State>) -> State {
    match serve(&place, stopped, &state).await {
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

async fn serve(place: &Place, stopped: oneshot::Receiver<()>, state: &watch::Sender<State>) -> Result<()> {
    let mut settings = Settings::load(Options::of_environment()?).await?;
    settings.port = place.port(settings.port);
    let listener = port::bind(&settings.host, settings.port).await?;
    let shutdown = async { drop(stopped.await) };
    let tell = |stage: Stage<'_>| {
        if let Stage::Serving(server) = stage {
            become_unless_stopping(state, State::Ready { url: server.base_url.clone(), server: server.clone() });
        }
    };
    hearth::serve(&settings, listener, shutdown, tell).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_chosen_stays_until_the_settings_have_another_one() {
        let instead = Arc::default();
        let port = |chosen, set| Place { chosen, instead: Arc::clone(&instead) }.port(set);
        assert_eq!(port(None, 8080), 8080);
        assert_eq!((port(Some(8081), 8080), port(None, 8080)), (8081, 8081));
        assert_eq!((port(None, 9000), port(None, 8080)), (9000, 8081));
        assert_eq!((port(Some(8082), 8080), port(None, 8080)), (8082, 8082));
    }
}
