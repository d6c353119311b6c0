//! What a request's messages are to the conversation that its session holds: three rules, tried in order.

use hearth_core::chat::{Message, Role, ToolCall};
use hearth_core::event::Turn;
use serde_json::{Map, Value};

/// The conversation that `messages` come to for a session that holds `stored`, and by which rule.
///
/// `explicit` says that the client knows of Hearth's sessions, and so may send its new turns alone.
pub(super) fn apply(stored: Option<&[Message]>, explicit: bool, messages: Vec<Message>) -> (Vec<Message>, Turn) {
    let Some(stored) = stored else { return (messages, Turn::New) };
    if begins_with(&messages, stored) {
        let rest = messages.into_iter().skip(stored.len());
        return (stored.iter().cloned().chain(rest).collect(), Turn::Continued);
    }
    match delta(stored, &messages).filter(|_| explicit) {
        Some(new) => (stored.iter().chain(new).cloned().collect(), Turn::Delta),
        None => (messages, Turn::Replaced),
    }
}

fn begins_with(messages: &[Message], stored: &[Message]) -> bool {
    messages.len() >= stored.len() && messages.iter().zip(stored).all(|(message, stored)| same(message, stored))
}

/// The new turns, if `messages` are nothing else, but perhaps for the system messages that the client always sends.
fn delta<'a>(stored: &[Message], messages: &'a [Message]) -> Option<&'a [Message]> {
    let always = |(message, stored): &(&Message, &Message)| message.role == Role::System && same(message, stored);
    let new = &messages[messages.iter().zip(stored).take_while(always).count()..];
    let only_new = new.iter().all(|message| matches!(message.role, Role::User | Role::Tool));
    (only_new && !new.is_empty()).then_some(new)
}

/// Whether a client means the stored message by `message`: it may have dropped what it has no use for.
fn same(message: &Message, stored: &Message) -> bool {
    if message.role != stored.role {
        return false;
    }
    if message.role == Role::Assistant { same_answer(message, stored) } else { same_input(message, stored) }
}

fn same_input(message: &Message, stored: &Message) -> bool {
    message.content == stored.content
        && message.name == stored.name
        && agree(message.tool_call_id.as_deref(), stored.tool_call_id.as_deref())
}

fn same_answer(message: &Message, stored: &Message) -> bool {
    let text = |message: &Message| message.content.clone().unwrap_or_default();
    let reasoning = message.reasoning.as_deref().filter(|reasoning| !reasoning.is_empty());
    text(message) == text(stored)
        && (reasoning.is_none() || reasoning == stored.reasoning.as_deref())
        && message.tool_calls.len() == stored.tool_calls.len()
        && message.tool_calls.iter().zip(&stored.tool_calls).all(|(call, stored)| same_call(call, stored))
}

fn same_call(call: &ToolCall, stored: &ToolCall) -> bool {
    call.name == stored.name
        && agree(Some(&call.id), Some(&stored.id))
        && same_object(&call.arguments, &stored.arguments)
}

/// Where both are there, they are equal.
fn agree(one: Option<&str>, other: Option<&str>) -> bool {
    match (one.unwrap_or_default(), other.unwrap_or_default()) {
        ("", _) | (_, "") => true,
        (one, other) => one == other,
    }
}

fn same_object(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    one.len() == other.len()
        && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same_json(value, other)))
}

