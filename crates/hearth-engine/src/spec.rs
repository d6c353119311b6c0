//! What an engine is told: the models that it may serve, where their workers run, and what an operator may set.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hearth_core::Result;
use hearth_core::model::KeepAlive;
use hearth_core::runner::Runner;
use hearth_core::sampling::SamplingOverrides;

use crate::sessions::SessionOptions;
use crate::worker::protocol::CacheOptions;
use crate::worker::{LoadRequest, Progress};

/// What a server operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Sequences that run at a time, on each model.
    pub max_batch: usize,
    /// Requests that may wait beyond them; more are refused as overloaded.
    pub queue: usize,
    /// `max_tokens` of requests that do not say; `None`: up to the context's end.
    pub max_tokens: Option<usize>,
    /// Tokens that prompt and answer may hold together, where that is to be less than the model allows.
    pub context: Option<usize>,
    /// A chat template that takes the place of the models' own.
    pub chat_template: Option<PathBuf>,
    /// What workers keep of the caches of answers that have ended. All of them together stay within its `limit`.
    pub cache: CacheOptions,
    /// What is kept of conversations.
    pub sessions: SessionOptions,
    /// How long a model stays loaded that nobody uses, where nothing else is said of it.
    pub keep_alive: KeepAlive,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_batch: 32,
            queue: 256,
            max_tokens: None,
            context: None,
            chat_template: None,
            cache: CacheOptions::default(),
            sessions: SessionOptions::default(),
            keep_alive: KeepAlive::For(Duration::from_secs(600)),
        }
    }
}

/// A model that may be served.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelSpec {
    /// The API name, which clients send.
    pub id: String,
    /// Its name for people; `None`: the last part of its source.
    pub name: Option<String>,
    /// The repository id or folder, as given.
    pub source: String,
    /// Further names for it.
    pub aliases: Vec<String>,
    /// Where its files lie.
    pub dir: PathBuf,
    /// Bytes of its weights; `None`: as many as the folder's safetensors files have.
    pub weight_bytes: Option<u64>,
    /// What is set for it alone.
    pub settings: ModelSettings,
}

/// What may be set for one model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelSettings {
    /// In place of [`EngineOptions::context`].
    pub context: Option<usize>,
    /// In place of [`EngineOptions::chat_template`].
    pub chat_template: Option<PathBuf>,
    /// For requests that do not say; before what the model's own files say.
    pub sampling: SamplingOverrides,
    /// In place of [`EngineOptions::keep_alive`].
    pub keep_alive: Option<KeepAlive>,
    /// Never unloaded for others, nor for being idle.
    pub pinned: bool,
}

impl ModelSpec {
    pub(crate) fn display_name(&self) -> &str {
        let part = || self.source.trim_end_matches('/').rsplit('/').next().filter(|part| !part.is_empty());
        self.name.as_deref().or_else(part).unwrap_or(&self.id)
    }

    /// Whether a worker that was loaded for the one can go on serving the other.
    pub(crate) fn same_worker(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.settings, &other.settings);
        let same_settings = ours.context == theirs.context && ours.chat_template == theirs.chat_template;
        self.id == other.id && self.dir == other.dir && same_settings
    }

    /// Bytes of its weights, as far as they can be known before it is loaded; reads the folder.
    pub(crate) fn weights(&self) -> u64 {
        let files = || fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|file| file.path());
        let is_weights = |path: &PathBuf| path.extension().is_some_and(|end| end == "safetensors");
        // Files of Hugging Face's cache are links.
        let bytes = |path| fs::metadata(path).map_or(0, |file| file.len());
        self.weight_bytes.unwrap_or_else(|| files().filter(is_weights).map(bytes).sum())
    }
}

/// Makes a runner of a model folder, on the thread that will own it.
pub type Loader = Arc<dyn Fn(&LoadRequest, Progress<'_>) -> Result<Box<dyn Runner>> + Send + Sync>;

/// Where the models' workers run.
#[derive(Clone)]
pub enum Placement {
    /// In child processes, which have to call [`worker::run_on_stdio`](crate::worker::run_on_stdio).
    Process {
        /// The program, as a rule this one.
        executable: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
    /// On threads of this process, for tests and for programs that embed the library.
    Thread(Loader),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_without_a_name_is_called_by_the_last_part_of_its_source() {
        for (name, source, expected) in [
            (Some("My Qwen"), "mlx-community/Qwen3-0.6B-4bit", "My Qwen"),
            (None, "mlx-community/Qwen3-0.6B-4bit", "Qwen3-0.6B-4bit"),
            (None, "/models/Ember/", "Ember"),
            (None, "ember", "ember"),
            (None, "/", "the-id"),
        ] {
            let name = name.map(str::to_owned);
            let spec = ModelSpec { id: "the-id".into(), name, source: source.into(), ..ModelSpec::default() };
            assert_eq!(spec.display_name(), expected);
        }
    }
}
