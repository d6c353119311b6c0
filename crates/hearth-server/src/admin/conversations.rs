//! `/admin/v1/conversations`: what Hearth's own page remembers of its chats. Clients' conversations are not here: what the
//! server needs of those are its sessions.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
    http::StatusCode,
};
use hearth_core::Error;
use hearth_store::{Conversation, ConversationChanges, Message, MessageChanges, NewMessage, Role};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    Admin,
    models::{check_known, field},
};
use crate::{body::WholeBody, error::ApiError, library::LibraryError, state::AppState};

/// Conversations of one page, where nobody says how many, and at most.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 200;

const FIELDS: [&str; 5] = ["title", "model", "system", "sampling", "leaf"];
const NEW_MESSAGE: [&str; 8] =
    ["parent", "role", "content", "reasoning", "tool_calls", "finish_reason", "session", "report"];
const MESSAGE: &[&str] = NEW_MESSAGE.split_at(2).1;

/// Which conversations.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    q: String,
    limit: Option<u32>,
    before: Option<i64>,
}

/// `list`.
#[derive(Serialize)]
pub(crate) struct List {
    conversations: Vec<Conversation>,
    more: bool,
}

/// `retrieve`.
#[derive(Serialize)]
pub(crate) struct Whole {
    conversation: Conversation,
    messages: Vec<Message>,
}

type Id = Result<Path<String>, PathRejection>;
type Ids = Result<Path<(String, String)>, PathRejection>;
type Fields = Map<String, Value>;

/// Where something was said last first, of all or of those that a search finds.
pub(crate) async fn list(admin: Admin, wanted: Result<Query<Wanted>, QueryRejection>) -> Result<Json<List>, ApiError> {
    let Query(Wanted { q, limit, before }) = wanted?;
    let limit = limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let (conversations, more) = admin.library().store().search_conversations(&q, before, limit).await?;
    Ok(Json(List { conversations, more }))
}

/// A new one.
pub(crate) async fn create(admin: Admin, body: WholeBody) -> Result<(StatusCode, Json<Conversation>), ApiError> {
    let conversation = admin.library().store().add_conversation(changes(&body.object().await?)?).await?;
    Ok((StatusCode::CREATED, Json(conversation)))
}

/// One with all its messages.
pub(crate) async fn retrieve(admin: Admin, id: Id) -> Result<Json<Whole>, ApiError> {
    let store = admin.library().store();
    let conversation = store.conversation(&id?.0).await?;
    Ok(Json(Whole { messages: store.messages(&conversation).await?, conversation }))
}

/// Changes what is named.
pub(crate) async fn change(admin: Admin, id: Id, body: WholeBody) -> Result<Json<Conversation>, ApiError> {
    let changes = changes(&body.object().await?)?;
    Ok(Json(admin.library().store().change_conversation(&id?.0, changes).await?))
}

/// Forgets it, and what the server's sessions hold of it.
pub(crate) async fn remove(State(state): State<AppState>, admin: Admin, id: Id) -> Result<Json<Value>, ApiError> {
    let (store, Path(id)) = (admin.library().store(), id?);
    for session in store.sessions(&store.conversation(&id).await?).await? {
        state.engine.delete_session(&session, None).await?;
    }
    store.remove_conversation(&id).await?;
    Ok(Json(json!({ "id": id, "deleted": true })))
}

/// Adds a message, which becomes the leaf.
pub(crate) async fn add_message(
    admin: Admin,
    id: Id,
    body: WholeBody,
) -> Result<(StatusCode, Json<Message>), ApiError> {
    let fields = body.object().await?;
    check_known(&fields, &NEW_MESSAGE)?;
    let role: Option<String> = field(&fields, "role", "a string")?;
    let role = role.and_then(|role| Role::parse(&role));
    let message = NewMessage {
        parent: field(&fields, "parent", "a message's id")?,
        role: role.ok_or_else(|| Error::invalid("role", "role must be user, assistant or tool."))?,
        content: field(&fields, "content", "a string")?
            .ok_or_else(|| Error::invalid("content", "content is missing: say what was said."))?,
        changes: MessageChanges { content: None, ..message_changes(&fields)? },
    };
    Ok((StatusCode::CREATED, Json(admin.library().store().add_message(&id?.0, message).await?)))
}

/// Changes what is named of a message, as of an answer that goes on.
pub(crate) async fn change_message(admin: Admin, ids: Ids, body: WholeBody) -> Result<Json<Message>, ApiError> {
    let Path((conversation, message)) = ids?;
    let fields = body.object().await?;
    check_known(&fields, MESSAGE)?;
    let changes = message_changes(&fields)?;
    Ok(Json(admin.library().store().change_message(&conversation, &message, changes).await?))
}

fn changes(fields: &Fields) -> Result<ConversationChanges, ApiError> {
    check_known(fields, &FIELDS)?;
    Ok(ConversationChanges {
        title: given(fields, "title", "a string")?,
        model: given(fields, "model", "a model's name")?,
        system: given(fields, "system", "a string")?,
        sampling: given(fields, "sampling", "an object")?.map(|given| given.map(Value::Object)),
        leaf: given(fields, "leaf", "a message's id")?,
    })
}

fn message_changes(fields: &Fields) -> Result<MessageChanges, ApiError> {
    Ok(MessageChanges {
        content: field(fields, "content", "a string")?,
        reasoning: given(fields, "reasoning", "a string")?,
        tool_calls: given(fields, "tool_calls", "a list")?.map(|given| given.map(Value::Array)),
        finish_reason: given(fields, "finish_reason", "a string")?,
        session: given(fields, "session", "a session's id")?,
        report: given(fields, "report", "an object")?.map(|given| given.map(Value::Object)),
    })
}

/// A field of a body; `Some(None)` where it is null, `None` where it is missing.
fn given<T: DeserializeOwned>(fields: &Fields, name: &str, expected: &str) -> Result<Option<Option<T>>, ApiError> {
    fields.contains_key(name).then(|| field(fields, name, expected)).transpose()
}

impl From<hearth_store::Error> for ApiError {
    fn from(error: hearth_store::Error) -> Self {
        LibraryError::from(error).into()
    }
}
