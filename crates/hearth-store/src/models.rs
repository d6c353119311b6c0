//! The models that were ever found on this machine: what they are called, how they are to be run, how much they are used.
//!
//! A row outlives its files, so that a model on a disk that comes and goes keeps its name and settings.

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};

use crate::{Error, Result, Store};

/// A model as Hearth remembers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The row.
    pub id: i64,
    /// A repository's id, or a folder's path.
    pub source: String,
    /// What people see.
    pub display_name: String,
    /// What clients send, in lower case; no other model has it, also not as an alias.
    pub api_name: String,
    /// Whether a person chose the name.
    pub user_named: bool,
    /// When it was first found, in seconds of Unix.
    pub added: i64,
    /// When it was last used, in seconds of Unix.
    pub last_used: Option<i64>,
    /// How often it was used.
    pub uses: i64,
    /// Whether it stays loaded.
    pub pinned: bool,
    /// How it is to be run.
    pub settings: ModelSettings,
}

/// A person's wishes for one model. What is `None` is left to the model itself, and then to Hearth's defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSettings {
    /// The longest context, in tokens.
    pub context_length: Option<u32>,
    /// Sampling: 0 takes the likeliest token.
    pub temperature: Option<f32>,
    /// Sampling: keep the likeliest tokens whose probabilities reach this sum.
    pub top_p: Option<f32>,
    /// Sampling: keep this many of the likeliest tokens.
    pub top_k: Option<u32>,
    /// Sampling: keep tokens at least this share as likely as the likeliest.
    pub min_p: Option<f32>,
    /// Sampling: 1 is off.
    pub repetition_penalty: Option<f32>,
    /// The longest answer of a request that names no length, in tokens.
    pub max_tokens: Option<u32>,
    /// A file with the chat template to use in place of the model's.
    pub chat_template: Option<String>,
    /// Seconds without use after which it is unloaded; less than 0 is never.
    pub keep_alive: Option<i64>,
}

impl Store {
    /// All models, in the order in which they were found.
    pub async fn models(&self) -> Result<Vec<Model>> {
        Ok(sqlx::query_as("SELECT * FROM models ORDER BY id").fetch_all(&self.pool).await?)
    }

    /// The model of `source`, remembered now if it was not before: then by these names, the `api_name` with `-2`, `-3` and
    /// so on behind it where another model has it. A model that is known keeps the names it has.
    pub async fn add_model(&self, source: &str, display_name: &str, api_name: &str) -> Result<Model> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let find = "SELECT * FROM models WHERE source = ?";
        if let Some(known) = sqlx::query_as(find).bind(source).fetch_optional(&mut *transaction).await? {
            return Ok(known);
        }
        let api_name = free_name(&mut transaction, &key(api_name)).await?;
        let add = "INSERT INTO models (source, display_name, api_name) VALUES (?, ?, ?) RETURNING *";
        let add = sqlx::query_as(add).bind(source).bind(display_name).bind(api_name);
        let model = add.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(model)
    }

    /// Gives a model the names that a person chose. Errors: the API name is another model's.
    pub async fn rename_model(&self, id: i64, display_name: &str, api_name: &str) -> Result<Model> {
        let api_name = key(api_name);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        refuse_taken(&mut transaction, &api_name, id).await?;
        // What becomes the name need not be an alias as well.
        sqlx::query("DELETE FROM aliases WHERE name = ?").bind(&api_name).execute(&mut *transaction).await?;
        let rename = "UPDATE models SET display_name = ?, api_name = ?, user_named = 1 WHERE id = ? RETURNING *";
        let rename = sqlx::query_as(rename).bind(display_name).bind(api_name).bind(id);
        let model = rename.fetch_optional(&mut *transaction).await?.ok_or(Error::Gone("model"))?;
        transaction.commit().await?;
        Ok(model)
    }

    /// Sets how a model is to be run.
    pub async fn set_model_settings(&self, id: i64, settings: &ModelSettings) -> Result<()> {
        let json = serde_json::to_string(settings)
            .map_err(|source| Error::Setting { key: "model settings".to_owned(), source })?;
        self.change(sqlx::query("UPDATE models SET settings = ? WHERE id = ?").bind(json).bind(id), "model").await
    }

    /// Sets whether a model stays loaded.
    pub async fn pin_model(&self, id: i64, pinned: bool) -> Result<()> {
        self.change(sqlx::query("UPDATE models SET pinned = ? WHERE id = ?").bind(pinned).bind(id), "model").await
    }

    /// Counts a use, now.
    pub async fn count_use(&self, id: i64) -> Result<()> {
        let update = "UPDATE models SET uses = uses + 1, last_used = unixepoch() WHERE id = ?";
        self.change(sqlx::query(update).bind(id), "model").await
    }

    /// Forgets a model with its aliases and settings, so that its names are free.
    pub async fn forget_model(&self, id: i64) -> Result<()> {
        self.change(sqlx::query("DELETE FROM models WHERE id = ?").bind(id), "model").await
    }
}

/// How names are kept and compared.
pub(crate) fn key(name: &str) -> String {
    name.to_lowercase()
}

/// `Err` where `name` is a name of another model than `id`.
pub(crate) async fn refuse_taken(database: &mut SqliteConnection, name: &str, id: i64) -> Result<()> {
    match owner(database, name).await? {
        Some((other, owner)) if other != id => Err(Error::NameTaken { name: name.to_owned(), owner }),
        _ => Ok(()),
    }
}

