//! Hearth's settings that are changed while it runs: a JSON value for each key. What the keys mean is the callers' matter.

use std::{collections::BTreeMap, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{Error, Result, Store, open::is_damage};

impl Store {
    /// The setting `key`, where it was ever made. Errors: it is not a `T`.
    pub async fn setting<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let find = sqlx::query_scalar("SELECT value FROM settings WHERE key = ?").bind(key);
        let json: Option<String> = find.fetch_optional(&self.pool).await?;
        json.map(|json| parse(key, &json)).transpose()
    }

    /// All settings.
    pub async fn settings(&self) -> Result<BTreeMap<String, Value>> {
        all(&mut *self.pool.acquire().await?).await
    }

    /// All settings of the database at `path`, for what has to be known before it is opened: nothing is checked, and nothing
    /// made where there is none. A damaged one has none: opening it sets it aside.
    pub async fn peek_settings(path: &Path) -> Result<BTreeMap<String, Value>> {
        if !path.is_file() {
            return Ok(BTreeMap::new());
        }
        match peek(path).await {
            Err(Error::Database(error)) if is_damage(&error) => Ok(BTreeMap::new()),
            settings => settings,
        }
    }

    /// Makes the setting `key`, in place of the one that was.
    pub async fn set_setting<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        let json = serde_json::to_string(value).map_err(|source| Error::Setting { key: key.to_owned(), source })?;
        let set =
            "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        sqlx::query(set).bind(key).bind(json).execute(&self.pool).await?;
        Ok(())
    }

    /// Takes a setting back to its default.
    pub async fn remove_setting(&self, key: &str) -> Result<()> {
        sqlx::query("DELETE FROM settings WHERE key = ?").bind(key).execute(&self.pool).await?;
        Ok(())
    }
}

async fn peek(path: &Path) -> Result<BTreeMap<String, Value>> {
    let mut database = SqliteConnectOptions::new().filename(path).connect().await?;
    let settings = all(&mut database).await;
    database.close().await?;
    settings
}

async fn all(database: &mut SqliteConnection) -> Result<BTreeMap<String, Value>> {
    let find = sqlx::query_as("SELECT key, value FROM settings");
    let rows: Vec<(String, String)> = find.fetch_all(database).await?;
    rows.into_iter().map(|(key, json)| Ok((key.clone(), parse(&key, &json)?))).collect()
}

fn parse<T: DeserializeOwned>(key: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|source| Error::Setting { key: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{Store, testing};

    #[tokio::test]
    async fn a_setting_is_what_was_last_set() {
        let (_home, store) = testing::store().await;
        assert_eq!(store.setting::<Vec<String>>("folders").await.unwrap(), None);
        store.set_setting("folders", &["/a"]).await.unwrap();
        store.set_setting("folders", &["/a", "/b"]).await.unwrap();
        store.set_setting("endpoint", "https://hub.example").await.unwrap();
        assert_eq!(store.setting("folders").await.unwrap(), Some(vec!["/a".to_owned(), "/b".to_owned()]));
        let all = store.settings().await.unwrap();
        assert_eq!(json!(all), json!({"endpoint": "https://hub.example", "folders": ["/a", "/b"]}));
        store.remove_setting("folders").await.unwrap();
        assert_eq!(store.settings().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_look_from_outside_finds_the_same_and_makes_nothing() {
        let (home, path) = testing::place();
        assert!(Store::peek_settings(&path).await.unwrap().is_empty());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
        let store = Store::open(&path).await.unwrap().store;
        store.set_setting("port", &7).await.unwrap();
        assert_eq!(Store::peek_settings(&path).await.unwrap(), store.settings().await.unwrap());
        let other = home.path().join("other.db");
        std::fs::write(&other, "no database").unwrap();
        assert!(Store::peek_settings(&other).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_setting_of_the_wrong_kind_is_named() {
        let (_home, store) = testing::store().await;
        store.set_setting("folders", &7).await.unwrap();
        let message = store.setting::<Vec<String>>("folders").await.unwrap_err().to_string();
        assert!(message.contains("`folders`") && message.contains("sequence"), "{message}");
    }
}
