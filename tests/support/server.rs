//! A running `hearth serve`, which ends when the test does.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Answer, Chunks};
use crate::process::{self, Signal};

/// A start that takes longer is a fault; a loaded machine may need most of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// The program under test, in an environment without settings of the tester's own, with a data folder of its own.
pub fn hearth(home: &Path) -> Command {
    let mut command = Command::new(binary());
    let settings = std::env::vars_os().map(|(name, _)| name);
    settings.filter(|name| is_setting(&name.to_string_lossy())).for_each(|name| {
        command.env_remove(name);
    });
    // A relative data folder would move with the working directory, and tests run in several.
    command.env("HEARTH_HOME", home).env("HF_HOME", home.join("huggingface")).stdin(Stdio::null());
    command
}

/// Whether Hearth, or what it downloads with, looks at this variable.
fn is_setting(name: &str) -> bool {
    name.starts_with("HEARTH_") || name.starts_with("HF_") || name.to_lowercase().ends_with("_proxy")
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HEARTH_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("this test is a program");
    let path = test.ancestors().nth(2).expect("it lies in target/<profile>/deps").join("hearth");
    assert!(path.exists(), "{} is not built: run `npm test`, or `cargo build` first", path.display());
    path
}

/// A running server.
pub struct Server {
    child: Child,
    base: String,
    banner: String,
    log: Mutex<Receiver<String>>,
    _home: TempDir,
}

impl Server {
    /// `hearth serve ARGUMENTS` on a free port, ready for requests.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, |_| {})
    }

    /// The same, with a change to the command before it runs.
    pub fn start_with(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut command = hearth(home.path());
        command.arg("serve").args(["--port", "0"]).args(arguments);
        change(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hearth starts");
        let log = lines(child.stderr.take().expect("piped"));
        match wait_until_ready(&lines(child.stdout.take().expect("piped"))) {
            Some(banner) => {
                let base = field(&banner, "Base URL").expect("the banner names it").to_owned();
                Self { child, base, banner, log: Mutex::new(log), _home: home }
            }
            None => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("hearth serve {arguments:?} was never ready; its log:\n{}", joined(&log))
            }
        }
    }

    /// What it printed until it was ready.
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.base.strip_prefix("http://").expect("plain HTTP")
    }

    /// Asks for `path`.
    pub fn get(&self, path: &str) -> Answer {
        http::get(&format!("{}{path}", self.base), &[])
    }

    /// Sends JSON to `path`.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        http::post(&format!("{}{path}", self.base), &[("content-type", "application/json")], body.to_string())
    }

    /// A chat completion, whole.
    pub fn chat(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", body)
    }

    /// A chat completion, streamed.
    pub fn stream(&self, body: &Value) -> Chunks {
        let mut body = body.clone();
        body["stream"] = true.into();
        http::stream(&format!("{}/v1/chat/completions", self.base), body.to_string())
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process in which the model runs; waits for it where a new one is about to start.
    pub fn worker(&self) -> u32 {
        process::child(self.pid())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits for its end, and returns how it ended and what it logged (after what [`Server::wait_for_log`] took).
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("the server is our child");
        (status, joined(&self.log.lock().expect("no test panics with it")))
    }

    /// Returns when it has logged a line with `part`.
    pub fn wait_for_log(&self, part: &str) {
        let log = self.log.lock().expect("no test panics with it");
        while !log.recv_timeout(PATIENCE).expect("it logs the line before it ends").contains(part) {}
    }

    /// Whether it still runs.
    pub fn is_up(&mut self) -> bool {
        self.child.try_wait().expect("the server is our child").is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its worker sees the end of its input and ends too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a line `name : value`.
fn field<'a>(banner: &'a str, name: &str) -> Option<&'a str> {
    let values = banner.lines().filter_map(|line| line.split_once(':'));
    values.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// Everything up to the banner's last line; `None` if the output ends before it.
fn wait_until_ready(lines: &Receiver<String>) -> Option<String> {
    let mut text = String::new();
    loop {
        let line = lines.recv_timeout(PATIENCE).ok()?;
        let is_rule = !line.is_empty() && line.chars().all(|c| c == '=');
        text.push_str(&line);
        text.push('\n');
        if is_rule && text.contains("Hearth is ready") {
            return Some(text);
        }
    }
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    receiver
}

/// All lines that are still to come, up to the output's end.
fn joined(lines: &Receiver<String>) -> String {
    lines.iter().map(|line| line + "\n").collect()
}
