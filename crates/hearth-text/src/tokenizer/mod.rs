//! A model's tokenizer: text to token ids, and what each id says.
//!
//! The `tokenizers` crate panics on some texts (its regex engine gives up on patterns that backtrack without end, and
//! both pattern and text come from outside), so every call into it is caught and becomes an error of that one request.

mod decoding;
mod load;
mod pieces;
mod special;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hearth_core::{Error, Result};
use tokenizers::AddedToken;

use crate::parser::MARKERS;
pub(crate) use decoding::{Decoding, Piece};
pub(crate) use load::read_file;
pub use pieces::TextPiece;
use pieces::{Cutter, Memory};
pub use special::SpecialTokens;
pub(crate) use special::object;

/// Added tokens with which cutting is tried out; a model may have thousands that are all alike.
const MOST_TRIED: usize = 64;

/// A loaded `tokenizer.json` with the special tokens that stand beside it.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    decoding: Decoding,
    skipped: HashSet<u32>,
    added: HashSet<u32>,
    vocab_size: usize,
    special: SpecialTokens,
    /// `None`: texts are encoded whole.
    cutter: Option<Cutter>,
    memory: Memory,
    encoded: AtomicU64,
}

/// A text's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Their ids.
    pub tokens: Vec<u32>,
    /// The pieces in which the text was encoded, in order, at least one.
    pub pieces: Vec<TextPiece>,
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
        let cutter = Cutter::new(added.values());
        let mut tokenizer = Self {
            decoding: Decoding::of(inner.get_decoder()),
            skipped,
            added: added.into_keys().collect(),
            vocab_size: highest.map_or(0, |id| id as usize + 1),
            special,
            inner,
            cutter,
            memory: Memory::default(),
            encoded: AtomicU64::new(0),
        };
        if !tokenizer.cuts_well() {
            tokenizer.cutter = None;
        }
        tokenizer
    }

    /// Whether texts encoded in pieces give the tokens that they give whole.
    fn cuts_well(&self) -> bool {
        let added = self.inner.get_added_tokens_decoder();
        let mut added: Vec<_> = added.iter().collect();
        added.sort_by_key(|(id, token)| (!token.special, **id));
        let names: Vec<&str> = added.iter().map(|(_, token)| token.content.as_str()).take(MOST_TRIED).collect();
        let texts = names.iter().zip(names.iter().rev()).flat_map(|(a, b)| load::tricky(a, b));
        texts.into_iter().all(|text| match (self.encode(&text), self.encode_whole(&text)) {
            (Ok(pieces), Ok(whole)) => pieces == whole,
            (pieces, whole) => pieces.is_err() == whole.is_err(),
        })
    }

    /// The text's tokens. Special tokens in the text are recognised; none are added, since templates write them.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encode_pieces(text)?.tokens)
    }

    /// As [`Self::encode`], and which piece of the text became which tokens. Pieces that were encoded lately cost no
    /// more than finding them.
    pub fn encode_pieces(&self, text: &str) -> Result<Encoded> {
        let Some(cutter) = &self.cutter else {
            return Ok(Encoded { tokens: self.encode_whole(text)?, pieces: vec![TextPiece::default()] });
        };
        let mut encoded = Encoded { tokens: Vec::new(), pieces: Vec::new() };
        for (range, cut) in cutter.pieces(text) {
            encoded.pieces.push(TextPiece { text: range.start, token: encoded.tokens.len(), cut });
            encoded.tokens.extend_from_slice(&self.encode_piece(&text[range])?);
        }
        Ok(encoded)
    }

    /// Bytes of text that went through the model's tokenizer so far; those of pieces that were remembered did not.
    pub fn encoded_bytes(&self) -> u64 {
        self.encoded.load(Relaxed)
    }

    fn encode_piece(&self, piece: &str) -> Result<Arc<[u32]>> {
        if let Some(tokens) = self.memory.get(piece) {
            return Ok(tokens);
        }
        let tokens: Arc<[u32]> = self.encode_whole(piece)?.into();
        self.memory.put(piece, tokens.clone());
        Ok(tokens)
    }

    fn encode_whole(&self, text: &str) -> Result<Vec<u32>> {
        self.encoded.fetch_add(text.len() as u64, Relaxed);
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
