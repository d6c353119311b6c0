//! Chat templates, rendered the way transformers' `apply_chat_template` renders them.
//!
//! A template is a program of the model's author and is treated as one: it has fuel, a recursion limit and a cap on its
//! output, sees plain data alone, and its failure is the request's error. Where minijinja and Python's Jinja differ in
//! what templates in use depend on, `environment` follows Python. Not bounded is what a template builds and does not
//! write: minijinja has no way to count the bytes of its values, nor how deep they nest.

mod environment;
mod filters;
mod methods;
mod source;
mod time;
mod tojson;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hearth_core::chat::{ChatRequest, Message, ToolCall, ToolChoice};
use hearth_core::{Error, Result};
use minijinja::{Environment, Value};
use serde_json::{Map, Value as Json};

use crate::tokenizer::SpecialTokens;
use environment::Raised;
pub use time::LocalTime;

/// Longest prompt that a template may write.
const MAX_OUTPUT: usize = 4 << 20;
const TOO_LONG: &str = "the prompt is longer than 4 MiB";

const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";

/// A model's chat template, compiled.
pub struct ChatTemplate {
    environment: Environment<'static>,
    special: Map<String, Json>,
}

impl ChatTemplate {
    /// The template of a model folder: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json` (a
    /// string, or a list with names). `None` if the folder has none.
    pub fn from_dir(dir: &Path, special: &SpecialTokens) -> Result<Option<Self>> {
        let sources = source::find(dir)?;
        if sources.is_empty() {
            return Ok(None);
        }
        Self::compile(sources, special).map(Some)
    }

    /// A template given as text. A syntax error names its line.
    pub fn new(source: &str, special: &SpecialTokens) -> Result<Self> {
        let source = source::Source { name: DEFAULT.into(), text: source.into(), origin: "The chat template".into() };
        Self::compile(vec![source], special)
    }

    fn compile(sources: Vec<source::Source>, special: &SpecialTokens) -> Result<Self> {
        let mut environment = environment::new();
        for source in sources {
            let text = source::prepared(&source.text);
            environment.add_template_owned(source.name, text).map_err(|error| {
                let line = error.line().map_or(String::new(), |line| format!(" in line {line}"));
                Error::model_load(format!("{} has a syntax error{line}: {}.", source.origin, what(&error)))
            })?;
        }
        let special = special.iter().map(|(name, text)| (name.to_owned(), text.clone())).collect();
        Ok(Self { environment, special })
    }

    /// The prompt for the next assistant turn, as of `now`.
    ///
    /// A failure is an `InvalidRequest` on `messages` with the template's own words.
    pub fn render(&self, request: &ChatRequest, now: LocalTime) -> Result<String> {
        let tools = if request.tool_choice == ToolChoice::None { &[] } else { request.tools.as_slice() };
        let template = self.template(!tools.is_empty())?;
        let args = self.special.iter().chain(&request.template_args).map(|(name, arg)| (name.as_str(), value(arg)));
        let own = [
            ("messages", request.messages.iter().map(message).collect()),
            ("tools", list_or_none(tools.iter().map(|tool| &tool.definition))),
            ("documents", list_or_none(request.documents.iter())),
            ("add_generation_prompt", true.into()),
            ("strftime_now", Value::from_function(move |format: &str| now.strftime(format))),
        ];
        let context = Value::from_pairs(args.chain(own));
        // minijinja panics on some programs, `''[::-1]` for one.
        catch_unwind(AssertUnwindSafe(|| write(&template, context)))
            .unwrap_or_else(|_| Err(failed("", "it crashed the template engine")))
    }

    fn template(&self, tools: bool) -> Result<minijinja::Template<'_, '_>> {
        let names: &[&str] = if tools { &[TOOL_USE, DEFAULT] } else { &[DEFAULT] };
        names.iter().find_map(|name| self.environment.get_template(name).ok()).ok_or_else(|| {
            Error::model_load(
                "The model's chat templates have names, but none is called \"default\"; give one with --chat-template.",
            )
        })
    }
}

fn write(template: &minijinja::Template<'_, '_>, context: Value) -> Result<String> {
    let mut output = Bounded(Vec::new());
    template.render_captured_to(context, &mut output).map_err(|error| refused(&error))?;
    String::from_utf8(output.0).map_err(|error| Error::internal(error.to_string()))
}

/// A message as OpenAI's clients send it; reasoning under the names that transformers gives it.
fn message(message: &Message) -> Value {
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    let calls = || message.tool_calls.iter().map(tool_call).collect();
    let fields = [
        ("thinking", text(&message.reasoning)),
        ("role", Some(message.role.as_str().into())),
        ("content", Some(text(&message.content).unwrap_or(().into()))),
        ("tool_calls", (!message.tool_calls.is_empty()).then(calls)),
        ("tool_call_id", text(&message.tool_call_id)),
        ("name", text(&message.name)),
        ("reasoning_content", text(&message.reasoning)),
    ];
    Value::from_pairs(fields.into_iter().filter_map(|(name, field)| Some((name, field?))))
}

fn tool_call(call: &ToolCall) -> Value {
    let arguments = Value::from_pairs(call.arguments.iter().map(|(name, argument)| (name.as_str(), value(argument))));
    let function = Value::from_pairs([("name", Value::from(call.name.as_str())), ("arguments", arguments)]);
    Value::from_pairs([("id", call.id.as_str().into()), ("type", "function".into()), ("function", function)])
}

/// Templates test for tools by `is none` or by truth, never by length.
fn list_or_none<'a>(mut list: impl ExactSizeIterator<Item = &'a Json>) -> Value {
    if list.len() == 0 { ().into() } else { list.by_ref().map(value).collect() }
}

/// JSON as the template sees it; the order of keys is kept.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => ().into(),
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (None, Some(number), _) => number.into(),
            (None, None, number) => number.unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(key, item)| (key.as_str(), value(item)))),
    }
}

fn refused(error: &minijinja::Error) -> Error {
    if let Some(raised) = Raised::of(error) {
        return Error::invalid("messages", format!("The model's chat template refuses these messages: {raised}"));
    }
    let line = error.line().map_or(String::new(), |line| format!(" in line {line}"));
    failed(&line, &what(error))
}

fn failed(line: &str, reason: &str) -> Error {
    Error::invalid("messages", format!("The model's chat template failed{line}: {reason}."))
}

/// The innermost reason.
fn what(error: &minijinja::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<minijinja::Error>() {
        Some(error) => error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
        None => innermost.to_string(),
    }
}

/// Refuses to become longer than [`MAX_OUTPUT`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other(TOO_LONG));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
