//! Further names of models, in lower case. All names together, these and the models' own, are unique.

use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};

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
}

/// Lets a model answer to these names besides its own, and to no others. Errors: a name is another model's.
pub(crate) async fn set_aliases(database: &mut SqliteConnection, model: i64, names: &[String]) -> Result<()> {
    sqlx::query("DELETE FROM aliases WHERE model = ?").bind(model).execute(&mut *database).await?;
    let add = "INSERT INTO aliases (name, model) SELECT ?1, id FROM models WHERE id = ?2 AND api_name <> ?1 ON CONFLICT DO NOTHING";
    for name in names.iter().map(|name| key(name)) {
        refuse_taken(database, &name, model).await?;
        sqlx::query(add).bind(name).bind(model).execute(&mut *database).await?;
    }
    Ok(())
}

impl FromRow<'_, SqliteRow> for Alias {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self { name: row.try_get("name")?, model: row.try_get("model")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn an_alias_is_kept_in_lower_case_and_once() {
        let (_home, store) = testing::store().await;
        let model = testing::add(&store, "One").await;
        testing::alias(&store, model.id, &["GPT-4o", "gpt-4O", "Éclair", "one"]).await.unwrap();
        let alias = |name: &str| Alias { name: name.to_owned(), model: model.id };
        assert_eq!(store.aliases().await.unwrap(), [alias("gpt-4o"), alias("éclair")]);
        testing::alias(&store, model.id, &["GPT-4O"]).await.unwrap();
        assert_eq!(store.aliases().await.unwrap(), [alias("gpt-4o")]);
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_refused_and_nothing_changed() {
        let (_home, store) = testing::store().await;
        let (one, two) = (testing::add(&store, "One").await, testing::add(&store, "Two").await);
        testing::alias(&store, one.id, &["first"]).await.unwrap();
        testing::alias(&store, two.id, &["second"]).await.unwrap();
        for name in ["one", "One", "FIRST"] {
            let message = testing::alias(&store, two.id, &["other", name]).await.unwrap_err().to_string();
            assert!(message.contains("belongs to owner/One already"), "{message}");
        }
        let aliases: Vec<_> = store.aliases().await.unwrap().into_iter().map(|alias| alias.name).collect();
        assert_eq!(aliases, ["first", "second"]);
    }
}
