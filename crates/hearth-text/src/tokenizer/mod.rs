//! A model's tokenizer: text to token ids, and what each id says.
//!
//! The `tokenizers` crate panics on some texts (its regex engine gives up on patterns that backtrack without end, and
//! both pattern and text come from outside), so every call into it is caught and becomes an error of that one request.

mod decoding;
mod load;
mod special;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hearth_core::{Error, Result};
use tokenizers::AddedToken;

use crate::parser::MARKERS;
pub(crate) use decoding::{Decoding, Piece};
pub(crate) use load::read_file;
pub use special::SpecialTokens;
pub(crate) use special::object;

/// A loaded `tokenizer.json` with the special tokens that stand beside it.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    decoding: Decoding,
    skipped: HashSet<u32>,
    added: HashSet<u32>,
    vocab_size: usize,
    special: SpecialTokens,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and `tokenizer_config.json` and `special_tokens_map.json` where they exist.
    ///
    /// Errors are of kind `ModelLoad` and name the file.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let inner = load::tokenizer(&dir.join("tokenizer.json"))?;
        let special = SpecialTokens::from_dir(dir)?;
        Ok(Self::new(inner, special))
    }

    fn new(inner: tokenizers::Tokenizer, special: SpecialTokens) -> Self {
        let added = inner.get_added_tokens_decoder();
        let hidden = |token: &AddedToken| token.special && !MARKERS.contains(&token.content.as_str());
        let skipped = added.iter().filter(|(_, token)| hidden(token)).map(|(id, _)| *id).collect();
        let highest = inner.get_vocab(true).into_values().max();
        Self {
            decoding: Decoding::of(inner.get_decoder()),
            skipped,
            added: added.into_keys().collect(),
            vocab_size: highest.map_or(0, |id| id as usize + 1),
            special,
            inner,
        }
    }

    /// The text's tokens. Special tokens in the text are recognised; none are added, since templates write them.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match catch_unwind(AssertUnwindSafe(|| self.inner.encode_fast(text, false))) {
            Ok(Ok(encoding)) => Ok(encoding.get_ids().to_vec()),
            Ok(Err(error)) => {
                Err(Error::invalid("messages", format!("The tokenizer cannot encode this text: {error}.")))
            }
            Err(_) => Err(Error::invalid(
                "messages",
                "The tokenizer gave up on this text: the model's splitting pattern backtracks without end on it.",
            )),
        }
    }

    /// The text of `ids`, special tokens skipped: what a [`Detokenizer`](crate::Detokenizer) streams, joined.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = crate::detokenizer::Stream::default();
        let mut text: String = ids.iter().map(|&id| stream.push(self, id)).collect();
        text.push_str(&stream.finish(self));
        text
    }

    /// The bytes that the token adds in the middle of a text; a special token's own name; empty for unknown ids.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let Some(token) = self.inner.id_to_token(id) else { return Vec::new() };
        if self.skipped.contains(&id) {
            return token.into_bytes();
        }
        match self.decoding.piece(token, self.added.contains(&id), false) {
            Piece::Bytes(bytes) => bytes,
            Piece::Text(text) => text.into_bytes(),
        }
    }

    /// The highest token id + 1.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id of a token by its exact text in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Names and texts of the special tokens, for templates.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    pub(crate) fn decoding(&self) -> &Decoding {
        &self.decoding
    }

    /// What `id` adds to a text, `None` for special and unknown tokens.
    pub(crate) fn piece(&self, id: u32, first: bool) -> Option<Piece> {
        if self.skipped.contains(&id) {
            return None;
        }
        let token = self.inner.id_to_token(id)?;
        Some(self.decoding.piece(token, self.added.contains(&id), first))
    }

    /// The crate's own decoding of a few tokens, for decoders that are not taken apart; empty where it fails.
    pub(crate) fn decode_window(&self, ids: &[u32]) -> String {
        if ids.is_empty() {
            return String::new();
        }
        catch_unwind(AssertUnwindSafe(|| self.inner.decode(ids, false))).ok().and_then(Result::ok).unwrap_or_default()
    }
}
