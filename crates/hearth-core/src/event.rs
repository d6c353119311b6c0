//! What an answer is made of, in the order in which it happens, whatever the protocol.

use serde::{Deserialize, Serialize};

use crate::task::CacheSource;

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Text of the answer, never empty unless it carries log-probabilities.
    Text {
        /// What is added to the answer.
        text: String,
        /// The tokens since the last such event; empty unless asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// What the model thinks before it answers.
    Reasoning(String),
    /// The model begins to call a tool.
    ToolCallStart {
        /// Position among the answer's calls, from 0.
        index: usize,
        /// Unique in the conversation.
        id: String,
        /// The function's name, whole.
        name: String,
    },
    /// More of that call's arguments, a fragment of JSON text.
    ToolCallArguments {
        /// The call's position.
        index: usize,
        /// What is added.
        fragment: String,
    },
    /// The last event of every answer that did not fail.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
        /// What was reused, and how long everything took.
        report: Box<AnswerReport>,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// The model ended its turn, or a stop text was met.
    Stop,
    /// The token limit or the context's end was met.
    Length,
    /// The turn ends in tool calls.
    ToolCalls,
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Tokens that the model produced, reasoning and markup included.
    pub completion_tokens: usize,
    /// Those of them that were reasoning.
    pub reasoning_tokens: usize,
    /// Tokens of the prompt that were found in a cache.
    pub cached_tokens: usize,
}

/// How an answer came about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerReport {
    /// The session that it belongs to.
    pub session: Option<SessionUse>,
    /// Where the prompt's beginning was found.
    pub source: CacheSource,
    /// Tokens of it that were found.
    pub matched_tokens: usize,
    /// Why no more were found, where more could have been expected.
    pub miss: Option<Miss>,
    /// Where the time went.
    pub timings: Timings,
}

/// A request's part in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUse {
    /// The session's id, as the client gave it.
    pub id: String,
    /// What the request's messages were to it.
    pub turn: Turn,
    /// Whether the session goes on from this answer; not where another request was using it.
    pub kept: bool,
}

/// What a request's messages are to the conversation that a session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The session begins with them.
    New,
    /// They begin with the stored ones.
    Continued,
    /// They were appended to the stored ones.
    Delta,
    /// They take the stored ones' place.
    Replaced,
}

/// Why no more of a prompt was found in the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miss {
    /// What happened.
    pub reason: MissReason,
    /// The first message, from 0, that was not found whole.
    pub message_index: Option<usize>,
}

/// What kept a prompt from being found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissReason {
    /// Nothing like it was in store.
    Cold,
    /// What was in store differs from there on.
    Changed,
    /// The conversation was in store, and was given up for others.
    Evicted,
    /// The model's caches cannot be cut back there.
    Uncuttable,
}

/// Milliseconds of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// Until it had a place on the device; loading the model is not part of it.
    pub queue_ms: f64,
    /// Waiting for the model.
    pub load_ms: f64,
    /// Reading the cache from disk.
    pub restore_ms: f64,
    /// Computing the prompt, up to the first token.
    pub prefill_ms: f64,
    /// From the first token to the last.
    pub decode_ms: f64,
}

/// A token with its log-probability and its likeliest alternatives.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token's text; half a character is shown as U+FFFD.
    pub token: String,
    /// The token's bytes.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability, before temperature and filters.
    pub logprob: f32,
    /// Alternatives, likeliest first, the token itself among them where it is likely enough.
    pub top: Vec<TokenLogprob>,
}
