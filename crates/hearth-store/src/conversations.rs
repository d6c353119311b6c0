//! The conversations of Hearth's own page, and the search through them. What was said is in `messages`.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};

use crate::{Error, Result, Store, messages};

/// A conversation, without its messages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conversation {
    /// What others call it.
    #[serde(skip)]
    pub(crate) row: i64,
    /// 16 hexadecimal digits.
    pub id: String,
    /// What people see.
    pub title: Option<String>,
    /// The model that answers, by the name that clients send.
    pub model: Option<String>,
    /// The system prompt.
    pub system: Option<String>,
    /// How the model is sampled: an object.
    pub sampling: Option<Value>,
    /// The last message of the branch that is shown.
    pub leaf: Option<String>,
    /// When it began, in milliseconds of Unix.
    pub created_at: i64,
    /// When something was last said, in milliseconds of Unix; no two that this process wrote have the same.
    pub updated_at: i64,
    /// Where a search found it: some words around the hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
}

/// What becomes of a conversation; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConversationChanges {
    /// See [`Conversation::title`], and so on.
    pub title: Option<Option<String>>,
    /// The model.
    pub model: Option<Option<String>>,
    /// The system prompt.
    pub system: Option<Option<String>>,
    /// How it is sampled.
    pub sampling: Option<Option<Value>>,
    /// One of its messages.
    pub leaf: Option<Option<String>>,
}

impl Store {
    /// Conversations in which something was last said before `before`, the last first, `limit` at most; and whether there are
    /// more.
    pub async fn conversations(&self, before: Option<i64>, limit: u32) -> Result<(Vec<Conversation>, bool)> {
        let list = "SELECT *, NULL AS snippet FROM conversations WHERE updated_at < ? ORDER BY updated_at DESC LIMIT ?";
        let list = sqlx::query_as(list).bind(before.unwrap_or(i64::MAX)).bind(i64::from(limit) + 1);
        Ok(page(list.fetch_all(&self.pool).await?, limit))
    }

    /// The same of those whose title or one of whose messages has all words of `words`, each at least the beginning of one; of
    /// all where there is no word.
    pub async fn search_conversations(
        &self,
        words: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<Conversation>, bool)> {
        let words = beginnings(words);
        if words.is_empty() {
            return self.conversations(before, limit).await;
        }
        // The newest message that was found stands for its conversation. The search runs twice and not once for each snippet;
        // the plus keeps SQLite from turning that around.
        let search = "\
            WITH hits AS ( \
                SELECT messages.conversation AS row, max(messages.row) AS message \
                FROM message_words JOIN messages ON messages.row = message_words.rowid \
                WHERE message_words MATCH ?1 GROUP BY messages.conversation \
            ), found AS MATERIALIZED ( \
                SELECT conversations.*, hits.message \
                FROM conversations LEFT JOIN hits ON hits.row = conversations.row \
                WHERE updated_at < ?2 AND (hits.row IS NOT NULL \
                    OR conversations.row IN (SELECT rowid FROM title_words WHERE title_words MATCH ?1)) \
                ORDER BY updated_at DESC LIMIT ?3 \
            ), snippets AS MATERIALIZED ( \
                SELECT rowid AS message, snippet(message_words, 0, '', '', '…', 16) AS snippet FROM message_words \
                WHERE message_words MATCH ?1 AND +rowid IN (SELECT message FROM found) \
            ) \
            SELECT found.*, coalesce(snippet, title) AS snippet \
            FROM found LEFT JOIN snippets USING (message) ORDER BY updated_at DESC";
        let search = sqlx::query_as(search).bind(words).bind(before.unwrap_or(i64::MAX));
        Ok(page(search.bind(i64::from(limit) + 1).fetch_all(&self.pool).await?, limit))
    }

    /// A conversation.
    pub async fn conversation(&self, id: &str) -> Result<Conversation> {
        find(&mut *self.pool.acquire().await?, id).await
    }

    /// A new conversation.
    pub async fn add_conversation(&self, changes: ConversationChanges) -> Result<Conversation> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let add = "INSERT INTO conversations (created_at, updated_at) VALUES (?1, ?1) RETURNING *, NULL AS snippet";
        let mut conversation = sqlx::query_as(add).bind(now()).fetch_one(&mut *transaction).await?;
        change(&mut transaction, &mut conversation, changes).await?;
        transaction.commit().await?;
        Ok(conversation)
    }

    /// Changes what is named. Errors: the leaf is no message of its.
    pub async fn change_conversation(&self, id: &str, changes: ConversationChanges) -> Result<Conversation> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut conversation = find(&mut transaction, id).await?;
        change(&mut transaction, &mut conversation, changes).await?;
        transaction.commit().await?;
        Ok(conversation)
    }

    /// Forgets a conversation and its messages.
    pub async fn remove_conversation(&self, id: &str) -> Result<()> {
        self.change(sqlx::query("DELETE FROM conversations WHERE id = ?").bind(id), "conversation").await
    }
}

