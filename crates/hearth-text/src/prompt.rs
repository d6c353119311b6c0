//! From a conversation to the token ids that a model continues, and from one of them back to the message that it is of.

use hearth_core::chat::{ChatRequest, Message, Role};
use hearth_core::{Error, Result};

use crate::template::{ChatTemplate, LocalTime};
use crate::tokenizer::{Encoded, TextPiece, Tokenizer};

/// How often a prompt's length is searched for where its messages are: those that are not found cost all of it.
const MOST_SEARCHED: usize = 4;

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// As the template wrote it; [`OutputParser`](crate::OutputParser) reads its end.
    pub text: String,
    /// The text's tokens, never empty.
    pub tokens: Vec<u32>,
    /// Where text and tokens of each piece begin; see [`Tokenizer::encode_pieces`].
    pub pieces: Vec<TextPiece>,
}

/// Renders `request` at `now` and encodes it.
pub fn prompt(template: &ChatTemplate, tokenizer: &Tokenizer, request: &ChatRequest, now: LocalTime) -> Result<Prompt> {
    let text = template.render(request, now)?;
    let Encoded { tokens, pieces } = tokenizer.encode_pieces(&text)?;
    if tokens.is_empty() {
        return Err(Error::invalid("messages", "The chat template made an empty prompt of these messages."));
    }
    Ok(Prompt { text, tokens, pieces })
}

/// The tokens with which the next turn of the conversation in `request` will begin, whatever is said in it.
///
/// It is found by rendering two such turns, since a template may render a history unlike the prompts that it was made
/// of: without the reasoning of earlier answers, for instance. It ends with an added token, behind which nothing that
/// follows can change how it is encoded; empty where there is none. Errors are those of [`prompt()`].
pub fn history(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    request: &ChatRequest,
    now: LocalTime,
) -> Result<Vec<u32>> {
    let mut next = request.clone();
    next.messages.push(next_turn(&request.messages));
    let mut render = |content: &str| {
        next.messages.last_mut().into_iter().for_each(|last| last.content = Some(content.to_owned()));
        template.render(&next, now)
    };
    let (one, other) = (render("a")?, render("z")?);
    let same = one.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
    let common = &one[..same.map_or(one.len().min(other.len()), |((at, _), _)| at)];
    let Encoded { mut tokens, pieces } = tokenizer.encode_pieces(common)?;
    tokens.truncate(pieces.iter().rfind(|piece| piece.cut).map_or(0, |piece| piece.token + 1));
    Ok(tokens)
}

/// What comes next: the results of the last turn's calls, else the person.
fn next_turn(messages: &[Message]) -> Message {
    let call = messages.last().and_then(|message| message.tool_calls.first());
    let role = if call.is_some() { Role::Tool } else { Role::User };
    Message { tool_call_id: call.map(|call| call.id.clone()), ..Message::text(role, "") }
}

impl Prompt {
    /// Where the text of the token at this position begins, in bytes. Exact where tokens keep the text's bytes; else
    /// only inside the same piece.
    pub fn text_position(&self, token: usize, tokenizer: &Tokenizer) -> usize {
        let at = self.pieces.partition_point(|piece| piece.token <= token);
        let Some(piece) = self.pieces[..at].last() else { return 0 };
        let end = self.pieces.get(at).map_or(self.text.len(), |next| next.text);
        let tokens = self.tokens.get(piece.token..token).unwrap_or_default();
        let bytes: usize = tokens.iter().map(|&token| tokenizer.token_bytes(token).len()).sum();
        (piece.text + bytes).min(end)
    }

    /// The first of the rendered `messages` that does not lie whole before this byte of the text; `messages.len()` where
    /// all do. Templates tell nothing of where messages went, so their contents are looked for, in order. `None` where
    /// so many are not found that the search is given up.
    pub fn message_at(&self, position: usize, messages: &[Message]) -> Option<usize> {
        let mut from = 0;
        let mut first = None;
        let mut left = MOST_SEARCHED.saturating_mul(self.text.len());
        for (index, message) in messages.iter().enumerate() {
            let end = self.end_of(message, from);
            left = left.checked_sub(end.unwrap_or(self.text.len()) - from)?;
            match end {
                Some(end) if end > position => return Some(first.unwrap_or(index)),
                Some(end) => (from, first) = (end, None),
                None => first = first.or(Some(index)),
            }
        }
        Some(first.unwrap_or(messages.len()))
    }

    /// Where the text of the first message begins; 0 where it cannot be found.
    pub fn first_message(&self, messages: &[Message]) -> usize {
        messages.first().and_then(|message| self.text.find(content(message)?)).unwrap_or(0)
    }

    /// Where `message` ends, if it can be found behind `from`. A turn with calls ends with its piece.
    fn end_of(&self, message: &Message, from: usize) -> Option<usize> {
        let find = |from: usize, text: &str| Some(from + self.text.get(from..)?.find(text)? + text.len());
        let content = content(message).and_then(|content| find(from, content));
        let Some(call) = message.tool_calls.last() else { return content };
        let name = find(content.unwrap_or(from), &call.name)?;
        let next = self.pieces.partition_point(|piece| piece.text < name);
        Some(self.pieces.get(next).map_or(name, |piece| piece.text))
    }
}

/// Templates trim.
fn content(message: &Message) -> Option<&str> {
    message.content.as_deref().map(str::trim).filter(|content| !content.is_empty())
}
