//! The downloads that were asked for, so that after a start they go on, or can be shown as they ended.

use sqlx::{FromRow, Row, sqlite::SqliteRow};

use crate::{Result, Store};

/// A download as it last stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The row.
    pub id: i64,
    /// The repository, `owner/name`.
    pub repo: String,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// How it stood.
    pub state: DownloadState,
    /// Bytes that are on disk.
    pub bytes: i64,
    /// Bytes of all files, once known.
    pub total: Option<i64>,
    /// Why it failed, or why it pauses.
    pub error: Option<String>,
    /// When it was first asked for, in seconds of Unix.
    pub created: i64,
    /// When this was written, in seconds of Unix.
    pub updated: i64,
}

/// What a download can be found as after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadState {
    /// It waits for others.
    Queued,
    /// It was under way.
    Running,
    /// A person, or a full disk, stopped it; it can go on.
    Paused,
    /// The model is here.
    Done,
    /// It ended with an error; it can be tried again.
    Failed,
    /// A person gave it up.
    Cancelled,
}

/// States as the table has them.
const STATES: [(DownloadState, &str); 6] = [
    (DownloadState::Queued, "queued"),
    (DownloadState::Running, "running"),
    (DownloadState::Paused, "paused"),
    (DownloadState::Done, "done"),
    (DownloadState::Failed, "failed"),
    (DownloadState::Cancelled, "cancelled"),
];

impl DownloadState {
    /// The state in one word.
    pub fn as_str(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("", |(_, word)| word)
    }

    fn parse(word: &str) -> Option<Self> {
        STATES.iter().find(|(_, known)| *known == word).map(|(state, _)| *state)
    }
}

impl Store {
    /// All downloads, in the order in which they were asked for.
    pub async fn downloads(&self) -> Result<Vec<Download>> {
        Ok(sqlx::query_as("SELECT * FROM downloads ORDER BY id").fetch_all(&self.pool).await?)
    }

    /// Notes that a download was asked for; one that is known is queued once more, with the bytes it has.
    pub async fn queue_download(&self, repo: &str, revision: &str) -> Result<Download> {
        let add = "INSERT INTO downloads (repo, revision, state) VALUES (?, ?, 'queued') \
                   ON CONFLICT (repo, revision) DO UPDATE SET state = 'queued', error = NULL, updated = unixepoch() \
                   RETURNING *";
        Ok(sqlx::query_as(add).bind(repo).bind(revision).fetch_one(&self.pool).await?)
    }

    /// Notes how a download stands: its row is found by `id`, and its `state`, `bytes`, `total` and `error` are kept.
    pub async fn update_download(&self, download: &Download) -> Result<()> {
        let update =
            "UPDATE downloads SET state = ?, bytes = ?, total = ?, error = ?, updated = unixepoch() WHERE id = ?";
        let update = sqlx::query(update)
            .bind(download.state.as_str())
            .bind(download.bytes)
            .bind(download.total)
            .bind(&download.error)
            .bind(download.id);
        self.change(update, "download").await
    }

    /// Forgets a download; its files are not touched.
    pub async fn forget_download(&self, id: i64) -> Result<()> {
        self.change(sqlx::query("DELETE FROM downloads WHERE id = ?").bind(id), "download").await
    }
}

impl FromRow<'_, SqliteRow> for Download {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let state: &str = row.try_get("state")?;
        let unknown = || sqlx::Error::Decode(format!("`{state}` is no state of a download").into());
        Ok(Self {
            id: row.try_get("id")?,
            repo: row.try_get("repo")?,
            revision: row.try_get("revision")?,
            state: DownloadState::parse(state).ok_or_else(unknown)?,
            bytes: row.try_get("bytes")?,
            total: row.try_get("total")?,
            error: row.try_get("error")?,
            created: row.try_get("created")?,
            updated: row.try_get("updated")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, testing};

    #[tokio::test]
    async fn every_state_survives_the_table() {
        let (_home, store) = testing::store().await;
        let mut download = store.queue_download("owner/name", "main").await.unwrap();
        assert_eq!((download.state, download.bytes, download.total), (DownloadState::Queued, 0, None));
        for (state, _) in STATES {
            download.state = state;
            download.bytes += 1 << 40;
            download.total = Some(1 << 50);
            download.error = Some(format!("the {} one", state.as_str()));
            store.update_download(&download).await.unwrap();
            let found = store.downloads().await.unwrap().remove(0);
            assert_eq!(Download { updated: download.updated, ..found }, download);
        }
    }

    #[tokio::test]
    async fn asking_again_keeps_the_bytes_and_drops_the_error() {
        let (_home, store) = testing::store().await;
        let download = store.queue_download("owner/name", "main").await.unwrap();
        let other = store.queue_download("owner/name", "v2").await.unwrap();
        let failed =
            Download { state: DownloadState::Failed, bytes: 7, error: Some("gone".to_owned()), ..download.clone() };
        store.update_download(&failed).await.unwrap();
        let again = store.queue_download("owner/name", "main").await.unwrap();
        assert_eq!((again.id, again.state, again.bytes, again.error), (download.id, DownloadState::Queued, 7, None));
        store.forget_download(download.id).await.unwrap();
        assert_eq!(store.downloads().await.unwrap(), [other]);
        assert!(matches!(store.update_download(&failed).await, Err(Error::Gone("download"))));
        assert!(matches!(store.forget_download(download.id).await, Err(Error::Gone("download"))));
    }
}
