//! What the tests of all tables begin with.

use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{Model, ModelChange, Result, Store};

/// A folder that goes with the test, and a database's path in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("hearth.db");
    (home, path)
}

/// An empty store.
pub(crate) async fn store() -> (TempDir, Store) {
    let (home, path) = place();
    (home, Store::open(&path).await.unwrap().store)
}

/// A connection past the store.
pub(crate) async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// A model called `name` of the repository `owner/name`.
pub(crate) async fn add(store: &Store, name: &str) -> Model {
    store.add_model(&format!("owner/{name}"), name, &name.to_lowercase()).await.unwrap()
}

/// Gives a model a name that a person chose.
pub(crate) async fn rename(store: &Store, model: i64, name: &str) -> Result<()> {
    let names = Some((name.to_owned(), name.to_owned()));
    store.change_model(model, &ModelChange { names, ..ModelChange::default() }).await
}

/// Gives a model these aliases and no others.
pub(crate) async fn alias(store: &Store, model: i64, names: &[&str]) -> Result<()> {
    let aliases = Some(names.iter().map(|name| (*name).to_owned()).collect());
    store.change_model(model, &ModelChange { aliases, ..ModelChange::default() }).await
}
