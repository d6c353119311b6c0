//! The models that are installed: each is what the scan found, with the names and settings that are remembered.

use std::path::PathBuf;

use hearth_hub::{
    fit::Fit,
    names::{self, Names, Unresolved},
    scan::State,
};
use hearth_store::{Alias, ModelSettings};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Library, LibraryError, Result, lock, scanning::Found};

/// An installed model. As JSON it is what the management API shows of it, less what the engine knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// Its API name: what clients send.
    pub id: String,
    /// What people see.
    pub name: String,
    /// A repository's id, or a folder's path.
    pub source: String,
    /// The repository's id, where the place tells it.
    pub repo: Option<String>,
    /// The folder to load it from.
    #[serde(serialize_with = "lossy")]
    pub dir: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// The architecture that it names.
    pub model_type: Option<String>,
    /// Bits of a quantized weight.
    pub bits: Option<u64>,
    /// Whether it can be used, and if not, why.
    #[serde(serialize_with = "state")]
    pub state: State,
    /// Whether it is used where no model is named.
    pub default: bool,
    /// Whether it stays loaded.
    pub pinned: bool,
    /// How it is to be run.
    pub settings: ModelSettings,
    /// Further names.
    pub aliases: Vec<String>,
    /// How often it was used.
    pub uses: i64,
    /// When it was last used, in seconds of Unix.
    pub last_used: Option<i64>,
    /// How it fits this machine, where it can be used.
    pub fit: Option<Fit>,
    /// Whether it is part of Hearth.
    pub builtin: bool,
    /// Bytes of its weights, where they are known.
    #[serde(skip)]
    pub weights: Option<u64>,
    /// The row that remembers it.
    #[serde(skip)]
    pub(super) row: i64,
}

impl Library {
    /// All models that the last scan found, the default one first, then by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn models(&self) -> Result<Vec<Model>> {
        let store = &self.inner.store;
        let (rows, aliases) = (store.models().await?, store.aliases().await?);
        let default = self.default_source().await?;
        let found = lock(&self.inner.found).clone();
        let builtin = &self.inner.options.builtin.source;
        let join = |found: Found| {
            let row = rows.iter().find(|row| row.id == found.row)?.clone();
            let model = Model { default: row.source == default, ..Model::new(found, row, &aliases) };
            Some(Model { builtin: model.source == *builtin, ..model })
        };
        let mut models: Vec<Model> = found.into_iter().filter_map(join).collect();
        models.sort_by_cached_key(|model| (!model.default, model.name.to_lowercase(), model.row));
        Ok(models)
    }

    /// The model that `name` means: its API name, an alias, its source, or the last segment of that.
    ///
    /// # Errors
    /// When no model, or more than one, is called so; the error lists those that may have been meant.
    pub async fn model(&self, name: &str) -> Result<Model> {
        let mut models = self.models().await?;
        let names =
            models.iter().map(|model| Names { api_name: &model.id, source: &model.source, aliases: &model.aliases });
        match names::resolve(name, &names.collect::<Vec<_>>()) {
            Ok(position) => Ok(models.swap_remove(position)),
            Err(unresolved) => Err(self.unresolved(unresolved).await?),
        }
    }

    /// A model that is not known may lie in a folder that does not answer.
    async fn unresolved(&self, unknown: Unresolved) -> Result<LibraryError> {
        let silent: Vec<String> = self.silent_folders().await?.into_iter().map(|folder| folder.path).collect();
        Ok(match silent.is_empty() || !unknown.is_unknown() {
            true => unknown.into(),
            false => LibraryError::Unseen { unknown, silent: silent.join(" or ") },
        })
    }

    /// Notes that a model was used so often since it was last noted.
    ///
    /// # Errors
    /// When there is no such model any more, or the database fails.
    pub async fn count_uses(&self, model: &Model, uses: u64) -> Result<()> {
        for _ in 0..uses {
            self.inner.store.count_use(model.row).await?;
        }
        Ok(())
    }

    /// The source of the model that is used where none is named.
    async fn default_source(&self) -> Result<String> {
        let chosen = self.settings().await?.default_model;
        let is_ready = |source: &String| {
            let mut found = lock(&self.inner.found).clone().into_iter();
            found.any(|one| one.installed.source == *source && one.installed.state == State::Ready)
        };
        let chosen = chosen.filter(is_ready);
        Ok(chosen.unwrap_or_else(|| self.inner.options.builtin.source.clone()))
    }
}

impl Model {
    fn new(found: Found, row: hearth_store::Model, aliases: &[Alias]) -> Self {
        let Found { installed, weights, fit, .. } = found;
        let own = aliases.iter().filter(|alias| alias.model == row.id);
        Self {
            id: row.api_name,
            name: row.display_name,
            source: row.source,
            repo: installed.repo,
            dir: installed.dir,
            bytes: installed.bytes,
            model_type: installed.model_type,
            bits: installed.bits,
            state: installed.state,
            default: false,
            pinned: row.pinned,
            settings: row.settings,
            aliases: own.map(|alias| alias.name.clone()).collect(),
            uses: row.uses,
            last_used: row.last_used,
            fit,
            builtin: false,
            weights,
            row: row.id,
        }
    }

    /// Whether it can be loaded.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }
}

/// Folders may have any name; JSON is UTF-8.
fn lossy<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn state<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    let value = match state {
        State::Ready => "ready",
        State::Partial { .. } => "partial",
        State::Unsupported { .. } => "unsupported",
        State::Damaged { .. } => "damaged",
    };
    let mut shown = serializer.serialize_struct("State", 2)?;
    shown.serialize_field("value", value)?;
    match state.reason() {
        Some(reason) => shown.serialize_field("reason", reason)?,
        None => shown.skip_field("reason")?,
    }
    shown.end()
}
