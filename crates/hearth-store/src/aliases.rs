//! Further names of models, in lower case. All names together, these and the models' own, are unique.

use sqlx::{FromRow, Row, sqlite::SqliteRow};

use crate::{
    Result, Store,
    models::{key, refuse_taken},
};

/// A name that a model also answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name, in lower case.
    pub name: String,
    /// The model's row.
    pub model: i64,
}

impl Store {
    /// All aliases, by name.
    pub async fn aliases(&self) -> Result<Vec<Alias>> {
        Ok(sqlx::query_as("SELECT * FROM aliases ORDER BY name").fetch_all(&self.pool).await?)
    }

    /// Lets a model answer to `name` too. Errors: the name is another model's.
    pub async fn add_alias(&self, model: i64, name: &str) -> Result<()> {
        let name = key(name);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        refuse_taken(&mut transaction, &name, model).await?;
        let add = "INSERT INTO aliases (name, model) SELECT ?1, id FROM models WHERE id = ?2 AND api_name <> ?1 ON CONFLICT DO NOTHING";
        sqlx::query(add).bind(name).bind(model).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Takes a further name from whatever model has it.
    pub async fn remove_alias(&self, name: &str) -> Result<()> {
        self.change(sqlx::query("DELETE FROM aliases WHERE name = ?").bind(key(name)), "alias of that name").await
    }
}

impl FromRow<'_, SqliteRow> for Alias {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self { name: row.try_get("name")?, model: row.try_get("model")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, testing};

    #[tokio::test]
    async fn an_alias_is_kept_in_lower_case_and_once() {
        let (_home, store) = testing::store().await;
        let model = testing::add(&store, "One").await;
        for name in ["GPT-4o", "gpt-4O", "Éclair", "one"] {
            store.add_alias(model.id, name).await.unwrap();
        }
        let alias = |name: &str| Alias { name: name.to_owned(), model: model.id };
        assert_eq!(store.aliases().await.unwrap(), [alias("gpt-4o"), alias("éclair")]);
        store.remove_alias("ÉCLAIR").await.unwrap();
        assert_eq!(store.aliases().await.unwrap(), [alias("gpt-4o")]);
        assert!(matches!(store.remove_alias("éclair").await, Err(Error::Gone(_))));
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_refused() {
        let (_home, store) = testing::store().await;
        let (one, two) = (testing::add(&store, "One").await, testing::add(&store, "Two").await);
        store.add_alias(one.id, "first").await.unwrap();
        for name in ["one", "One", "FIRST"] {
            let message = store.add_alias(two.id, name).await.unwrap_err().to_string();
            assert!(message.contains("belongs to owner/One already"), "{message}");
        }
    }
}
