//! The shapes of OpenAI's answers. They borrow what they show, so that a chunk costs no allocation but its own bytes.

use hearth_core::event::{FinishReason, TokenLogprob, Usage};
use serde::{Serialize, Serializer};

use crate::report::ReportShape;

/// What all chunks of a stream, or a whole answer, say of themselves.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
}

/// `chat.completion`: a whole answer.
#[derive(Serialize)]
pub(super) struct Completion<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) usage: UsageShape,
    /// The first choice's.
    pub(super) hearth: ReportShape<'a>,
}

#[derive(Serialize)]
pub(super) struct Choice<'a> {
    pub(super) index: usize,
    pub(super) message: AnswerMessage<'a>,
    pub(super) logprobs: Option<LogprobsShape<'a>>,
    pub(super) finish_reason: &'static str,
}

#[derive(Serialize)]
pub(super) struct AnswerMessage<'a> {
    pub(super) role: &'static str,
    /// Null beside tool calls when there is no text.
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<&'a str>,
    pub(super) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<CallShape<'a>>,
}

#[derive(Serialize)]
pub(super) struct CallShape<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) function: FunctionShape<'a>,
}

/// A function's name, where it is news, and its arguments or some more of them.
#[derive(Serialize)]
pub(super) struct FunctionShape<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

/// `chat.completion.chunk`: a piece of a streamed answer.
#[derive(Serialize)]
pub(super) struct Chunk<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: &'a [ChunkChoice<'a>],
    /// Absent unless asked for; then null in every chunk but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<UsageShape>>,
    /// In the chunk alone that ends the first choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hearth: Option<ReportShape<'a>>,
}

#[derive(Serialize)]
pub(super) struct ChunkChoice<'a> {
    pub(super) index: usize,
    pub(super) delta: Delta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<LogprobsShape<'a>>,
    pub(super) finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[CallDelta<'a>; 1]>,
}

/// A call's first delta has everything but the arguments; the later ones have nothing but more of them.
#[derive(Serialize)]
pub(super) struct CallDelta<'a> {
    pub(super) index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) function: FunctionShape<'a>,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct UsageShape {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Serialize)]
struct PromptDetails {
    cached_tokens: usize,
}

#[derive(Clone, Copy, Serialize)]
struct CompletionDetails {
    reasoning_tokens: usize,
}

impl From<Usage> for UsageShape {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached_tokens },
            completion_tokens_details: CompletionDetails { reasoning_tokens: usage.reasoning_tokens },
        }
    }
}

/// The usage of several answers to one prompt: the prompt counts once, as the first answer found it.
pub(super) fn total(usages: impl IntoIterator<Item = Usage>) -> Usage {
    let add = |sum: Usage, usage: Usage| Usage {
        completion_tokens: sum.completion_tokens + usage.completion_tokens,
        reasoning_tokens: sum.reasoning_tokens + usage.reasoning_tokens,
        ..sum
    };
    usages.into_iter().reduce(add).unwrap_or_default()
}

pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

#[derive(Serialize)]
pub(super) struct LogprobsShape<'a> {
    content: Vec<TokenShape<'a>>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct TokenShape<'a> {
    #[serde(flatten)]
    token: Alternative<'a>,
    top_logprobs: Vec<Alternative<'a>>,
}

#[derive(Serialize)]
struct Alternative<'a> {
    token: &'a str,
    #[serde(serialize_with = "finite")]
    logprob: f32,
    bytes: &'a [u8],
}

/// JSON has no infinity: a token without any probability shows what OpenAI shows.
fn finite<S: Serializer>(logprob: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f32(logprob.max(-9999.0))
}

impl<'a> LogprobsShape<'a> {
    /// The shape of `tokens`; none where there are none.
    pub(super) fn of(tokens: &'a [TokenLogprob]) -> Option<Self> {
        (!tokens.is_empty()).then(|| Self { content: tokens.iter().map(TokenShape::of).collect(), refusal: None })
    }
}

impl<'a> TokenShape<'a> {
    fn of(token: &'a TokenLogprob) -> Self {
        Self { token: Alternative::of(token), top_logprobs: token.top.iter().map(Alternative::of).collect() }
    }
}

impl<'a> Alternative<'a> {
    fn of(token: &'a TokenLogprob) -> Self {
        Self { token: &token.token, logprob: token.logprob, bytes: &token.bytes }
    }
}