/// Id and source of the model that has this name.
async fn owner(database: &mut SqliteConnection, name: &str) -> Result<Option<(i64, String)>> {
    let find = "SELECT id, source FROM models WHERE api_name = ?1 OR id = (SELECT model FROM aliases WHERE name = ?1)";
    Ok(sqlx::query_as(find).bind(name).fetch_optional(database).await?)
}

async fn free_name(database: &mut SqliteConnection, name: &str) -> Result<String> {
    let mut candidate = name.to_owned();
    let mut number = 1;
    while owner(database, &candidate).await?.is_some() {
        number += 1;
        candidate = format!("{name}-{number}");
    }
    Ok(candidate)
}

impl FromRow<'_, SqliteRow> for Model {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let source: String = row.try_get("source")?;
        // One bad value must not hide the list of all models.
        let settings = serde_json::from_str(row.try_get("settings")?).unwrap_or_else(|error| {
            tracing::warn!("the settings of {source} cannot be read ({error}); it runs with the defaults");
            ModelSettings::default()
        });
        Ok(Self {
            id: row.try_get("id")?,
            source,
            display_name: row.try_get("display_name")?,
            api_name: row.try_get("api_name")?,
            user_named: row.try_get("user_named")?,
            added: row.try_get("added")?,
            last_used: row.try_get("last_used")?,
            uses: row.try_get("uses")?,
            pinned: row.try_get("pinned")?,
            settings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_model_is_remembered_once_and_keeps_its_names() {
        let (_home, store) = testing::store().await;
        let model = store.add_model("owner/Tiny", "Tiny", "Tiny").await.unwrap();
        assert_eq!((model.api_name.as_str(), model.user_named, model.uses, model.last_used), ("tiny", false, 0, None));
        assert!(model.added > 1_700_000_000);
        assert_eq!(store.add_model("owner/Tiny", "Other", "other").await.unwrap(), model);
        assert_eq!(store.models().await.unwrap(), [model]);
    }

    #[tokio::test]
    async fn of_models_with_one_name_the_later_ones_are_numbered() {
        let (_home, store) = testing::store().await;
        let one = store.add_model("a/Tiny", "Tiny", "tiny").await.unwrap();
        store.set_aliases(one.id, &["tiny-2".to_owned()]).await.unwrap();
        let mut names = Vec::new();
        for source in ["b/Tiny", "c/Tiny", "b/Tiny"] {
            names.push(store.add_model(source, "Tiny", "tiny").await.unwrap().api_name);
        }
        assert_eq!(names, ["tiny-3", "tiny-4", "tiny-3"]);
    }

    #[tokio::test]
    async fn a_name_of_ones_own_must_be_free() {
        let (_home, store) = testing::store().await;
        let (one, two) = (testing::add(&store, "One").await, testing::add(&store, "Two").await);
        store.set_aliases(two.id, &["Deux".to_owned()]).await.unwrap();
        for name in ["TWO", "deux"] {
            let message = store.rename_model(one.id, name, name).await.unwrap_err().to_string();
            assert!(message.contains("belongs to owner/Two already"), "{message}");
        }
        let renamed = store.rename_model(two.id, "Deux", "Deux").await.unwrap();
        assert_eq!(
            (renamed.display_name.as_str(), renamed.api_name.as_str(), renamed.user_named),
            ("Deux", "deux", true)
        );
        assert_eq!(store.aliases().await.unwrap(), []);
        assert_eq!(testing::add(&store, "Two").await, renamed);
        store.rename_model(one.id, "Two", "two").await.unwrap();
        store.rename_model(one.id, "TWO", "two").await.unwrap();
    }

    #[tokio::test]
    async fn settings_pins_and_uses_are_kept() {
        let (_home, store) = testing::store().await;
        let model = testing::add(&store, "One").await;
        let settings = ModelSettings {
            context_length: Some(8192),
            temperature: Some(0.3),
            keep_alive: Some(-1),
            ..Default::default()
        };
        store.set_model_settings(model.id, &settings).await.unwrap();
        store.pin_model(model.id, true).await.unwrap();
        store.count_use(model.id).await.unwrap();
        store.count_use(model.id).await.unwrap();
        let found = store.models().await.unwrap().remove(0);
        assert_eq!((found.settings, found.pinned, found.uses), (settings, true, 2));
        assert!(found.last_used >= Some(found.added));
    }

    #[tokio::test]
    async fn settings_that_cannot_be_read_hide_no_model() {
        let (_home, store) = testing::store().await;
        let model = testing::add(&store, "One").await;
        sqlx::query("UPDATE models SET settings = '{\"top_k\": \"many\"}'").execute(&store.pool).await.unwrap();
        assert_eq!(store.models().await.unwrap(), [model]);
    }

    #[tokio::test]
    async fn what_is_forgotten_leaves_its_names_to_others() {
        let (_home, store) = testing::store().await;
        let model = testing::add(&store, "One").await;
        store.set_aliases(model.id, &["first".to_owned()]).await.unwrap();
        store.forget_model(model.id).await.unwrap();
        assert_eq!(store.aliases().await.unwrap(), []);
        let other = store.add_model("other/One", "One", "one").await.unwrap();
        assert_eq!(other.api_name, "one");
        for gone in [store.forget_model(99).await, store.pin_model(99, true).await, store.count_use(99).await] {
            assert!(matches!(gone, Err(Error::Gone("model"))));
        }
        assert!(matches!(store.rename_model(99, "x", "x").await, Err(Error::Gone("model"))));
    }
}