/// As JSON compares in a client that reads and writes it: 1.0 is 1.
fn same_json(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_json(one, other))
        }
        (Value::Object(one), Value::Object(other)) => same_object(one, other),
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(id: &str, arguments: Value) -> ToolCall {
        ToolCall { id: id.into(), name: "f".into(), arguments: arguments.as_object().unwrap().clone() }
    }

    /// `s:`, `u:`, `a:` and `t:` begin messages of the four roles; `a:x|y` is the answer `x` after the reasoning `y`.
    fn messages(text: &str) -> Vec<Message> {
        let message = |text: &str| {
            let (role, text) = text.split_once(':').unwrap();
            let role = match role {
                "s" => Role::System,
                "u" => Role::User,
                "a" => Role::Assistant,
                _ => Role::Tool,
            };
            let (content, reasoning) = text.split_once('|').map_or((text, None), |(a, b)| (a, Some(b)));
            Message { reasoning: reasoning.map(String::from), ..Message::text(role, content) }
        };
        text.split_whitespace().map(message).collect()
    }

    #[test]
    fn the_rules_in_order() {
        use Turn::{Continued, Delta, New, Replaced};
        // stored, sent, rule with an explicit id, rule with another, and what is to be answered with the explicit one
        let cases = [
            ("", "u:1", New, New, "u:1"),
            ("u:1 a:2", "u:1 a:2 u:3", Continued, Continued, "u:1 a:2 u:3"),
            ("u:1 a:2|r", "u:1 a:2 u:3", Continued, Continued, "u:1 a:2|r u:3"),
            ("u:1 a:2|r", "u:1 a:2|r u:3", Continued, Continued, "u:1 a:2|r u:3"),
            ("u:1 a:2|r", "u:1 a:2|q u:3", Replaced, Replaced, "u:1 a:2|q u:3"),
            ("u:1 a:2", "u:1 a:2|q u:3", Replaced, Replaced, "u:1 a:2|q u:3"),
            ("u:1 a:2", "u:1 a:2", Continued, Continued, "u:1 a:2"),
            ("u:1 a:2", "u:3", Delta, Replaced, "u:1 a:2 u:3"),
            ("u:1 a:2", "u:1", Delta, Replaced, "u:1 a:2 u:1"),
            ("u:1 a:2", "t:3 u:4", Delta, Replaced, "u:1 a:2 t:3 u:4"),
            ("s:0 u:1 a:2", "u:3", Delta, Replaced, "s:0 u:1 a:2 u:3"),
            ("s:0 u:1 a:2", "s:0 u:3", Delta, Replaced, "s:0 u:1 a:2 u:3"),
            ("s:0 u:1 a:2", "s:9 u:3", Replaced, Replaced, "s:9 u:3"),
            ("s:0 u:1 a:2", "u:3 s:0", Replaced, Replaced, "u:3 s:0"),
            ("s:0 u:1 a:2", "s:0 s:0 u:3", Replaced, Replaced, "s:0 s:0 u:3"),
            ("s:0 s:1 u:1 a:2", "s:0 s:1 u:3", Delta, Replaced, "s:0 s:1 u:1 a:2 u:3"),
            ("s:0 s:1 u:1 a:2", "s:1 u:3", Replaced, Replaced, "s:1 u:3"),
            ("s:0 u:1 a:2", "s:0", Replaced, Replaced, "s:0"),
            ("u:1 a:2", "s:0 u:3", Replaced, Replaced, "s:0 u:3"),
            ("u:1 a:2", "u:1 a:9 u:3", Replaced, Replaced, "u:1 a:9 u:3"),
            ("u:1 a:2 u:3 a:4", "u:1 a:2 u:5", Replaced, Replaced, "u:1 a:2 u:5"),
            ("u:1 a:2 u:3 a:4", "u:1 a:2", Replaced, Replaced, "u:1 a:2"),
        ];
        for (stored, sent, explicit, implicit, effective) in cases {
            let stored = messages(stored);
            let stored = Some(stored.as_slice()).filter(|stored| !stored.is_empty());
            assert_eq!(apply(stored, true, messages(sent)), (messages(effective), explicit), "{stored:?} {sent}");
            assert_eq!(apply(stored, false, messages(sent)).1, implicit, "{stored:?} {sent}");
        }
    }

    #[test]
    fn what_a_client_may_change_in_a_history() {
        let calls = |calls: Vec<ToolCall>| Message { tool_calls: calls, ..Message::text(Role::Assistant, "") };
        let stored = calls(vec![call("c1", json!({"a": 1, "b": [{"x": 2}]}))]);
        let null = Message { content: None, ..stored.clone() };
        let cases = [
            (null.clone(), true),
            (Message { reasoning: Some(String::new()), ..null.clone() }, true),
            (Message { name: Some("model".into()), ..null.clone() }, true),
            (Message { content: Some(" ".into()), ..null }, false),
            (calls(vec![call("", json!({"b": [{"x": 2.0}], "a": 1}))]), true),
            (calls(vec![call("c2", json!({"a": 1, "b": [{"x": 2}]}))]), false),
            (calls(vec![call("c1", json!({"a": "1", "b": [{"x": 2}]}))]), false),
            (calls(vec![call("c1", json!({"a": 1}))]), false),
            (calls(vec![]), false),
        ];
        for (message, expected) in cases {
            assert_eq!(same(&message, &stored), expected, "{message:?}");
        }
        let tool = |id: Option<&str>, content: &str| Message {
            tool_call_id: id.map(String::from),
            ..Message::text(Role::Tool, content)
        };
        assert!(same(&tool(None, "ok"), &tool(Some("c1"), "ok")));
        assert!(!same(&tool(Some("c2"), "ok"), &tool(Some("c1"), "ok")));
        assert!(!same(&tool(Some("c1"), ""), &Message { content: None, ..tool(Some("c1"), "") }));
    }
}
