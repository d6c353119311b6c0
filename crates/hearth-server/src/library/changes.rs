//! What a person changes of an installed model: its names, whether it stays loaded, how it is to be run.

use hearth_hub::names;
use hearth_store::ModelChange;
use serde_json::{Map, Value};

use super::{Event, Library, Model, Result, settings};

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
            settings: settings.clone(),
        };
        settings.as_ref().map_or(Ok(()), settings::check_model)?;
        self.inner.store.change_model(model.row, &change).await?;
        self.tell(Event::Models);
        let models = self.models().await?;
        Ok(models.into_iter().find(|other| other.row == model.row).ok_or(hearth_store::Error::Gone("model"))?)
    }
}
