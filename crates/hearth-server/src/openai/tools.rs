//! Functions on offer, whether they may be called, and the calls in a conversation's history.

use hearth_core::{
    Error, Result,
    chat::{Tool, ToolCall, ToolChoice},
};
use serde_json::{Map, Value, value::RawValue};

use crate::fields::{Fields, bounded, parse, wrong};

const MAX_TOOLS: usize = 128;
const MAX_CALLS: usize = 128;

/// Bytes of JSON that are taken apart at once.
const MAX_STRUCTURE: usize = 1 << 20;

/// The functions that a request offers.
pub(super) fn tools(fields: &Fields<'_>) -> Result<Vec<Tool>> {
    let Some(raw) = fields.raw("tools") else { return Ok(Vec::new()) };
    bounded(raw, "tools", MAX_STRUCTURE)?;
    let list = fields.list("tools", MAX_TOOLS)?.unwrap_or_default();
    list.into_iter().enumerate().map(|(i, raw)| tool(raw, &format!("tools[{i}]"))).collect()
}

fn tool(raw: &RawValue, path: &str) -> Result<Tool> {
    let fields = Fields::read(raw, path)?;
    let kind = fields.string("type")?;
    if kind.as_deref() != Some("function") {
        let (path, kind) = (fields.path("type"), kind.unwrap_or("missing".to_owned()));
        return Err(Error::invalid(
            &path,
            format!("{path} must be \"function\", which is all that is supported, not {kind:?}."),
        ));
    }
    let function = required(fields.object("function")?, &fields.path("function"))?;
    let name = name(&function)?;
    function.string("description")?;
    function.object("parameters")?;
    // `strict` asks for arguments that match the schema for certain; until grammars are there it is a wish.
    function.boolean("strict")?;
    let definition: Map<_, _> = parse(required(fields.raw("function"), path)?, path, "an object")?;
    let definition = [("type", Value::from("function")), ("function", Value::Object(definition))];
    Ok(Tool { name, definition: definition.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() })
}

/// Whether the functions may be called. To force a call takes a grammar.
pub(super) fn choice(fields: &Fields<'_>) -> Result<ToolChoice> {
    let Some(raw) = fields.raw("tool_choice") else { return Ok(ToolChoice::Auto) };
    match raw.get() {
        "\"auto\"" => Ok(ToolChoice::Auto),
        "\"none\"" => Ok(ToolChoice::None),
        forced if forced == "\"required\"" || forced.starts_with('{') => {
            let message = "tool_choice: a call cannot be forced yet: use \"auto\" or \"none\".";
            Err(Error::invalid("tool_choice", message))
        }
        _ => Err(wrong(raw, "tool_choice", "\"auto\" or \"none\"")),
    }
}

/// The calls that an assistant's turn made.
pub(super) fn calls(message: &Fields<'_>) -> Result<Vec<ToolCall>> {
    let list = message.list("tool_calls", MAX_CALLS)?.unwrap_or_default();
    let path = message.path("tool_calls");
    list.into_iter().enumerate().map(|(i, raw)| call(&Fields::read(raw, &format!("{path}[{i}]"))?)).collect()
}

fn call(fields: &Fields<'_>) -> Result<ToolCall> {
    if let Some(kind) = fields.string("type")?.filter(|kind| kind != "function") {
        let path = fields.path("type");
        return Err(Error::invalid(&path, format!("{path} must be \"function\", not {kind:?}.")));
    }
    let function = required(fields.object("function")?, &fields.path("function"))?;
    Ok(ToolCall {
        id: fields.string("id")?.unwrap_or_default(),
        name: name(&function)?,
        arguments: arguments(&function)?,
    })
}

/// Arguments as OpenAI has them, an object in a string, or as some clients send them, the object itself.
fn arguments(function: &Fields<'_>) -> Result<Map<String, Value>> {
    let path = function.path("arguments");
    let expected = "a JSON object in a string";
    let raw = required(function.raw("arguments"), &path)?;
    bounded(raw, &path, MAX_STRUCTURE)?;
    if !raw.get().starts_with('"') {
        return parse(raw, &path, expected);
    }
    let text: String = parse(raw, &path, expected)?;
    serde_json::from_str(&text).map_err(|_| wrong(raw, &path, expected))
}

fn name(function: &Fields<'_>) -> Result<String> {
    let path = function.path("name");
    let name = required(function.string("name")?, &path)?;
    if name.is_empty() { Err(Error::invalid(&path, format!("{path} must not be empty."))) } else { Ok(name) }
}

fn required<T>(value: Option<T>, path: &str) -> Result<T> {
    value.ok_or_else(|| Error::invalid(path, format!("{path} is missing.")))
}
