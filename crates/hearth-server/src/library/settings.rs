//! Settings that a person changes while Hearth runs, those of all and those of one model: each has a line in a table that
//! says what it may be. They come as JSON; `null` takes one back to its default.

use std::path::{Path, PathBuf};

use hearth_hub::registry::{Hub, HubOptions};
use hearth_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Library, LibraryError, Result, lock};

/// Hearth's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Further folders in which models lie.
    pub model_folders: Vec<PathBuf>,
    /// The model that is used where none is named; the built-in one where this is none.
    pub default_model: Option<String>,
    /// The Hub or a mirror of it, in place of what the environment says.
    pub hub_endpoint: Option<String>,
}

/// A setting: its name, what it must be, and whether a value is that.
pub(crate) type Line = (&'static str, &'static str, fn(&Value) -> bool);

const FOLDERS: &str = "model_folders";
const DEFAULT_MODEL: &str = "default_model";
const ENDPOINT: &str = "hub_endpoint";

const SETTINGS: [Line; 3] = [
    (FOLDERS, "a list of folders, each with its whole path", |value| {
        value.as_array().is_some_and(|folders| folders.iter().all(is_path))
    }),
    (DEFAULT_MODEL, "a model's name", Value::is_string),
    (ENDPOINT, "an address such as https://huggingface.co", Value::is_string),
];

const MODEL_SETTINGS: [Line; 8] = [
    ("context_length", "a whole number from 1 to 4294967295", |value| is_whole(value, 1)),
    ("temperature", "a number from 0 to 2", |value| is_within(value, 0.0, 2.0)),
    ("top_p", "a number above 0, at most 1", |value| is_within(value, f64::MIN_POSITIVE, 1.0)),
    ("top_k", "a whole number from 0 to 4294967295", |value| is_whole(value, 0)),
    ("min_p", "a number from 0 to 1", |value| is_within(value, 0.0, 1.0)),
    ("repetition_penalty", "a number above 0, at most 2", |value| is_within(value, f64::MIN_POSITIVE, 2.0)),
    ("chat_template", "the whole path of a file with a chat template", |value| {
        value.as_str().is_some_and(|path| is_path(value) && Path::new(path).is_file())
    }),
    ("keep_alive", "a whole number of seconds (below 0: for ever)", |value| value.as_i64().is_some()),
];

fn is_path(value: &Value) -> bool {
    value.as_str().is_some_and(|path| Path::new(path).is_absolute())
}

fn is_whole(value: &Value, least: u64) -> bool {
    value.as_u64().is_some_and(|number| (least..=u64::from(u32::MAX)).contains(&number))
}

fn is_within(value: &Value, least: f64, most: f64) -> bool {
    value.as_f64().is_some_and(|number| (least..=most).contains(&number))
}

impl Library {
    /// Hearth's own settings; the default model by its source.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settings(&self) -> Result<Settings> {
        let store = &self.inner.store;
        Ok(Settings {
            model_folders: store.setting(FOLDERS).await?.unwrap_or_default(),
            default_model: store.setting(DEFAULT_MODEL).await?,
            hub_endpoint: store.setting(ENDPOINT).await?,
        })
    }

    /// Changes the settings that `changes` names; nothing where one of them cannot be.
    ///
    /// # Errors
    /// When a setting is not known, or not what it should be.
    pub async fn change_settings(&self, changes: &Map<String, Value>) -> Result<Settings> {
        check(changes, &SETTINGS, "")?;
        let mut changes = changes.clone();
        if let Some(name) = changes.get(DEFAULT_MODEL).and_then(Value::as_str) {
            let source = self.model(name).await?.source;
            changes[DEFAULT_MODEL] = source.into();
        }
        if let Some(address) = changes.get(ENDPOINT) {
            let hub = hub_at(&self.inner.options.hub, address.as_str())?;
            *lock(&self.inner.hub) = hub;
        }
        for (key, value) in &changes {
            match value {
                Value::Null => self.inner.store.remove_setting(key).await?,
                value => self.inner.store.set_setting(key, value).await?,
            }
        }
        if changes.contains_key(FOLDERS) {
            self.scan().await?;
            self.inner.folders.notify_one();
        }
        self.tell(super::Event::Models);
        self.settings().await
    }
}

/// The Hub, at the address that was set, else at that of `options`.
pub(super) async fn hub(store: &Store, options: &HubOptions) -> Result<Hub> {
    let address: Option<String> = store.setting(ENDPOINT).await?;
    hub_at(options, address.as_deref())
}

fn hub_at(options: &HubOptions, address: Option<&str>) -> Result<Hub> {
    let endpoint = address.unwrap_or(&options.endpoint).to_owned();
    Ok(Hub::new(HubOptions { endpoint, ..options.clone() })?)
}

/// That a model can be set up so.
pub(super) fn check_model(changes: &Map<String, Value>) -> Result<()> {
    check(changes, &MODEL_SETTINGS, "settings.")
}

fn check(changes: &Map<String, Value>, lines: &[Line], prefix: &str) -> Result<()> {
    for (key, value) in changes {
        let line = lines.iter().find(|(known, ..)| known == key);
        let (_, expected, is_good) = line.ok_or_else(|| unknown(&format!("{prefix}{key}"), lines))?;
        if !value.is_null() && !is_good(value) {
            return Err(wrong(&format!("{prefix}{key}"), expected, value));
        }
    }
    Ok(())
}

/// The error of a value that is not as `expected`.
pub(crate) fn wrong(key: &str, expected: &str, value: &Value) -> LibraryError {
    const LONGEST: usize = 80;
    let given = value.to_string().chars().take(LONGEST).collect();
    LibraryError::Setting { key: key.to_owned(), expected: expected.to_owned(), given }
}

fn unknown(key: &str, lines: &[Line]) -> LibraryError {
    let known: Vec<&str> = lines.iter().map(|(known, ..)| *known).collect();
    LibraryError::NoSetting { key: key.chars().take(96).collect(), known: known.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        for (changes, message) in [
            (json!({"temprature": 1}), "there is no setting `settings.temprature`; there are context_length, "),
            (json!({"temperature": "hot"}), r#"settings.temperature must be a number from 0 to 2, not "hot""#),
            (json!({"temperature": 2.5}), "settings.temperature must be a number from 0 to 2, not 2.5"),
            (
                json!({"context_length": 0}),
                "settings.context_length must be a whole number from 1 to 4294967295, not 0",
            ),
            (json!({"top_k": 4_294_967_296_u64}), "settings.top_k must be"),
            (json!({"top_p": 0}), "settings.top_p must be a number above 0, at most 1, not 0"),
            (json!({"chat_template": "/no/such/file"}), "settings.chat_template must be the whole path of a file"),
            (json!({"keep_alive": "10m"}), "settings.keep_alive must be a whole number of seconds"),
        ] {
            let said = check_model(changes.as_object().unwrap()).unwrap_err().to_string();
            assert!(said.starts_with(message), "{said}");
        }
    }
}
