//! What a person does to an installed model: naming it, pinning it, setting it up, removing it.

use hearth_hub::{names, remove};
use serde_json::{Map, Value};

use super::{Event, Library, LibraryError, Model, Result, scanning::on_thread, settings};

impl Library {
    /// Gives a model another name; clients then call it by that, in lower case and with hyphens.
    ///
    /// # Errors
    /// When no model can be called so, or another one is.
    pub async fn rename(&self, model: &str, name: &str) -> Result<Model> {
        let (model, name) = (self.model(model).await?, names::check(name)?);
        self.inner.store.rename_model(model.row, name, &names::api_name(name)).await?;
        self.changed(&model).await
    }

    /// Lets a model answer to these names besides its own, and to no others.
    ///
    /// # Errors
    /// When no model can be called so, or another one is; nothing has changed then.
    pub async fn alias(&self, model: &str, aliases: &[String]) -> Result<Model> {
        let model = self.model(model).await?;
        let checked = aliases.iter().map(|alias| names::check(alias).map(str::to_owned));
        self.inner.store.set_aliases(model.row, &checked.collect::<Result<Vec<_>, _>>()?).await?;
        self.changed(&model).await
    }

    /// Keeps a model loaded, or no longer.
    ///
    /// # Errors
    /// When there is no such model.
    pub async fn pin(&self, model: &str, pinned: bool) -> Result<Model> {
        let model = self.model(model).await?;
        self.inner.store.pin_model(model.row, pinned).await?;
        self.changed(&model).await
    }

    /// Changes those of a model's settings that `changes` names; `null` leaves one to the model again.
    ///
    /// # Errors
    /// When a setting is not known, or not what it should be.
    pub async fn set_up(&self, model: &str, changes: &Map<String, Value>) -> Result<Model> {
        let model = self.model(model).await?;
        let settings = settings::changed(&model.settings, changes)?;
        self.inner.store.set_model_settings(model.row, &settings).await?;
        self.changed(&model).await
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

    async fn changed(&self, model: &Model) -> Result<Model> {
        self.tell(Event::Models);
        let models = self.models().await?;
        Ok(models.into_iter().find(|other| other.row == model.row).ok_or(hearth_store::Error::Gone("model"))?)
    }
}
