//! What an answer is made of, in the order in which it happens, whatever the protocol.

use serde::{Deserialize, Serialize};

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