/// Milliseconds of Unix, later than all before: where something was said last is the first of a list, and pages have no gap.
pub(crate) fn now() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let clock = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64);
    let next = |last: i64| clock.max(last + 1);
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last))).map_or(clock, next)
}

pub(crate) async fn find(database: &mut SqliteConnection, id: &str) -> Result<Conversation> {
    let find = sqlx::query_as("SELECT *, NULL AS snippet FROM conversations WHERE id = ?").bind(id);
    find.fetch_optional(database).await?.ok_or(Error::Gone("conversation"))
}

/// Changes `conversation` and its row.
pub(crate) async fn change(
    database: &mut SqliteConnection,
    conversation: &mut Conversation,
    changes: ConversationChanges,
) -> Result<()> {
    let ConversationChanges { title, model, system, sampling, leaf } = changes;
    if let Some(Some(leaf)) = &leaf {
        messages::find(database, conversation, leaf).await?;
    }
    conversation.title = title.unwrap_or_else(|| conversation.title.take());
    conversation.model = model.unwrap_or_else(|| conversation.model.take());
    conversation.system = system.unwrap_or_else(|| conversation.system.take());
    conversation.sampling = sampling.unwrap_or_else(|| conversation.sampling.take());
    conversation.leaf = leaf.unwrap_or_else(|| conversation.leaf.take());
    let update = "UPDATE conversations \
                  SET title = ?, model = ?, system = ?, sampling = ?, leaf = ?, updated_at = ? WHERE row = ?";
    let update = sqlx::query(update).bind(&conversation.title).bind(&conversation.model).bind(&conversation.system);
    let update = update.bind(conversation.sampling.as_ref().map(Value::to_string)).bind(&conversation.leaf);
    update.bind(conversation.updated_at).bind(conversation.row).execute(database).await?;
    Ok(())
}

/// Without the one that was asked for beyond `limit`, which says that there are more.
fn page(mut rows: Vec<Conversation>, limit: u32) -> (Vec<Conversation>, bool) {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    (rows, more)
}

/// What FTS5 is asked: each word as text, whatever stands in it, and as the beginning of one. It would take a zero for the end.
fn beginnings(words: &str) -> String {
    let words = words.split(|letter: char| letter.is_whitespace() || letter == '\0').filter(|word| !word.is_empty());
    words.map(|word| format!("\"{}\"* ", word.replace('"', "\"\""))).collect()
}

/// A column that may hold JSON.
pub(crate) fn json(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Value>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))).transpose()
}

