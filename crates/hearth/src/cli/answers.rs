//! The management API's answers, as far as people are shown them. What a server leaves out is empty here, so that one
//! of another version can be read too.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

/// `GET /models`.
#[derive(Deserialize)]
pub(super) struct Models {
    pub(super) models: Vec<Model>,
    #[serde(default)]
    pub(super) silent_folders: Vec<Silent>,
}

/// A folder that does not answer.
#[derive(Deserialize)]
pub(super) struct Silent {
    pub(super) reason: String,
}

/// A model on this machine.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Model {
    /// What clients call it.
    pub(super) id: String,
    /// What people call it.
    pub(super) name: String,
    pub(super) repo: Option<String>,
    pub(super) dir: PathBuf,
    pub(super) bytes: u64,
    pub(super) model_type: Option<String>,
    pub(super) bits: Option<u64>,
    pub(super) state: State,
    /// None while it is not loaded.
    pub(super) loaded: Option<Loaded>,
    #[serde(rename = "default")]
    pub(super) is_default: bool,
    pub(super) pinned: bool,
    pub(super) settings: Map<String, Value>,
    pub(super) aliases: Vec<String>,
    pub(super) uses: u64,
    /// Seconds of Unix.
    pub(super) last_used: Option<u64>,
    pub(super) fit: Option<Fit>,
}

/// Whether a model can be used, and if not, why.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) value: String,
    pub(super) reason: Option<String>,
}

/// How a model fits this machine.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fit {
    pub(super) sentence: String,
    pub(super) tokens_per_second: Option<f64>,
}

/// A model's worker and the load on it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Loaded {
    pub(super) id: String,
    /// `unloaded`, `loading`, `ready` or `answering`.
    pub(super) state: String,
    /// The share of the weights that is read while it loads, from 0 to 1.
    pub(super) progress: Option<f64>,
    pub(super) memory: Memory,
    pub(super) pinned: bool,
    /// Seconds until it is unloaded if nobody uses it.
    pub(super) unloads_in: Option<f64>,
    pub(super) running: u64,
    pub(super) queued: u64,
}

/// Bytes that a worker holds.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    pub(super) weights: u64,
    pub(super) kept: u64,
    pub(super) running: u64,
}

/// `GET /status`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) pid: u32,
    pub(super) uptime_seconds: u64,
    pub(super) url: String,
    pub(super) models: Vec<Loaded>,
    pub(super) memory: Room,
    pub(super) requests: Requests,
}

/// Bytes that may be held, and that are.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Room {
    pub(super) limit: u64,
    pub(super) used: u64,
}

/// Requests of all models.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Requests {
    pub(super) running: u64,
    pub(super) waiting: u64,
}

/// `GET /downloads`.
#[derive(Deserialize)]
pub(super) struct Downloads {
    pub(super) downloads: Vec<Download>,
}

/// A download and how it stands.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Download {
    pub(super) id: i64,
    pub(super) repo: String,
    pub(super) state: String,
    /// Why it failed, is paused, or has to wait.
    pub(super) reason: Option<String>,
    pub(super) bytes: u64,
    /// 0 or none until the Hub has told it.
    pub(super) total: Option<u64>,
    pub(super) bytes_per_second: u64,
    pub(super) seconds_left: Option<u64>,
    pub(super) files: Vec<File>,
}

/// One file of a download.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) bytes: u64,
    pub(super) total: u64,
}

/// `DELETE /models/{name}`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Removed {
    pub(super) id: String,
    pub(super) freed_bytes: u64,
}

/// `GET /search`.
#[derive(Deserialize)]
pub(super) struct Search {
    pub(super) models: Vec<Found>,
}

/// A repository of the Hub.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    pub(super) repo: String,
    pub(super) downloads: u64,
    pub(super) likes: u64,
    pub(super) gated: bool,
    /// A moment in ISO 8601.
    pub(super) updated: Option<String>,
    pub(super) installed: bool,
}

/// `GET /fit`.
#[derive(Deserialize)]
pub(super) struct RepoFit {
    pub(super) bytes: u64,
    pub(super) fit: Fit,
}
