//! A Hub on this machine, and `hearth` with a data folder of its own that downloads from it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use hearth_test_hub::{File, Repo, TestHub};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::models::ember;
use crate::server::hearth;

/// The Hub, a data folder, and the threads that serve.
pub struct Downloads {
    /// The Hub.
    pub hub: TestHub,
    home: TempDir,
    _runtime: Runtime,
}

impl Downloads {
    /// A Hub with these repositories, and nothing downloaded.
    pub fn from(repos: Vec<Repo>) -> Self {
        let runtime = Runtime::new().expect("threads");
        let hub = runtime.block_on(TestHub::start(repos)).expect("a free port");
        Self { hub, home: tempfile::tempdir().expect("a temporary folder"), _runtime: runtime }
    }

    /// Hearth's data folder, in which the Hugging Face cache lies too.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// `hearth ARGUMENTS`, to be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hearth(self.home());
        self.set(&mut command);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Has another command use the Hub and the data folder.
    pub fn set(&self, command: &mut Command) {
        // Below the tester's own home folder other programs may keep models.
        command
            .env("HOME", self.home())
            .env("HEARTH_HOME", self.home())
            .env("HF_HOME", self.home().join("huggingface"));
        command.env("HF_ENDPOINT", self.hub.url());
    }

    /// `hearth ARGUMENTS` and how it went: the exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        told(self.command(arguments).output().expect("hearth starts"))
    }
}

/// The exit code, standard output and standard error.
pub fn told(Output { status, stdout, stderr }: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// Ember's files as a repository.
pub fn ember_as(id: &str) -> Repo {
    let names = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors",
    ];
    let file = |name: &str| File::new(name, fs::read(ember().join(name)).expect("models/ember"));
    Repo::new(id, names.map(file).into())
}
