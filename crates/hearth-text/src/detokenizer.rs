//! Token ids back to text while they arrive.
//!
//! Invariants: what [`Detokenizer::push`] returned, joined, with what [`Detokenizer::finish`] returns, is
//! [`Tokenizer::decode`] of the ids; no piece ends in half a character; the work for a token does not depend on how
//! many came before it.

use std::str;
use std::sync::Arc;

use crate::tokenizer::{Decoding, Piece, Tokenizer};

/// The text of one answer, growing by tokens. Special tokens add nothing.
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    stream: Stream,
}

impl Detokenizer {
    /// An empty answer.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, stream: Stream::default() }
    }

    /// What the token adds; empty while a character is not whole.
    pub fn push(&mut self, id: u32) -> String {
        self.stream.push(&self.tokenizer, id)
    }

    /// What is still held back; half a character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        self.stream.finish(&self.tokenizer)
    }
}

/// A [`Detokenizer`] without its tokenizer.
#[derive(Default)]
pub(crate) struct Stream {
    /// Whether a token has added something, text that was cut included.
    started: bool,
    cut: Cut,
    /// The beginning of a character.
    bytes: Vec<u8>,
    window: Window,
}

impl Stream {
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        let Some(piece) = tokenizer.piece(id, !self.started) else { return String::new() };
        self.started = true;
        match tokenizer.decoding() {
            Decoding::ByteLevel => self.add(piece),
            Decoding::Pieces(pieces) => {
                let text = self.add(piece);
                self.cut.apply(text, pieces.strip)
            }
            Decoding::Windowed => self.window.push(tokenizer, id),
        }
    }

    pub(crate) fn finish(&mut self, tokenizer: &Tokenizer) -> String {
        let mut text = self.flush();
        text.push_str(&self.window.finish(tokenizer));
        text
    }

    fn add(&mut self, piece: Piece) -> String {
        match piece {
            Piece::Bytes(bytes) => {
                self.bytes.extend(bytes);
                take_whole(&mut self.bytes)
            }
            Piece::Text(text) => self.flush() + &text,
        }
    }

    /// No more bytes can complete the character.
    fn flush(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        self.bytes.clear();
        text
    }
}

/// Takes everything but an unfinished character at the end; broken bytes become U+FFFD as in `from_utf8_lossy`.
fn take_whole(bytes: &mut Vec<u8>) -> String {
    let rest = bytes.split_off(bytes.len() - unfinished(bytes));
    let whole = std::mem::replace(bytes, rest);
    String::from_utf8(whole).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// How many bytes at the end are a character that may still become whole.
fn unfinished(bytes: &[u8]) -> usize {
    let begins =
        |ending: &[u8]| matches!(str::from_utf8(ending), Err(e) if e.valid_up_to() == 0 && e.error_len().is_none());
    let longest = bytes.len().min(3);
    (1..=longest).rev().find(|length| begins(&bytes[bytes.len() - length..])).unwrap_or(0)
}

/// Cuts the space that SentencePiece put in front of the text, once.
#[derive(Default)]
struct Cut {
    /// How many characters have been cut.
    done: usize,
    /// Whether other text came, or enough was cut.
    over: bool,
}

impl Cut {
    fn apply(&mut self, text: String, strip: Option<(char, usize)>) -> String {
        let Some((cut, most)) = strip.filter(|_| !self.over) else { return text };
        let mut rest = text.as_str();
        while self.done < most
            && let Some(shorter) = rest.strip_prefix(cut)
        {
            self.done += 1;
            rest = shorter;
        }
        self.over = self.done == most || !rest.is_empty();
        rest.to_owned()
    }
}

/// The last tokens, decoded together again with each new one, for decoders that look at neighbours.
#[derive(Default)]
struct Window {
    ids: Vec<u32>,
    /// The first so many are only there for what follows them; their text has been returned.
    seen: usize,
}

impl Window {
    /// A character has at most four bytes, but a model may go on writing broken ones: then the window must not grow.
    const LONGEST: usize = 16;

    fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        self.ids.push(id);
        let (text, news) = self.news(tokenizer);
        if text.ends_with('\u{fffd}') && self.ids.len() - self.seen < Self::LONGEST {
            return String::new();
        }
        self.ids.drain(..self.seen);
        self.seen = self.ids.len();
        news
    }

    fn finish(&mut self, tokenizer: &Tokenizer) -> String {
        let (_, news) = self.news(tokenizer);
        self.ids.clear();
        self.seen = 0;
        news
    }

    /// The window's text and what of it has not been returned.
    fn news(&self, tokenizer: &Tokenizer) -> (String, String) {
        let text = tokenizer.decode_window(&self.ids);
        let before = tokenizer.decode_window(&self.ids[..self.seen]);
        let same = text.char_indices().zip(before.chars()).find(|((_, a), b)| a != b);
        let from = same.map_or(before.len().min(text.len()), |((at, _), _)| at);
        let news = text[from..].to_owned();
        (text, news)
    }
}
