//! What was said in the conversations of Hearth's own page. The messages of one are a tree: two answers to one question, or
//! two wordings of it, have the same parent.

use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Conversation, ConversationChanges, Error, Result, Store,
    conversations::{self, json, now},
};

/// Characters of a title that is made of a message.
const TITLE: usize = 60;

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// What others call it.
    #[serde(skip)]
    row: i64,
    /// 16 hexadecimal digits.
    pub id: String,
    /// The message before it; none is the conversation's beginning.
    pub parent: Option<String>,
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// What the model thought before.
    pub reasoning: Option<String>,
    /// The tools that the model calls, a list.
    pub tool_calls: Option<Value>,
    /// Why the answer ended.
    pub finish_reason: Option<String>,
    /// The server's session that holds the branch up to here.
    pub session: Option<String>,
    /// What the server said of the answer.
    pub report: Option<Value>,
    /// When it was said, in milliseconds of Unix.
    pub created_at: i64,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    #[default]
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
}

/// Roles as the table has them.
const ROLES: [(Role, &str); 3] = [(Role::User, "user"), (Role::Assistant, "assistant"), (Role::Tool, "tool")];

impl Role {
    /// The role that the word means.
    pub fn parse(word: &str) -> Option<Self> {
        ROLES.iter().find(|(_, known)| *known == word).map(|(role, _)| *role)
    }

    fn as_str(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).map_or("", |(_, word)| word)
    }
}

/// A message that is yet to be written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewMessage {
    /// The message before it.
    pub parent: Option<String>,
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// All else that is known of it.
    pub changes: MessageChanges,
}

/// What becomes of a message; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MessageChanges {
    /// See [`Message::content`], and so on.
    pub content: Option<String>,
    /// The thoughts.
    pub reasoning: Option<Option<String>>,
    /// The calls.
    pub tool_calls: Option<Option<Value>>,
    /// The end.
    pub finish_reason: Option<Option<String>>,
    /// The session.
    pub session: Option<Option<String>>,
    /// The report.
    pub report: Option<Option<Value>>,
}

impl Store {
    /// All messages of a conversation, in the order in which they were written.
    pub async fn messages(&self, conversation: &Conversation) -> Result<Vec<Message>> {
        let list = sqlx::query_as("SELECT * FROM messages WHERE conversation = ? ORDER BY row");
        Ok(list.bind(conversation.row).fetch_all(&self.pool).await?)
    }

    /// The server's sessions that hold branches of a conversation.
    pub async fn sessions(&self, conversation: &Conversation) -> Result<Vec<String>> {
        let list =
            "SELECT DISTINCT session FROM messages WHERE conversation = ? AND session IS NOT NULL ORDER BY session";
        Ok(sqlx::query_scalar(list).bind(conversation.row).fetch_all(&self.pool).await?)
    }

    /// Adds a message, which becomes the leaf; a person's first one also becomes the title of a conversation without.
    ///
    /// Errors: the parent is no message of the conversation.
    pub async fn add_message(&self, conversation: &str, new: NewMessage) -> Result<Message> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut conversation = conversations::find(&mut transaction, conversation).await?;
        if let Some(parent) = &new.parent {
            find(&mut transaction, &conversation, parent).await?;
        }
        let add =
            "INSERT INTO messages (conversation, parent, role, content, created_at) VALUES (?, ?, ?, ?, ?) RETURNING *";
        let add = sqlx::query_as(add).bind(conversation.row).bind(new.parent).bind(new.role.as_str());
        let mut message: Message = add.bind(new.content).bind(now()).fetch_one(&mut *transaction).await?;
        change(&mut transaction, &mut message, new.changes).await?;
        let title = (conversation.title.is_none() && message.role == Role::User).then(|| title(&message.content));
        let leaf = Some(Some(message.id.clone()));
        let changes = ConversationChanges { title, leaf, ..ConversationChanges::default() };
        conversation.updated_at = now();
        conversations::change(&mut transaction, &mut conversation, changes).await?;
        transaction.commit().await?;
        Ok(message)
    }

    /// Changes what is named of a message.
    pub async fn change_message(&self, conversation: &str, id: &str, changes: MessageChanges) -> Result<Message> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let conversation = conversations::find(&mut transaction, conversation).await?;
        let mut message = find(&mut transaction, &conversation, id).await?;
        change(&mut transaction, &mut message, changes).await?;
        transaction.commit().await?;
        Ok(message)
    }
}

