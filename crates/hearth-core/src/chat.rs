//! A chat request after its protocol has been validated and left behind.

use serde_json::{Map, Value};

use crate::model::KeepAlive;
use crate::sampling::SamplingOverrides;

/// Who speaks in a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the application.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
}

impl Role {
    /// The role's name in chat templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// All text parts, in order, joined without additions; `None` where the client sent null.
    pub content: Option<String>,
    /// What the model thought before it answered (assistant turns).
    pub reasoning: Option<String>,
    /// The calls that the model made (assistant turns).
    pub tool_calls: Vec<ToolCall>,
    /// The call that this turn answers (tool turns).
    pub tool_call_id: Option<String>,
    /// The speaker's or the tool's name.
    pub name: Option<String>,
}

impl Message {
    /// A turn of plain text.
    pub fn text(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: Some(content.into()),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }
}

/// A call of a tool in a conversation's history.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The call's id, as the answer to it repeats it.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// The arguments, in the order in which they were given.
    pub arguments: Map<String, Value>,
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The function's name.
    pub name: String,
    /// The definition as chat templates expect it: `{"type": "function", "function": {…}}`, the client's key order kept.
    pub definition: Value,
}

/// Whether the model may call tools.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tools are offered and no calls are parsed.
    None,
}

/// A conversation to be continued by one assistant turn.
#[derive(Debug, Clone, Default)]
pub struct ChatRequest {
    /// The model's name as the client gave it; empty for the default model.
    pub model: String,
    /// The conversation so far, oldest turn first.
    pub messages: Vec<Message>,
    /// Functions on offer.
    pub tools: Vec<Tool>,
    /// Whether they may be called.
    pub tool_choice: ToolChoice,
    /// Whether an answer ends up with one call at most: those that the model writes beyond the first are dropped.
    pub one_call: bool,
    /// Documents for templates that take them.
    pub documents: Vec<Value>,
    /// Scalars that the template may see (`enable_thinking`, `reasoning_effort`).
    pub template_args: Map<String, Value>,
    /// What the request says about sampling.
    pub sampling: SamplingOverrides,
    /// At most so many tokens in the answer; `None`: up to the context's end or the server's default.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// The conversation that it belongs to, where the client names one.
    pub session: Option<SessionRef>,
    /// How long the model stays loaded after this; `None`: as was said before, else the model's or the server's way.
    pub keep_alive: Option<KeepAlive>,
}

/// A session as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRef {
    /// Its id.
    pub id: String,
    /// Whether the client speaks of a session of Hearth's (`session_id`, `X-Session-Id`), and so may send only its new
    /// turns. Other protocols' fields (`prompt_cache_key`, `metadata.user_id`) may name many conversations at once: they
    /// find caches, and never add a message.
    pub explicit: bool,
}
