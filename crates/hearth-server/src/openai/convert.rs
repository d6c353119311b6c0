//! A chat request of OpenAI's: its body, checked field by field, becomes a `ChatRequest`.
//!
//! Every field of the schema is honoured, or refused by name; those that change nothing in the answer (`user`,
//! `store`, …) are checked for their type alone. Fields that OpenAI does not know are ignored.

use axum::http::HeaderValue;
use hearth_core::{Error, Result, chat::ChatRequest, sampling::SamplingOverrides};
use serde_json::{Map, Value, value::RawValue};

use super::{content, tools};
use crate::{
    fields::{Fields, bounded, elements, parse, wrong},
    sessions,
};

/// Answers to one request.
const MAX_CHOICES: i64 = 8;
const MAX_TOP_LOGPROBS: i64 = 20;
const MAX_LOGIT_BIAS: usize = 1024;
const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 256;
const MAX_DOCUMENTS: usize = 256;
const MAX_DOCUMENTS_BYTES: usize = 4 << 20;

/// Fields whose meaning would be lost if they were ignored, and what to do without them.
const REFUSED: [(&str, &str); 8] = [
    ("functions", "use tools"),
    ("function_call", "use tool_choice"),
    ("audio", "answers are text"),
    ("prediction", "leave it out"),
    ("verbosity", "ask for a short or a long answer in the messages"),
    ("web_search_options", "the server does not search the web"),
    ("chat_template", "the model's own template is used; the operator may set another"),
    ("best_of", "use n"),
];

/// A request as the handler needs it.
#[derive(Debug)]
pub(super) struct ChatCall {
    pub(super) request: ChatRequest,
    /// How many answers, at least 1.
    pub(super) choices: usize,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

/// Reads the body of a chat request, beside which a header may name its session.
pub(super) fn chat_call(body: &[u8], session: Option<&HeaderValue>) -> Result<ChatCall> {
    let fields = Fields::of_body(body)?;
    refuse(&fields)?;
    check_idle_fields(&fields)?;
    let options = fields.object("stream_options")?;
    let include_usage = options.map(|options| options.boolean("include_usage")).transpose()?.flatten();
    Ok(ChatCall {
        request: ChatRequest { session: sessions::named(&fields, session)?, ..request(&fields)? },
        choices: fields.integer("n", 1..=MAX_CHOICES)?.unwrap_or(1) as usize,
        stream: fields.boolean("stream")?.unwrap_or(false),
        include_usage: include_usage.unwrap_or(false),
    })
}

fn request(fields: &Fields<'_>) -> Result<ChatRequest> {
    Ok(ChatRequest {
        model: fields.string("model")?.unwrap_or_default(),
        messages: content::messages(fields)?,
        tools: tools::tools(fields)?,
        tool_choice: tools::choice(fields)?,
        one_call: fields.boolean("parallel_tool_calls")? == Some(false),
        documents: documents(fields)?,
        template_args: template_args(fields)?,
        sampling: sampling(fields)?,
        max_tokens: max_tokens(fields)?,
        stop: stop(fields)?,
        session: None,
        keep_alive: None,
    })
}

fn refuse(fields: &Fields<'_>) -> Result<()> {
    if let Some((name, instead)) = REFUSED.iter().find(|(name, _)| fields.raw(name).is_some()) {
        return Err(Error::invalid(*name, format!("{name} is not supported: {instead}.")));
    }
    let modalities: Vec<String> = fields.get("modalities", "a list of strings")?.unwrap_or_default();
    if let Some(other) = modalities.iter().find(|modality| *modality != "text") {
        return Err(Error::invalid("modalities", format!("modalities: {other:?} is not supported, only \"text\".")));
    }
    let Some(format) = fields.object("response_format")? else { return Ok(()) };
    match format.string("type")?.as_deref() {
        Some("text") => Ok(()),
        other => {
            let other = other.unwrap_or("no type");
            Err(Error::invalid("response_format", format!("response_format: {other} is not supported, only text.")))
        }
    }
}

/// Fields that are no business of the model's: a wrong type is a mistake all the same.
fn check_idle_fields(fields: &Fields<'_>) -> Result<()> {
    for name in ["user", "service_tier", "safety_identifier", "prompt_cache_retention"] {
        fields.string(name)?;
    }
    fields.boolean("store").map(|_| ())
}

/// `max_tokens` in its old and its new name, which wins.
fn max_tokens(fields: &Fields<'_>) -> Result<Option<usize>> {
    let old = fields.integer("max_tokens", 1..=i64::MAX)?;
    let new = fields.integer("max_completion_tokens", 1..=i64::MAX)?;
    Ok(new.or(old).map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX)))
}

