//! What models lie on this machine: in the Hugging Face cache, in folders laid out as `owner/name`, and in any folder that
//! a person names. Nothing is changed, nothing of a model but its JSON and its headers is read, and no content of any folder
//! is more than a reason in a list: folders are other people's.
//!
//! Symbolic links are followed only from a model's files, and only to where they stay below the root; in the Hugging Face
//! cache, only to the repository's own blobs.

mod folder;
mod header;
pub(crate) mod hub_cache;
mod state;
pub(crate) mod walk;

use std::path::{Path, PathBuf};

pub use state::State;

use crate::names;

/// A place where models lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Root {
    /// The folder. It need not exist.
    pub path: PathBuf,
    /// How models lie in it.
    pub layout: Layout,
}

/// How models lie in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// As huggingface_hub keeps them: `models--owner--name/{blobs,refs,snapshots}`.
    HubCache,
    /// `owner/name`, so that a folder's place tells its repository: Hearth's own folder, and LM Studio's.
    Repositories,
    /// In any way: the folder is a model, or holds some, up to four levels down. So does each folder of a Hugging Face cache.
    Any,
}

impl Root {
    /// A place of models.
    pub fn new(path: impl Into<PathBuf>, layout: Layout) -> Self {
        Self { path: path.into(), layout }
    }

    /// Where LM Studio keeps its models below the user's home folder, now and formerly.
    pub fn lm_studio(home: &Path) -> [Self; 2] {
        [".lmstudio/models", ".cache/lm-studio/models"].map(|path| Self::new(home.join(path), Layout::Repositories))
    }
}

/// A model on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// What it is known by: its repository's id, or its folder's path where it has none, or where another folder has the
    /// same repository. No two models of one scan have the same.
    pub source: String,
    /// What to call it until a person chooses a name: the last segment of its repository's id, or its folder's name.
    pub display: String,
    /// The repository's id, where the place tells it.
    pub repo: Option<String>,
    /// The folder to load it from.
    pub dir: PathBuf,
    /// Bytes of its files on disk.
    pub bytes: u64,
    /// The architecture that `config.json` names.
    pub model_type: Option<String>,
    /// Bits of a quantized weight, where `config.json` says that weights are quantized.
    pub bits: Option<u64>,
    /// Whether it can be used, and if not, why.
    pub state: State,
}

impl Installed {
    /// Counts bytes that are on disk.
    fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let State::Partial { have, total, .. } = &mut self.state {
            *have = self.bytes;
            *total = total.map(|total| total.max(self.bytes));
        }
    }
}

/// Finds all models below `roots`, sorted by source. `known` says which architectures (`model_type`) can be run. Of several
/// folders with the same repository the first usable one, in the order of `roots`, has its id as source.
pub fn scan(roots: &[Root], known: &dyn Fn(&str) -> bool) -> Vec<Installed> {
    merge(roots.iter().flat_map(|root| models(root, known)))
}

/// Finds the models below one root, which have no source yet. On a disk that does not answer it never returns.
pub fn models(root: &Root, known: &dyn Fn(&str) -> bool) -> Vec<Installed> {
    walk::models(root, known)
}

/// Makes one list, as [`scan`] does, of what was found below several roots, in their order.
pub fn merge(found: impl IntoIterator<Item = Installed>) -> Vec<Installed> {
    let mut models: Vec<Installed> = Vec::new();
    for model in found {
        // Roots may lie in each other.
        if models.iter().all(|other| other.dir != model.dir) {
            models.push(model);
        }
    }
    models.sort_by_key(|model| model.state != State::Ready);
    name_sources(&mut models);
    models.sort_by(|one, other| one.source.cmp(&other.source));
    models
}

/// Gives each model its source: the first of a repository has the id.
fn name_sources(models: &mut [Installed]) {
    for position in 0..models.len() {
        let (before, rest) = models.split_at_mut(position);
        let model = &mut rest[0];
        let path = model.dir.to_string_lossy().into_owned();
        let taken = |repo: &String| before.iter().any(|other| other.source == *repo);
        model.source = model.repo.clone().filter(|repo| !taken(repo)).unwrap_or(path);
        model.display = names::display_name(model.repo.as_ref().unwrap_or(&model.source)).to_owned();
    }
}

#[cfg(test)]
mod tests;
