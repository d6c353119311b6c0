//! Where a model runs: a child process, or a thread of this one. Both run the same loop and speak the same protocol.

mod process;
pub(crate) mod protocol;
mod thread;

use std::time::Duration;

use hearth_core::Result;

use crate::spec::Placement;
pub use process::run_on_stdio;
pub use protocol::{CacheOptions, DiskOptions, LoadRequest};
use protocol::{Command, Report};

/// Told of a load: bytes of the weights that are read, and of all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// The engine's side of a worker. Dropping it ends the worker.
pub(crate) enum Worker {
    Process(Box<process::Process>),
    Thread(thread::Thread),
}

impl Worker {
    /// Starts a worker, which waits for [`Command::Load`].
    pub(crate) fn start(placement: &Placement) -> Result<Self> {
        match placement {
            Placement::Process { executable, args } => {
                Ok(Self::Process(Box::new(process::Process::start(executable, args)?)))
            }
            Placement::Thread(load) => thread::Thread::start(load.clone()).map(Self::Thread),
        }
    }

    /// Its process, where it is one of its own.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(process) => process.pid(),
            Self::Thread(_) => None,
        }
    }

    /// Sends a command. If the worker is gone, [`Self::next`] tells.
    pub(crate) fn send(&self, command: Command) {
        match self {
            Self::Process(process) => process.send(command),
            Self::Thread(thread) => thread.send(command),
        }
    }

    /// The next report, or how the worker ended. May be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> Result<Report, String> {
        match self {
            Self::Process(process) => process.next().await,
            Self::Thread(thread) => thread.next().await,
        }
    }

    /// Ends the worker; by force, and false, where that takes longer than `grace`.
    pub(crate) async fn stop(self, grace: Duration) -> bool {
        self.send(Command::Shutdown);
        match self {
            Self::Process(process) => process.stop(grace).await,
            Self::Thread(thread) => thread.stop(grace).await,
        }
    }
}
