//! The shapes in which sessions are shown. A conversation's messages have OpenAI's form, in which most clients could send
//! them back.

use hearth_core::chat::{Message, ToolCall};
use hearth_engine::SessionInfo;
use serde::Serialize;

/// `list`: all sessions.
#[derive(Serialize)]
pub(crate) struct List {
    pub(super) object: &'static str,
    pub(super) data: Vec<Card>,
}

/// `session`: one of them, without what was said.
#[derive(Serialize)]
pub(crate) struct Card {
    object: &'static str,
    id: String,
    /// What people call it.
    title: Option<String>,
    model: String,
    /// Seconds since 1970.
    created: u64,
    last_used: u64,
    message_count: usize,
    /// Of the last prompt and its answer.
    tokens: usize,
    /// Of the messages.
    bytes: u64,
    busy: bool,
}

impl From<SessionInfo> for Card {
    fn from(SessionInfo { id, title, model, created, last_used, messages, tokens, bytes, busy }: SessionInfo) -> Self {
        Self { object: "session", id, title, model, created, last_used, message_count: messages, tokens, bytes, busy }
    }
}

/// `session` with its conversation.
#[derive(Serialize)]
pub(crate) struct Conversation {
    #[serde(flatten)]
    pub(super) card: Card,
    pub(super) messages: Vec<MessageShape>,
}

/// `session.deleted`: what is gone.
#[derive(Serialize)]
pub(crate) struct Deleted {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) deleted: bool,
}

#[derive(Serialize)]
pub(crate) struct MessageShape {
    role: &'static str,
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct CallShape {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionShape,
}

#[derive(Serialize)]
struct FunctionShape {
    name: String,
    /// An object's JSON, in a string.
    arguments: String,
}

impl From<Message> for MessageShape {
    fn from(Message { role, content, reasoning, tool_calls, tool_call_id, name }: Message) -> Self {
        let tool_calls = tool_calls.into_iter().map(CallShape::from).collect();
        Self { role: role.as_str(), content, reasoning_content: reasoning, tool_calls, tool_call_id, name }
    }
}

impl From<ToolCall> for CallShape {
    fn from(ToolCall { id, name, arguments }: ToolCall) -> Self {
        let arguments = serde_json::Value::Object(arguments).to_string();
        Self { id, kind: "function", function: FunctionShape { name, arguments } }
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::chat::Role;
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_keep_what_the_model_thought_and_called() {
        let arguments = json!({ "z": 1, "a": [2] }).as_object().cloned().expect("an object");
        let call = ToolCall { id: "c1".into(), name: "tide".into(), arguments };
        let mut said = Message::text(Role::Assistant, "");
        (said.content, said.reasoning, said.tool_calls) = (None, Some("Ask.".into()), vec![call]);
        let mut result = Message::text(Role::Tool, "high");
        (result.tool_call_id, result.name) = (Some("c1".into()), Some("tide".into()));
        let shapes = [Message::text(Role::System, "Be brief."), said, result].map(MessageShape::from);
        let function = json!({ "name": "tide", "arguments": r#"{"z":1,"a":[2]}"# });
        let expected = json!([
            { "role": "system", "content": "Be brief." },
            {
                "role": "assistant", "content": null, "reasoning_content": "Ask.",
                "tool_calls": [{ "id": "c1", "type": "function", "function": function }],
            },
            { "role": "tool", "content": "high", "tool_call_id": "c1", "name": "tide" },
        ]);
        assert_eq!(serde_json::to_value(shapes).expect("plain data"), expected);
    }
}