fn stop(fields: &Fields<'_>) -> Result<Vec<String>> {
    let Some(raw) = fields.raw("stop") else { return Ok(Vec::new()) };
    if raw.get().starts_with('"') {
        return Ok(vec![stop_text(raw, "stop")?]);
    }
    if !raw.get().starts_with('[') {
        return Err(wrong(raw, "stop", "a string or a list of strings"));
    }
    let list = fields.list("stop", MAX_STOPS)?.unwrap_or_default();
    list.into_iter().enumerate().map(|(i, raw)| stop_text(raw, &format!("stop[{i}]"))).collect()
}

fn stop_text(raw: &RawValue, path: &str) -> Result<String> {
    let text: String = parse(raw, path, "a string")?;
    if text.is_empty() || text.len() > MAX_STOP_BYTES {
        let length = text.len();
        return Err(Error::invalid(path, format!("{path} must have 1 to {MAX_STOP_BYTES} bytes, not {length}.")));
    }
    Ok(text)
}

fn sampling(fields: &Fields<'_>) -> Result<SamplingOverrides> {
    let top_k = fields.integer("top_k", -1..=i64::from(u32::MAX))?;
    Ok(SamplingOverrides {
        temperature: fields.number("temperature", 0.0..=2.0)?,
        top_p: top_p(fields)?,
        // Some clients say -1 for "all", where others say 0.
        top_k: top_k.map(|k| u32::try_from(k).unwrap_or(0)),
        min_p: fields.number("min_p", 0.0..=1.0)?,
        repetition_penalty: fields.number("repetition_penalty", 0.1..=10.0)?,
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
        logit_bias: logit_bias(fields)?,
        seed: fields.integer("seed", i64::MIN..=i64::MAX)?.map(|seed| seed as u64),
        logprobs: logprobs(fields)?,
    })
}

fn top_p(fields: &Fields<'_>) -> Result<Option<f32>> {
    match fields.number("top_p", 0.0..=1.0)? {
        Some(0.0) => Err(Error::invalid("top_p", "top_p must be above 0 and at most 1: 0 would leave no token.")),
        top_p => Ok(top_p),
    }
}

fn logprobs(fields: &Fields<'_>) -> Result<Option<u8>> {
    let wanted = fields.boolean("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=MAX_TOP_LOGPROBS)?;
    if top.is_some_and(|top| top > 0) && !wanted {
        return Err(Error::invalid("top_logprobs", "top_logprobs needs logprobs: true beside it."));
    }
    Ok(wanted.then(|| top.unwrap_or(0) as u8))
}

fn logit_bias(fields: &Fields<'_>) -> Result<Vec<(u32, f32)>> {
    let Some(raw) = fields.raw("logit_bias") else { return Ok(Vec::new()) };
    let biases = Fields::read_at_most(raw, "logit_bias", MAX_LOGIT_BIAS)?;
    let entry = |(token, _): (&str, _)| {
        let unknown = |_| Error::invalid("logit_bias", format!("logit_bias: {token:?} is not a token's id."));
        let id = token.parse().map_err(unknown)?;
        Ok(biases.number(token, -100.0..=100.0)?.map(|bias| (id, bias)))
    };
    biases.iter().filter_map(|bias| entry(bias).transpose()).collect()
}

/// What a template may be told. Not the template itself, nor anything else that it is made of.
fn template_args(fields: &Fields<'_>) -> Result<Map<String, Value>> {
    const ALLOWED: [&str; 2] = ["enable_thinking", "reasoning_effort"];
    let mut args = Map::new();
    if let Some(effort) = fields.string("reasoning_effort")? {
        args.insert("reasoning_effort".to_owned(), effort.into());
    }
    let Some(kwargs) = fields.object("chat_template_kwargs")? else { return Ok(args) };
    for (name, raw) in kwargs.iter() {
        let path = kwargs.path(name);
        if !ALLOWED.contains(&name) {
            let allowed = ALLOWED.join(" and ");
            return Err(Error::invalid(&path, format!("{path} is not supported: templates are told {allowed} only.")));
        }
        if raw.get().starts_with(['{', '[']) {
            return Err(wrong(raw, &path, "a string, a number, true or false"));
        }
        args.insert(name.to_owned(), parse(raw, &path, "a scalar")?);
    }
    Ok(args)
}

fn documents(fields: &Fields<'_>) -> Result<Vec<Value>> {
    let Some(raw) = fields.raw("documents") else { return Ok(Vec::new()) };
    bounded(raw, "documents", MAX_DOCUMENTS_BYTES)?;
    let document = |(i, raw)| {
        let path = format!("documents[{i}]");
        parse::<Map<_, _>>(raw, &path, "an object").map(Value::Object)
    };
    elements(raw, "documents", MAX_DOCUMENTS)?.into_iter().enumerate().map(document).collect()
}
