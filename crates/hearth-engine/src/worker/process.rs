//! A worker in a child process: frames on its standard input and output, its log on standard error.

use std::ffi::OsString;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use hearth_core::runner::Runner;
use hearth_core::{Error, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::Progress;
use super::protocol::{self, Command, LoadRequest, Report};
use crate::device::{self, Message};

/// How long a worker that has closed its output may take to end.
const END: Duration = Duration::from_secs(5);
/// How long a worker may live on when nobody listens any more: it saves its caches if it was told to end.
const ORPHANED: Duration = Duration::from_secs(15);
/// How much of its output is read at a time.
const READ: usize = 16 << 10;

/// The engine's side of the child.
pub(crate) struct Process {
    child: Child,
    /// Drained by a task of its own, so that a worker that does not read blocks nobody.
    commands: UnboundedSender<Command>,
    stdout: ChildStdout,
    /// Frames read from `stdout`; the first `taken` bytes are done with.
    buffer: Vec<u8>,
    taken: usize,
}

impl Process {
    pub(crate) fn start(executable: &Path, args: &[OsString]) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::internal(format!("The worker process {} cannot be started: {error}.", executable.display()))
        };
        let mut child = tokio::process::Command::new(executable)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for the server, which then ends its workers in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(failed(io::Error::other("its pipes are missing")));
        };
        let (commands, queue) = unbounded_channel();
        tokio::spawn(write_commands(queue, stdin));
        tokio::spawn(forward_log(stderr, child.id().unwrap_or_default()));
        Ok(Self { child, commands, stdout, buffer: Vec::new(), taken: 0 })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) fn send(&self, command: Command) {
        // If the writer has ended, the child has closed its input: the reports end too.
        let _ = self.commands.send(command);
    }

    pub(crate) async fn next(&mut self) -> Result<Report, String> {
        match self.read().await {
            Ok(Some(report)) => Ok(report),
            Ok(None) => Err(self.ended().await),
            Err(error) => Err(error.message),
        }
    }

    async fn read(&mut self) -> Result<Option<Report>> {
        loop {
            if let Some((report, length)) = protocol::first(&self.buffer[self.taken..])? {
                self.taken += length;
                return Ok(Some(report));
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            self.buffer.reserve(READ);
            let read = self.stdout.read_buf(&mut self.buffer).await;
            if read.map_err(|error| Error::internal(format!("its output cannot be read: {error}")))? == 0 {
                return Ok(None);
            }
        }
    }

    /// How the child ended, now that it has closed its output.
    async fn ended(&mut self) -> String {
        match timeout(END, self.child.wait()).await {
            Ok(Ok(status)) => describe(status),
            Ok(Err(error)) => format!("how it ended is unknown: {error}"),
            Err(_) => "it closed its output but did not end".into(),
        }
    }

    pub(crate) async fn stop(mut self, grace: Duration) -> bool {
        drop(self.commands);
        // A full pipe must not keep the child from its last command.
        let drained = async {
            while let Ok(1..) = self.stdout.read_buf(&mut self.buffer).await {
                self.buffer.clear()
            }
        };
        let ended = async {
            drained.await;
            self.child.wait().await
        };
        let in_order = timeout(grace, ended).await.is_ok();
        if !in_order {
            // Fails only where the child has ended meanwhile.
            let _ = self.child.kill().await;
        }
        in_order
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "how it ended is unknown".into(),
    }
}

async fn write_commands(mut queue: UnboundedReceiver<Command>, mut stdin: ChildStdin) {
    let mut frame = Vec::new();
    while let Some(command) = queue.recv().await {
        frame.clear();
        if let Err(error) = protocol::encode(&command, &mut frame) {
            tracing::error!("{error}");
            return;
        }
        if stdin.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// A worker's log lines begin with their level; whatever else is on its standard error is information.
async fn forward_log(stderr: ChildStderr, pid: u32) {
    let mut lines = tokio::io::BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.trim_start().split_once(' ') {
            Some(("ERROR", line)) => tracing::error!(target: "hearth_worker", pid, "{line}"),
            Some(("WARN", line)) => tracing::warn!(target: "hearth_worker", pid, "{line}"),
            Some(("DEBUG", line)) => tracing::debug!(target: "hearth_worker", pid, "{line}"),
            Some(("TRACE", line)) => tracing::trace!(target: "hearth_worker", pid, "{line}"),
            Some(("INFO", line)) => tracing::info!(target: "hearth_worker", pid, "{line}"),
            _ => tracing::info!(target: "hearth_worker", pid, "{line}"),
        }
    }
}

/// The child's side: takes commands from standard input and answers on standard output until either is closed.
///
/// For the hidden `worker` subcommand of a program that starts itself with [`Placement::Process`](crate::Placement).
/// `load` makes the runner, on the calling thread, which from then on is the device thread; it may allow the model less
/// than it was asked for, and should tell how far it is. If the input closes and the runner does not come to an end within fifteen seconds, the process
/// kills itself.
pub fn run_on_stdio(load: impl FnOnce(&mut LoadRequest, Progress<'_>) -> Result<Box<dyn Runner>>) -> ExitCode {
    match serve(load) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(load: impl FnOnce(&mut LoadRequest, Progress<'_>) -> Result<Box<dyn Runner>>) -> Result<()> {
    let mut output =
        take_stdout().map_err(|error| Error::internal(format!("Standard output is unusable: {error}.")))?;
    let link = channel();
    let sender = link.0.clone();
    std::thread::Builder::new()
        .name("hearth-commands".into())
        .spawn(move || {
            read_commands(io::stdin().lock(), &sender);
            outlive_orphans();
        })
        .map_err(|error| Error::internal(format!("The worker's reader cannot be started: {error}.")))?;
    let mut buffer = Vec::new();
    device::run(load, &link, &mut |report| protocol::write(&mut output, &report, &mut buffer))
}

/// Standard output for frames alone: whatever else prints there, a library perhaps, goes to standard error.
fn take_stdout() -> io::Result<impl Write> {
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(std::fs::File::from(output))
}

fn read_commands(input: impl Read, sender: &Sender<Message>) {
    let mut input = BufReader::new(input);
    let mut buffer = Vec::new();
    while let Some(command) = protocol::read(&mut input, &mut buffer).transpose() {
        let last = command.is_err();
        if sender.send(Message::Command(command)).is_err() || last {
            return;
        }
    }
    // If nobody listens, the worker has ended by itself.
    let _ = sender.send(Message::Closed);
}

/// The input is closed. If the device thread is caught in a load or a step that does not end, only force helps, and a
/// regular exit would tear down what that thread is using.
fn outlive_orphans() {
    std::thread::sleep(ORPHANED);
    // It fails only if the process does not exist.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}
