//! A session as a file: JSON, with a version, so that a later Hearth can read it or leave it alone, and with a checksum of
//! all that follows it.

use hearth_core::chat::{Message, Role, ToolCall};
use serde::{Deserialize, Serialize};

use super::store::Session;

/// The form of the files that this version writes and reads.
const VERSION: u32 = 1;

/// What stands before and behind the checksum.
const OPEN: &[u8] = b"{\"checksum\":\"";
const CLOSE: &[u8] = b"\",";

/// What reading a file came to.
pub(super) enum Read {
    /// A session, and the model that it is of.
    Session { session: Session, model: String },
    /// Written by another version.
    Foreign,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    model: String,
    created: u64,
    last_used: u64,
    tokens: usize,
    messages: Vec<Line>,
}

/// Read first, since nothing else is certain of another version's file.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Line {
    role: String,
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Call {
    id: String,
    name: String,
    /// JSON as text: however deep a model nests it, the file does not nest with it.
    arguments: String,
}

/// The file's content.
pub(super) fn write(session: &Session, model: &str) -> serde_json::Result<Vec<u8>> {
    let file = File {
        version: VERSION,
        id: session.id.clone(),
        title: session.title.clone(),
        model: model.to_owned(),
        created: session.created,
        last_used: session.last_used,
        tokens: session.tokens,
        messages: session.messages.iter().map(line).collect(),
    };
    let json = serde_json::to_vec(&file)?;
    // The object goes on behind its checksum.
    let rest = json.get(1..).unwrap_or_default();
    Ok([OPEN, blake3::hash(rest).to_hex().as_bytes(), CLOSE, rest].concat())
}

/// Whether a file that begins with `head` is of the session `id`.
pub(super) fn begins(head: &[u8], id: &str) -> bool {
    let start = format!("\"version\":{VERSION},\"id\":{},", serde_json::Value::from(id));
    let rest = || head.strip_prefix(OPEN)?.get(2 * blake3::OUT_LEN..)?.strip_prefix(CLOSE);
    rest().is_some_and(|rest| rest.starts_with(start.as_bytes()))
}

/// Whether a file is what was once written.
fn is_intact(bytes: &[u8]) -> bool {
    let checked = || {
        let (checksum, rest) = bytes.strip_prefix(OPEN)?.split_at_checked(2 * blake3::OUT_LEN)?;
        Some(blake3::hash(rest.strip_prefix(CLOSE)?).to_hex().as_bytes() == checksum)
    };
    checked().unwrap_or(false)
}

/// What the file holds; the error says where it is broken, and repeats nothing of it.
pub(super) fn read(bytes: &[u8]) -> Result<Read, String> {
    let broken = |error: serde_json::Error| format!("it is broken in line {}, column {}", error.line(), error.column());
    if serde_json::from_slice::<Versioned>(bytes).map_err(broken)?.version != VERSION {
        return Ok(Read::Foreign);
    }
    if !is_intact(bytes) {
        return Err("its checksum is wrong".into());
    }
    let file: File = serde_json::from_slice(bytes).map_err(broken)?;
    let messages: Option<Vec<Message>> = file.messages.into_iter().map(message).collect();
    let messages = messages.ok_or("it holds a message that is none")?;
    let mut session = Session::new(file.id, messages, file.tokens, None);
    session.title = file.title;
    session.created = file.created;
    session.last_used = file.last_used;
    Ok(Read::Session { session, model: file.model })
}

fn line(message: &Message) -> Line {
    let call = |call: &ToolCall| Call {
        id: call.id.clone(),
        name: call.name.clone(),
        arguments: serde_json::Value::Object(call.arguments.clone()).to_string(),
    };
    Line {
        role: message.role.as_str().to_owned(),
        content: message.content.clone(),
        reasoning: message.reasoning.clone(),
        tool_calls: message.tool_calls.iter().map(call).collect(),
        tool_call_id: message.tool_call_id.clone(),
        name: message.name.clone(),
    }
}

fn message(line: Line) -> Option<Message> {
    let roles = [Role::System, Role::User, Role::Assistant, Role::Tool];
    let call = |call: Call| {
        let arguments = serde_json::from_str(&call.arguments).ok()?;
        Some(ToolCall { id: call.id, name: call.name, arguments })
    };
    Some(Message {
        role: roles.into_iter().find(|role| role.as_str() == line.role)?,
        content: line.content,
        reasoning: line.reasoning,
        tool_calls: line.tool_calls.into_iter().map(call).collect::<Option<_>>()?,
        tool_call_id: line.tool_call_id,
        name: line.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let arguments = r#"{"b": [1, 1.0, null], "a": {"deep": "é"}}"#;
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: serde_json::from_str(arguments).unwrap() };
        let messages = vec![
            Message::text(Role::System, "s"),
            Message { name: Some("n".into()), ..Message::text(Role::User, "") },
            Message {
                content: None,
                reasoning: Some("hm\n".into()),
                tool_calls: vec![call],
                ..Message::text(Role::Assistant, "")
            },
            Message { tool_call_id: Some("c".into()), ..Message::text(Role::Tool, "\u{0}") },
        ];
        let mut session = Session::new("id \"/..".into(), messages, 7, None);
        session.title = Some("ü".into());
        session
    }

    #[test]
    fn a_session_comes_back_as_it_was_written() {
        let session = session();
        let Ok(Read::Session { session: read, model }) = read(&write(&session, "m").unwrap()) else {
            panic!("it was written just now")
        };
        assert_eq!((model.as_str(), &read.id, &read.messages), ("m", &session.id, &session.messages));
        assert_eq!((read.bytes, read.tokens, read.created), (session.bytes, 7, session.created));
        assert_eq!(read.title.as_deref(), Some("ü"));
    }

    #[test]
    fn broken_files_are_errors_that_repeat_nothing() {
        let whole = String::from_utf8(write(&session(), "m").unwrap()).unwrap();
        for cut in 0..whole.len() {
            let error = read(&whole.as_bytes()[..cut]).err().unwrap();
            assert!(error.starts_with("it is broken in line "), "{error}");
        }
        let (_, rest) = whole.split_once(',').unwrap();
        for (from, to) in [("\"user\"", "\"robot\""), ("{\\\"b\\\"", "[\\\"b\\\""), ("\"id\"", "\"di\"")] {
            assert!(whole.contains(from), "{from}");
            assert_eq!(read(whole.replacen(from, to, 1).as_bytes()).err().unwrap(), "its checksum is wrong");
            let rest = rest.replacen(from, to, 1);
            let checked = format!("{{\"checksum\":\"{}\",{rest}", blake3::hash(rest.as_bytes()));
            let error = read(checked.as_bytes()).err().unwrap();
            assert!(!error.contains("robot") && !error.contains("checksum"), "{error}");
        }
        assert!(read(whole.replacen("\"s\"", "\"t\"", 1).as_bytes()).is_err(), "what was said is checked");
        assert!(matches!(read(br#"{"version": 2, "chats": []}"#), Ok(Read::Foreign)));
    }
}
