//! A worker on a thread of this process.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use hearth_core::{Error, Result};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::Progress;
use super::protocol::{Command, Report};
use crate::device::{self, Message};
use crate::spec::Loader;

/// The engine's side of the thread.
pub(crate) struct Thread {
    commands: Commands,
    /// Bounded by what the thread's requests may produce.
    reports: UnboundedReceiver<Result<Report>>,
}

/// The channel's end; dropping it ends the worker.
struct Commands(Sender<Message>);

impl Drop for Commands {
    fn drop(&mut self) {
        // If the thread has ended, it need not be told.
        let _ = self.0.send(Message::Closed);
    }
}

impl Thread {
    pub(crate) fn start(load: Loader) -> Result<Self> {
        let link = channel();
        let commands = Commands(link.0.clone());
        let (sender, reports) = unbounded_channel();
        let run = move || {
            let gone = |_| Error::internal("The engine does not listen any more.");
            let load = |request: &mut _, progress: Progress<'_>| load(request, progress);
            let ended = device::run(load, &link, &mut |report| sender.send(Ok(report)).map_err(gone));
            if let Err(error) = ended {
                // Nobody listens if the engine was dropped, and then nobody asks.
                let _ = sender.send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("hearth-worker".into())
            .spawn(run)
            .map_err(|error| Error::internal(format!("The worker's thread cannot be started: {error}.")))?;
        Ok(Self { commands, reports })
    }

    pub(crate) fn send(&self, command: Command) {
        // If the thread has ended, so have the reports.
        let _ = self.commands.0.send(Message::Command(Ok(command)));
    }

    pub(crate) async fn next(&mut self) -> Result<Report, String> {
        match self.reports.recv().await {
            Some(Ok(report)) => Ok(report),
            Some(Err(error)) => Err(error.message),
            None => Err("its thread has ended".into()),
        }
    }

    /// A thread cannot be ended by force: after `grace` it is left behind.
    pub(crate) async fn stop(mut self, grace: Duration) -> bool {
        drop(self.commands);
        // The sender lives on the thread and is dropped after the runner.
        let ended = async { while self.reports.recv().await.is_some() {} };
        timeout(grace, ended).await.is_ok()
    }
}
