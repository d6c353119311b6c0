//! The schema, as the steps by which it came about. A step is added at the end and never edited: databases lie on
//! people's disks that have taken the earlier ones. How many one has taken is its `user_version`.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::{Error, Result};

const STEPS: &[&str] =
    &[include_str!("../migrations/0001_models.sql"), include_str!("../migrations/0002_conversations.sql")];

/// Takes the steps that the database lacks, all or none of them.
pub(crate) async fn run(database: &mut SqliteConnection, path: &Path) -> Result<()> {
    run_steps(database, path, STEPS).await
}

async fn run_steps(database: &mut SqliteConnection, path: &Path, steps: &[&'static str]) -> Result<()> {
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *database).await?;
    let known = steps.len() as i64;
    let lacking = usize::try_from(found).ok().and_then(|taken| steps.get(taken..));
    let Some(lacking) = lacking else {
        return Err(Error::Newer { path: path.to_owned(), found, known });
    };
    if lacking.is_empty() {
        return Ok(());
    }
    let sql = format!("BEGIN IMMEDIATE; {} PRAGMA user_version = {known}; COMMIT;", lacking.join("\n"));
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(database).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sqlx::{Connection, Row};

    use super::*;
    use crate::testing;

    async fn schema(database: &mut SqliteConnection) -> Vec<(String, String)> {
        let sql = "SELECT name, coalesce(sql, '') AS sql FROM sqlite_schema ORDER BY name";
        let rows = sqlx::query(sql).fetch_all(database).await.unwrap();
        rows.iter().map(|row| (row.get("name"), row.get("sql"))).collect()
    }

    async fn memory() -> SqliteConnection {
        SqliteConnection::connect("sqlite::memory:").await.unwrap()
    }

    /// The tables, each with the step that made it.
    const TABLES: [(usize, &str); 8] = [
        (1, "models"),
        (1, "aliases"),
        (1, "downloads"),
        (1, "settings"),
        (2, "conversations"),
        (2, "messages"),
        (2, "title_words"),
        (2, "message_words"),
    ];

    /// `tests/schemas/N.sql` is a database as it was when N steps had been taken, with a row in each table. A step that
    /// somebody edits gives another schema than this.
    #[tokio::test]
    async fn every_older_database_becomes_what_a_new_one_is_and_keeps_its_rows() {
        let mut new = memory().await;
        run(&mut new, Path::new("new")).await.unwrap();
        for version in 1..=STEPS.len() {
            let path = format!("{}/tests/schemas/{version}.sql", env!("CARGO_MANIFEST_DIR"));
            let sql = fs::read_to_string(&path).unwrap_or_else(|_| panic!("add {path}"));
            let mut old = memory().await;
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut old).await.unwrap();
            run(&mut old, Path::new("old")).await.unwrap();
            assert_eq!(schema(&mut old).await, schema(&mut new).await, "{path}");
            for (_, table) in TABLES.into_iter().filter(|(since, _)| *since <= version) {
                let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
                let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut old).await.unwrap();
                assert_eq!(rows, 1, "{path}: {table}");
            }
        }
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_the_database_at_the_step_before() {
        let (_home, path) = testing::place();
        let mut database = testing::connect(&path).await;
        let good = "CREATE TABLE one (a) STRICT;";
        run_steps(&mut database, &path, &["CREATE TABLE one (a INTEGER);"]).await.unwrap();
        let steps = ["", "CREATE TABLE two (a INTEGER);", good];
        assert!(run_steps(&mut database, &path, &steps).await.is_err());
        drop(database);
        let mut database = testing::connect(&path).await;
        let names: Vec<_> = schema(&mut database).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["one"]);
        run_steps(&mut database, &path, &steps[..2]).await.unwrap();
        assert_eq!(schema(&mut database).await.len(), 2);
    }
}
