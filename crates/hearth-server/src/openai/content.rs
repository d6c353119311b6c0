//! The conversation: OpenAI's messages become turns of text and calls.

use hearth_core::{
    Error, Result,
    chat::{Message, Role},
};
use serde_json::value::RawValue;

use super::tools;
use crate::fields::{Fields, elements, parse, wrong};

const MAX_MESSAGES: usize = 4096;
const MAX_PARTS: usize = 4096;

/// A line that a coding agent puts into its system prompt. It differs in every request, and would spoil every prefix.
const BILLING_LINE: &str = "x-anthropic-billing-header:";

/// The turns of a request.
pub(super) fn messages(fields: &Fields<'_>) -> Result<Vec<Message>> {
    let list = fields.list("messages", MAX_MESSAGES)?.unwrap_or_default();
    if list.is_empty() {
        return Err(Error::invalid("messages", "messages must hold at least one message."));
    }
    list.into_iter().enumerate().map(|(i, raw)| message(&Fields::read(raw, &format!("messages[{i}]"))?)).collect()
}

fn message(fields: &Fields<'_>) -> Result<Message> {
    let role = role(fields)?;
    let mut message = Message {
        role,
        content: content(fields, role)?,
        reasoning: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
        name: fields.string("name")?,
    };
    match role {
        Role::Assistant => assistant(fields, &mut message)?,
        Role::Tool => message.tool_call_id = fields.string("tool_call_id")?,
        Role::System | Role::User => {}
    }
    Ok(message)
}

fn role(fields: &Fields<'_>) -> Result<Role> {
    let path = fields.path("role");
    let known = "system, developer, user, assistant, tool or function";
    match fields.string("role")?.as_deref() {
        Some("system" | "developer") => Ok(Role::System),
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("tool" | "function") => Ok(Role::Tool),
        Some(other) => Err(Error::invalid(&path, format!("{path} must be {known}, not {other:?}."))),
        None => Err(Error::invalid(&path, format!("{path} is missing: it must be {known}."))),
    }
}

fn assistant(fields: &Fields<'_>, message: &mut Message) -> Result<()> {
    for name in ["function_call", "audio"] {
        if fields.raw(name).is_some() {
            let path = fields.path(name);
            return Err(Error::invalid(&path, format!("{path} is not supported: use content and tool_calls.")));
        }
    }
    let reasoning = fields.string("reasoning_content")?;
    message.reasoning = reasoning.map_or_else(|| fields.string("reasoning"), |text| Ok(Some(text)))?;
    message.tool_calls = tools::calls(fields)?;
    let refusal = fields.string("refusal")?;
    message.content = message.content.take().or(refusal);
    if message.content.is_none() && message.tool_calls.is_empty() {
        message.content = Some(String::new());
    }
    Ok(())
}

/// The text of a turn. Only the model may have said nothing; a tool that returned nothing is an empty text.
fn content(fields: &Fields<'_>, role: Role) -> Result<Option<String>> {
    let path = fields.path("content");
    let raw = match (fields.raw("content"), role) {
        (Some(raw), _) => raw,
        (None, Role::Assistant) => return Ok(None),
        (None, Role::Tool) => return Ok(Some(String::new())),
        (None, _) => return Err(Error::invalid(&path, format!("{path} is missing."))),
    };
    let parts = match raw.get().as_bytes()[0] {
        b'"' => vec![parse(raw, &path, "a string")?],
        b'[' => parts(raw, &path)?,
        _ => return Err(wrong(raw, &path, "a string or a list of parts")),
    };
    let kept = |part: String| if role == Role::System { without_billing_line(part) } else { part };
    Ok(Some(parts.into_iter().map(kept).collect()))
}

fn parts(raw: &RawValue, path: &str) -> Result<Vec<String>> {
    let list = elements(raw, path, MAX_PARTS)?;
    list.into_iter().enumerate().map(|(i, raw)| part(&Fields::read(raw, &format!("{path}[{i}]"))?)).collect()
}

fn part(fields: &Fields<'_>) -> Result<String> {
    let kind = fields.string("type")?;
    let text = match kind.as_deref() {
        Some(name @ ("text" | "refusal")) => name,
        other => {
            let (path, other) = (fields.path("type"), other.unwrap_or("no type"));
            let message = format!("{path}: {other} is not supported, only text: this model reads nothing else.");
            return Err(Error::invalid(path, message));
        }
    };
    let path = fields.path(text);
    fields.string(text)?.ok_or_else(|| Error::invalid(&path, format!("{path} is missing.")))
}

fn without_billing_line(text: String) -> String {
    if !text.contains(BILLING_LINE) {
        return text;
    }
    text.split_inclusive('\n').filter(|line| !line.starts_with(BILLING_LINE)).collect()
}
