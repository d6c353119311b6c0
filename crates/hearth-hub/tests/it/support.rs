//! A hub with one model on it, a cache folder, and downloads from one to the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hearth_hub::cache::RepoCache;
use hearth_hub::download::{Download, DownloadOptions, Progress, State};
use hearth_hub::error::HubError;
use hearth_hub::files::{RepoId, Revision};
use hearth_hub::manifest::Manifest;
use hearth_hub::registry::{Hub, HubOptions};
use hearth_hub::retry::Patience;
use hearth_test_hub::{File, Repo, TestHub};
use tempfile::TempDir;

pub(crate) const MODEL: &str = "mlx-community/tiny-4bit";
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// Bytes that no two files share.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}

/// A small model whose weights have `len` bytes, beside files that nobody wants.
pub(crate) fn model(len: usize) -> Repo {
    model_of(noise(len, 1))
}

pub(crate) fn model_of(weights: Vec<u8>) -> Repo {
    let file = |name: &str, text: &str| File::new(name, text.to_owned().into_bytes());
    Repo::new(
        MODEL,
        vec![
            file("README.md", "# A tiny model\n"),
            file("additional_chat_templates/tools.jinja", "{{ messages }}"),
            file("config.json", "{\"model_type\": \"llama\"}"),
            File::new(WEIGHTS, weights),
            file("pytorch_model.bin", "not wanted"),
            file("tokenizer.json", "{}"),
        ],
    )
}

/// Waits that tests can afford; none of them is meant to stall.
pub(crate) const PATIENCE: Patience = Patience {
    retries: 6,
    first_wait: Duration::from_millis(2),
    longest_asked: Duration::from_secs(600),
    stall: Duration::from_secs(20),
};
/// For transfers that are meant to stall.
pub(crate) const HASTY: Patience = Patience { retries: 2, stall: Duration::from_millis(300), ..PATIENCE };

/// A hub that serves one repository, and a cache folder.
pub(crate) struct World {
    pub(crate) hub: TestHub,
    pub(crate) dir: TempDir,
    client: Hub,
}

impl World {
    pub(crate) async fn new(repo: Repo) -> Self {
        Self::with(PATIENCE, repo).await
    }

    pub(crate) async fn with(patience: Patience, repo: Repo) -> Self {
        let (hub, dir) = (TestHub::start(vec![repo]).await.unwrap(), tempfile::tempdir().unwrap());
        let client = Hub::new(HubOptions { patience, ..HubOptions::new(hub.url(), dir.path()) }).unwrap();
        Self { hub, dir, client }
    }

    pub(crate) fn options(&self) -> HubOptions {
        self.client.options().clone()
    }

    pub(crate) fn client(&self) -> &Hub {
        &self.client
    }

    pub(crate) async fn manifest(&self) -> Result<Manifest, HubError> {
        self.client().manifest(&repo(), &Revision::main()).await
    }

    pub(crate) async fn start(&self) -> Download {
        Download::start(self.client(), self.manifest().await.unwrap(), DownloadOptions::default())
    }

    /// A download to its end.
    pub(crate) async fn pull(&self) -> Progress {
        self.start().await.finished().await
    }

    pub(crate) async fn pull_whole(&self) {
        let last = self.pull().await;
        assert_eq!((last.state, last.reason.clone(), last.bytes), (State::Done, None, last.total), "{last:?}");
    }

    /// A program of its own that downloads the model: the example of this crate, which cargo builds beside the tests.
    pub(crate) fn program(&self) -> Command {
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().and_then(Path::parent).unwrap().join("examples/pull");
        let mut command = Command::new(program);
        command.arg(MODEL).env("HF_ENDPOINT", self.hub.url()).env("HF_HUB_CACHE", self.dir.path());
        command.env_remove("HF_HUB_OFFLINE").env("NO_PROXY", "127.0.0.1,localhost");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub(crate) fn cache(&self) -> RepoCache {
        RepoCache::new(self.dir.path(), &repo())
    }

    /// The weights' blob, or their part.
    pub(crate) async fn partial(&self) -> PathBuf {
        let manifest = self.manifest().await.unwrap();
        let file = manifest.files.iter().find(|file| file.name.as_str() == WEIGHTS).unwrap();
        self.cache().partial(&file.digest)
    }

    pub(crate) fn snapshot(&self, repo: &Repo) -> PathBuf {
        self.cache().snapshot(&repo.commit().parse().unwrap())
    }

    /// Every wanted file of `repo` is there with its content, under its name; nothing else is left lying.
    pub(crate) fn check_whole(&self, repo: &Repo) {
        let snapshot = self.snapshot(repo);
        for file in repo.files.iter().filter(|file| file.name != "pytorch_model.bin") {
            assert_eq!(fs::read(snapshot.join(&file.name)).unwrap(), file.content, "{}", file.name);
        }
        assert!(!snapshot.join("pytorch_model.bin").exists());
        assert_eq!(leftovers(self.dir.path()), Vec::<PathBuf>::new());
    }
}

pub(crate) fn repo() -> RepoId {
    MODEL.parse().unwrap()
}

/// Parts and temporary names anywhere below a folder.
pub(crate) fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let ends = ["incomplete", "linking", "writing"];
    files(dir).into_iter().filter(|path| path.extension().is_some_and(|end| ends.iter().any(|e| end == *e))).collect()
}

/// All files and links below a folder.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