/// A message of this conversation.
pub(crate) async fn find(database: &mut SqliteConnection, conversation: &Conversation, id: &str) -> Result<Message> {
    let find =
        sqlx::query_as("SELECT * FROM messages WHERE id = ? AND conversation = ?").bind(id).bind(conversation.row);
    find.fetch_optional(database).await?.ok_or(Error::Gone("message"))
}

async fn change(database: &mut SqliteConnection, message: &mut Message, changes: MessageChanges) -> Result<()> {
    let MessageChanges { content, reasoning, tool_calls, finish_reason, session, report } = changes;
    message.reasoning = reasoning.unwrap_or_else(|| message.reasoning.take());
    message.tool_calls = tool_calls.unwrap_or_else(|| message.tool_calls.take());
    message.finish_reason = finish_reason.unwrap_or_else(|| message.finish_reason.take());
    message.session = session.unwrap_or_else(|| message.session.take());
    message.report = report.unwrap_or_else(|| message.report.take());
    let update = "UPDATE messages \
                  SET reasoning = ?, tool_calls = ?, finish_reason = ?, session = ?, report = ? WHERE row = ?";
    let update = sqlx::query(update).bind(&message.reasoning).bind(message.tool_calls.as_ref().map(Value::to_string));
    let update = update.bind(&message.finish_reason).bind(&message.session);
    let update = update.bind(message.report.as_ref().map(Value::to_string)).bind(message.row);
    update.execute(&mut *database).await?;
    // Apart from the others, so that the search is told only when the words are new: not each time while a model thinks.
    if let Some(content) = content.filter(|content| *content != message.content) {
        let update = sqlx::query("UPDATE messages SET content = ? WHERE row = ?").bind(&content).bind(message.row);
        update.execute(database).await?;
        message.content = content;
    }
    Ok(())
}

/// The beginning of a text on one line; none where it is blank.
fn title(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = line.char_indices().nth(TITLE).map(|_| line.chars().take(TITLE - 1).collect::<String>());
    let title = cut.map_or(line, |cut| format!("{}…", cut.trim_end()));
    (!title.is_empty()).then_some(title)
}

