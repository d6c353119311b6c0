//! What a person does to an installed model: naming it, pinning it, setting it up, removing it.

use hearth_hub::{names, remove};
use hearth_store::ModelChange;
use serde_json::{Map, Value};

use super::{Event, Library, LibraryError, Model, Result, scanning::on_thread, settings};

/// What is to change of a model. What is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What people see.
    pub name: Option<String>,
    /// All names to which it answers besides its own.
    pub aliases: Option<Vec<String>>,
    /// Whether it stays loaded.
    pub pinned: Option<bool>,
    /// Settings, each with its new value.
    pub settings: Option<Map<String, Value>>,
}

impl Library {
    /// Changes a model: its API name is then its name in lower case, with hyphens for spaces; of its settings those change
    /// that are named, and `null` leaves one to the model again.
    ///
    /// # Errors
    /// When there is no such model, no model can be called so, another one is, or a setting is not what it should be; nothing
    /// has changed then.
    pub async fn change(&self, model: &str, change: &Change) -> Result<Model> {
        let Change { name, aliases, pinned, settings } = change;
        let model = self.model(model).await?;
        let name = name.as_deref().map(names::check).transpose()?;
        let checked = |aliases: &Vec<String>| -> Result<Vec<String>> {
            aliases.iter().map(|alias| Ok(names::check(alias)?.to_owned())).collect()
        };
        let change = ModelChange {
            names: name.map(|name| (name.to_owned(), names::api_name(name))),
            aliases: aliases.as_ref().map(checked).transpose()?,
            pinned: *pinned,
            settings: settings.as_ref().map(|changes| settings::changed(&model.settings, changes)).transpose()?,
        };
        self.inner.store.change_model(model.row, &change).await?;
        self.tell(Event::Models);
        let models = self.models().await?;
        Ok(models.into_iter().find(|other| other.row == model.row).ok_or(hearth_store::Error::Gone("model"))?)
    }

    /// Removes a model's files, forgets its names and settings, and answers how many bytes that has freed. Whoever has it
    /// loaded unloads it first.
    ///
    /// # Errors
    /// When it is built in, is being downloaded, or lies where nothing is removed.
    pub async fn remove(&self, model: &str) -> Result<(Model, u64)> {
        let model = self.model(model).await?;
        self.check_removable(&model)?;
        let installed = hearth_hub::scan::Installed { dir: model.dir.clone(), ..Default::default() };
        let roots = self.open_roots().await?;
        let removed = on_thread(move || remove::plan(&installed, &roots)?.carry_out()).await;
        if let Some(Ok(_)) = removed {
            self.forget_downloads_of(&model).await?;
            self.inner.store.forget_model(model.row).await?;
        }
        self.scan().await?;
        // A thread that panicked has removed nothing that is known of.
        Ok((model, removed.transpose()?.unwrap_or(0)))
    }

    /// Whether [`Library::remove`] would not refuse the model for what it is.
    ///
    /// # Errors
    /// When it is built in, or is being downloaded.
    pub fn check_removable(&self, model: &Model) -> Result<()> {
        if model.builtin {
            return Err(LibraryError::Builtin(model.name.clone()));
        }
        match model.repo.as_deref().and_then(|repo| self.active_download(repo)) {
            Some(download) => Err(LibraryError::Downloading { repo: download.repo, id: download.id }),
            None => Ok(()),
        }
    }
}