impl FromRow<'_, SqliteRow> for Conversation {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            row: row.try_get("row")?,
            id: row.try_get("id")?,
            title: row.try_get("title")?,
            model: row.try_get("model")?,
            system: row.try_get("system")?,
            sampling: json(row, "sampling")?,
            leaf: row.try_get("leaf")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            snippet: row.try_get("snippet")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{NewMessage, testing};

    fn titled(title: &str) -> ConversationChanges {
        ConversationChanges { title: Some(Some(title.to_owned())), ..ConversationChanges::default() }
    }

    async fn say(store: &Store, conversation: &Conversation, content: &str) {
        let message = NewMessage { content: content.to_owned(), ..NewMessage::default() };
        store.add_message(&conversation.id, message).await.unwrap();
    }

    fn titles((found, more): (Vec<Conversation>, bool)) -> (Vec<String>, bool) {
        (found.into_iter().map(|conversation| conversation.title.unwrap()).collect(), more)
    }

    #[tokio::test]
    async fn pages_go_from_where_something_was_said_last_to_the_first_without_a_gap() {
        let (_home, store) = testing::store().await;
        for number in 0..5 {
            store.add_conversation(titled(&number.to_string())).await.unwrap();
        }
        let first = store.conversations(None, 5).await.unwrap().0.pop().unwrap();
        say(&store, &first, "more").await;
        let second = store.conversations(None, 5).await.unwrap().0.pop().unwrap();
        store.change_conversation(&second.id, titled("1, renamed")).await.unwrap();
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let (page, more) = store.conversations(before, 2).await.unwrap();
            before = page.last().map(|last| last.updated_at);
            all.extend(page.into_iter().map(|conversation| conversation.title.unwrap()));
            if !more {
                break;
            }
        }
        assert_eq!(all, ["0", "4", "3", "2", "1, renamed"]);
    }

    #[tokio::test]
    async fn what_is_named_changes_and_the_rest_stays() {
        let (_home, store) = testing::store().await;
        let changes = ConversationChanges {
            model: Some(Some("ember".to_owned())),
            sampling: Some(Some(json!({"temperature": 0.5}))),
            ..titled("One")
        };
        let made = store.add_conversation(changes).await.unwrap();
        assert_eq!((made.id.len(), made.created_at <= made.updated_at), (16, true));
        let changes =
            ConversationChanges { model: Some(None), system: Some(Some("Be brief.".to_owned())), ..titled("Two") };
        let changed = store.change_conversation(&made.id, changes).await.unwrap();
        assert_eq!(store.conversation(&made.id).await.unwrap(), changed);
        let expected = Conversation {
            title: Some("Two".to_owned()),
            model: None,
            system: Some("Be brief.".to_owned()),
            ..made.clone()
        };
        assert_eq!(changed, expected);
        let foreign = ConversationChanges { leaf: Some(Some("x".to_owned())), ..ConversationChanges::default() };
        assert!(matches!(store.change_conversation(&made.id, foreign).await, Err(Error::Gone("message"))));
        assert!(matches!(store.change_conversation("x", titled("")).await, Err(Error::Gone("conversation"))));
    }

    #[tokio::test]
    async fn a_search_finds_the_beginnings_of_words_in_titles_and_messages() {
        let (_home, store) = testing::store().await;
        let boats = store.add_conversation(titled("Old boats")).await.unwrap();
        let café = store.add_conversation(titled("Paris")).await.unwrap();
        say(&store, &boats, &format!("{} a sail is trimmed {}", "one ".repeat(50), "two ".repeat(50))).await;
        say(&store, &café, "Où est le café? \"Here\" -- it's AND NOT*").await;
        for (words, expected) in [
            ("boat", &["Old boats"][..]),
            ("OLD bo", &["Old boats"]),
            ("trim SAI", &["Old boats"]),
            ("oats", &[]),
            ("cafe", &["Paris"]),
            ("\"here\"", &["Paris"]),
            ("AND", &["Paris"]),
            ("-- (", &[]),
            ("it's NOT*", &["Paris"]),
            ("o", &["Paris", "Old boats"]),
            ("content: x", &[]),
            ("boat\0old", &["Old boats"]),
            ("\0 ", &["Paris", "Old boats"]),
        ] {
            assert_eq!(titles(store.search_conversations(words, None, 9).await.unwrap()).0, expected, "{words}");
        }
        let found = store.search_conversations("trimmed", None, 9).await.unwrap().0.remove(0).snippet.unwrap();
        assert!(found.contains("a sail is trimmed") && found.starts_with('…') && found.len() < 120, "{found}");
        let found = store.search_conversations("boats", None, 9).await.unwrap().0.remove(0).snippet;
        assert_eq!(found.as_deref(), Some("Old boats"));
        let (page, more) = store.search_conversations("o", None, 1).await.unwrap();
        assert!(more);
        let rest = store.search_conversations("o", Some(page[0].updated_at), 1).await.unwrap();
        assert_eq!(titles(rest), (vec!["Old boats".to_owned()], false));
    }

    #[tokio::test]
    async fn what_was_changed_or_removed_is_found_no_more() {
        let (_home, store) = testing::store().await;
        let one = store.add_conversation(titled("apples")).await.unwrap();
        say(&store, &one, "pears").await;
        store.change_conversation(&one.id, titled("plums")).await.unwrap();
        let found = async |words| store.search_conversations(words, None, 9).await.unwrap().0.len();
        assert_eq!((found("apples").await, found("plums").await, found("pears").await), (0, 1, 1));
        store.remove_conversation(&one.id).await.unwrap();
        assert_eq!((found("plums").await, found("pears").await), (0, 0));
        assert!(matches!(store.remove_conversation(&one.id).await, Err(Error::Gone("conversation"))));
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM messages").fetch_one(&store.pool).await.unwrap();
        assert_eq!(left, 0);
        for table in ["title_words", "message_words"] {
            let check =
                sqlx::AssertSqlSafe(format!("INSERT INTO {table} ({table}, rank) VALUES ('integrity-check', 1)"));
            sqlx::query(check).execute(&store.pool).await.unwrap();
        }
    }
}