impl FromRow<'_, SqliteRow> for Message {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let role: &str = row.try_get("role")?;
        let unknown = || sqlx::Error::Decode(format!("`{role}` is nobody's role").into());
        Ok(Self {
            row: row.try_get("row")?,
            id: row.try_get("id")?,
            parent: row.try_get("parent")?,
            role: Role::parse(role).ok_or_else(unknown)?,
            content: row.try_get("content")?,
            reasoning: row.try_get("reasoning")?,
            tool_calls: json(row, "tool_calls")?,
            finish_reason: row.try_get("finish_reason")?,
            session: row.try_get("session")?,
            report: json(row, "report")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn said(parent: Option<&Message>, role: Role, content: &str) -> NewMessage {
        let parent = parent.map(|message| message.id.clone());
        NewMessage { parent, role, content: content.to_owned(), ..NewMessage::default() }
    }

    #[tokio::test]
    async fn two_answers_to_one_question_are_two_branches() {
        let (_home, store) = testing::store().await;
        let id = store.add_conversation(ConversationChanges::default()).await.unwrap().id;
        let question = store.add_message(&id, said(None, Role::User, "  What is\n\n a tree? ")).await.unwrap();
        let one = store.add_message(&id, said(Some(&question), Role::Assistant, "A plant.")).await.unwrap();
        let two = store.add_message(&id, said(Some(&question), Role::Assistant, "A graph.")).await.unwrap();
        let conversation = store.conversation(&id).await.unwrap();
        assert_eq!(conversation.title.as_deref(), Some("What is a tree?"));
        assert_eq!(conversation.leaf.as_ref(), Some(&two.id));
        let leaf = ConversationChanges { leaf: Some(Some(one.id.clone())), ..ConversationChanges::default() };
        assert_eq!(store.change_conversation(&id, leaf).await.unwrap().leaf.as_ref(), Some(&one.id));
        assert_eq!(store.messages(&conversation).await.unwrap(), [question, one, two]);
    }

    #[tokio::test]
    async fn an_answer_goes_on_and_keeps_what_is_not_named() {
        let (_home, store) = testing::store().await;
        let before = store.add_conversation(ConversationChanges::default()).await.unwrap();
        let changes = MessageChanges {
            reasoning: Some(Some("hm".to_owned())),
            tool_calls: Some(Some(json!([{"id": "1"}]))),
            session: Some(Some("s".to_owned())),
            ..MessageChanges::default()
        };
        let answer = NewMessage { changes, ..said(None, Role::Assistant, "Pa") };
        let made = store.add_message(&before.id, answer).await.unwrap();
        let changes = MessageChanges {
            content: Some("Paris".to_owned()),
            tool_calls: Some(None),
            finish_reason: Some(Some("stop".to_owned())),
            report: Some(Some(json!({"cache": null}))),
            ..MessageChanges::default()
        };
        let changed = store.change_message(&before.id, &made.id, changes).await.unwrap();
        let expected = Message {
            content: "Paris".to_owned(),
            tool_calls: None,
            finish_reason: Some("stop".to_owned()),
            report: Some(json!({"cache": null})),
            ..made
        };
        assert_eq!((&changed, &store.messages(&before).await.unwrap()[0]), (&expected, &expected));
        let after = store.conversation(&before.id).await.unwrap();
        assert!(after.updated_at > before.updated_at && after.title.is_none());
        assert_eq!(store.search_conversations("paris", None, 9).await.unwrap().0.len(), 1);
    }

    #[tokio::test]
    async fn the_search_is_told_only_of_new_words() {
        let (_home, store) = testing::store().await;
        let id = store.add_conversation(ConversationChanges::default()).await.unwrap().id;
        let answer = store.add_message(&id, said(None, Role::Assistant, "words")).await.unwrap();
        // What the search says of itself: each of its changes makes a new one.
        let told = async || -> Vec<u8> {
            let structure = sqlx::query_scalar("SELECT block FROM message_words_data WHERE id = 10");
            structure.fetch_one(&store.pool).await.unwrap()
        };
        let before = told().await;
        for (content, is_news) in [("words", false), ("words and more", true)] {
            let thoughts = Some(Some("hm".to_owned()));
            let changes =
                MessageChanges { content: Some(content.to_owned()), reasoning: thoughts, ..MessageChanges::default() };
            store.change_message(&id, &answer.id, changes).await.unwrap();
            assert_eq!(told().await != before, is_news, "{content}");
        }
    }

    #[tokio::test]
    async fn a_conversation_names_its_sessions_once() {
        let (_home, store) = testing::store().await;
        let (one, two) = (ConversationChanges::default(), ConversationChanges::default());
        let [one, two] = [store.add_conversation(one).await.unwrap(), store.add_conversation(two).await.unwrap()];
        for (conversation, session) in
            [(&one, Some("b")), (&one, Some("a")), (&one, Some("b")), (&one, None), (&two, Some("c"))]
        {
            let changes = MessageChanges { session: Some(session.map(str::to_owned)), ..MessageChanges::default() };
            let message = NewMessage { changes, ..said(None, Role::User, "x") };
            store.add_message(&conversation.id, message).await.unwrap();
        }
        assert_eq!(store.sessions(&one).await.unwrap(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_message_of_another_conversation_is_no_parent() {
        let (_home, store) = testing::store().await;
        let one = store.add_conversation(ConversationChanges::default()).await.unwrap().id;
        let two = store.add_conversation(ConversationChanges::default()).await.unwrap();
        let message = store.add_message(&one, said(None, Role::User, "hi")).await.unwrap();
        let reply = said(Some(&message), Role::Tool, "x");
        assert!(matches!(store.add_message(&two.id, reply).await, Err(Error::Gone("message"))));
        let changed = store.change_message(&two.id, &message.id, MessageChanges::default()).await;
        assert!(matches!(changed, Err(Error::Gone("message"))));
        assert_eq!(store.messages(&two).await.unwrap(), []);
    }

    #[test]
    fn a_title_is_a_line_of_sixty_characters_at_most() {
        assert_eq!(title(" \n "), None);
        assert_eq!(title(&"ü".repeat(60)), Some("ü".repeat(60)));
        assert_eq!(title(&"ü".repeat(61)), Some(format!("{}…", "ü".repeat(59))));
    }
}
