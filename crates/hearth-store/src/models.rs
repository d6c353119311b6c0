//! The models that were ever found on this machine: what they are called, how they are to be run, how much they are used.
//!
//! A row outlives its files, so that a model on a disk that comes and goes keeps its name and settings.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};

use crate::{Error, Result, Store, aliases::set_aliases};

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
    /// A file with the chat template to use in place of the model's.
    pub chat_template: Option<String>,
    /// Seconds without use after which it is unloaded; less than 0 is never.
    pub keep_alive: Option<i64>,
}

/// What is to change of a model. What is `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelChange {
    /// The names that a person chose: what people see, and what clients send.
    pub names: Option<(String, String)>,
    /// All names to which it answers besides.
    pub aliases: Option<Vec<String>>,
    /// Whether it stays loaded.
    pub pinned: Option<bool>,
    /// Of how it is to be run what changes, by the names of [`ModelSettings`]' fields; `null` is what was not set.
    pub settings: Option<Map<String, Value>>,
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

    /// Changes a model, all of it or nothing. Errors: a name is another model's.
    pub async fn change_model(&self, id: i64, change: &ModelChange) -> Result<()> {
        let (display_name, api_name) = change.names.clone().map(|(shown, sent)| (shown, key(&sent))).unzip();
        let json = change.settings.as_ref().map(serde_json::to_string).transpose();
        let json = json.map_err(|source| Error::Setting { key: "model settings".to_owned(), source })?;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(name) = &api_name {
            refuse_taken(&mut transaction, name, id).await?;
            // What becomes the name need not be an alias as well.
            sqlx::query("DELETE FROM aliases WHERE name = ?").bind(name).execute(&mut *transaction).await?;
            // Its conversations go on with it.
            let follow =
                "UPDATE conversations SET model = ?1 WHERE model = (SELECT api_name FROM models WHERE id = ?2)";
            sqlx::query(follow).bind(name).bind(id).execute(&mut *transaction).await?;
        }
        let update = "UPDATE models SET user_named = user_named OR ?2 IS NOT NULL, display_name = coalesce(?1, display_name), \
                      api_name = coalesce(?2, api_name), pinned = coalesce(?3, pinned), \
                      settings = json_patch(settings, coalesce(?4, '{}')) \
                      WHERE id = ?5";
        let update = sqlx::query(update).bind(display_name).bind(api_name).bind(change.pinned).bind(json).bind(id);
        if update.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Err(Error::Gone("model"));
        }
        if let Some(names) = &change.aliases {
            set_aliases(&mut transaction, id, names).await?;
        }
        transaction.commit().await?;
        Ok(())
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
    use serde_json::json;

    use super::*;
    use crate::{ConversationChanges, testing};

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
        testing::alias(&store, one.id, &["tiny-2"]).await.unwrap();
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
        testing::alias(&store, two.id, &["Deux"]).await.unwrap();
        for name in ["TWO", "deux"] {
            let message = testing::rename(&store, one.id, name).await.unwrap_err().to_string();
            assert!(message.contains("belongs to owner/Two already"), "{message}");
        }
        testing::rename(&store, two.id, "Deux").await.unwrap();
        let renamed = store.models().await.unwrap().remove(1);
        assert_eq!(
            (renamed.display_name.as_str(), renamed.api_name.as_str(), renamed.user_named),
            ("Deux", "deux", true)
        );
        assert_eq!(store.aliases().await.unwrap(), []);
        assert_eq!(testing::add(&store, "Two").await, renamed);
        testing::rename(&store, one.id, "Two").await.unwrap();
        testing::rename(&store, one.id, "TWO").await.unwrap();
    }

    #[tokio::test]
    async fn conversations_follow_their_model_to_its_new_name() {
        let (_home, store) = testing::store().await;
        let (one, _) = (testing::add(&store, "One").await, testing::add(&store, "Two").await);
        for model in ["one", "two"] {
            let with = ConversationChanges { model: Some(Some(model.to_owned())), ..ConversationChanges::default() };
            store.add_conversation(with).await.unwrap();
        }
        assert!(testing::rename(&store, one.id, "two").await.is_err());
        testing::rename(&store, one.id, "Uno").await.unwrap();
        let (conversations, _) = store.conversations(None, 9).await.unwrap();
        let models: Vec<_> = conversations.into_iter().filter_map(|conversation| conversation.model).collect();
        assert_eq!(models, ["two", "uno"]);
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
        // What another change does not name stays, whichever of them comes first.
        for changes in [
            json!({"top_p": 0.5, "context_length": 4096}),
            json!({"temperature": 0.3, "keep_alive": -1}),
            json!({"top_p": null, "context_length": 8192}),
        ] {
            let set_up = ModelChange { settings: changes.as_object().cloned(), ..ModelChange::default() };
            store.change_model(model.id, &set_up).await.unwrap();
        }
        store.change_model(model.id, &ModelChange { pinned: Some(true), ..ModelChange::default() }).await.unwrap();
        store.count_use(model.id).await.unwrap();
        store.count_use(model.id).await.unwrap();
        let found = store.models().await.unwrap().remove(0);
        assert_eq!((found.settings, found.pinned, found.uses), (settings, true, 2));
        assert!(found.last_used >= Some(found.added));
    }

    #[tokio::test]
    async fn a_change_that_fails_in_part_changes_nothing() {
        let (_home, store) = testing::store().await;
        let (one, _) = (testing::add(&store, "One").await, testing::add(&store, "Two").await);
        let change = |alias: &str| ModelChange {
            names: Some(("Uno".to_owned(), "uno".to_owned())),
            aliases: Some(vec!["eins".to_owned(), alias.to_owned()]),
            pinned: Some(true),
            settings: json!({"top_k": 3}).as_object().cloned(),
        };
        assert!(matches!(store.change_model(one.id, &change("two")).await, Err(Error::NameTaken { .. })));
        assert_eq!(store.models().await.unwrap()[0], one);
        assert_eq!(store.aliases().await.unwrap(), []);
        // What was its name can become an alias, and the other way round.
        store.change_model(one.id, &change("one")).await.unwrap();
        let changed = store.models().await.unwrap().remove(0);
        assert_eq!((changed.api_name.as_str(), changed.pinned, changed.settings.top_k), ("uno", true, Some(3)));
        let aliases: Vec<_> = store.aliases().await.unwrap().into_iter().map(|alias| alias.name).collect();
        assert_eq!(aliases, ["eins", "one"]);
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
        testing::alias(&store, model.id, &["first"]).await.unwrap();
        store.forget_model(model.id).await.unwrap();
        assert_eq!(store.aliases().await.unwrap(), []);
        let other = store.add_model("other/One", "One", "one").await.unwrap();
        assert_eq!(other.api_name, "one");
        let renamed = testing::rename(&store, 99, "x").await;
        for gone in [store.forget_model(99).await, store.count_use(99).await, renamed] {
            assert!(matches!(gone, Err(Error::Gone("model"))));
        }
    }
}
