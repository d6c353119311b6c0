//! From a conversation to the token ids that a model continues.

use hearth_core::chat::ChatRequest;
use hearth_core::{Error, Result};

use crate::template::{ChatTemplate, LocalTime};
use crate::tokenizer::Tokenizer;

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// As the template wrote it; [`OutputParser`](crate::OutputParser) reads its end.
    pub text: String,
    /// The text's tokens, never empty.
    pub tokens: Vec<u32>,
}

/// Renders `request` at `now` and encodes it.
pub fn prompt(template: &ChatTemplate, tokenizer: &Tokenizer, request: &ChatRequest, now: LocalTime) -> Result<Prompt> {
    let text = template.render(request, now)?;
    let tokens = tokenizer.encode(&text)?;
    if tokens.is_empty() {
        return Err(Error::invalid("messages", "The chat template made an empty prompt of these messages."));
    }
    Ok(Prompt { text, tokens })
}
