//! Encoding piece by piece, so that a conversation that grows costs what is new in it.
//!
//! Tokenizers take a text apart at its added tokens before anything else looks at it, and what lies between two of them
//! is encoded by itself. So a text may be cut in front of each added token and its pieces encoded one by one, and the
//! pieces of a history, which come again with every turn, are remembered. Cuts are made only where the rule is simple:
//! in front of tokens that are looked for in the text as it is, and that take no white space along.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use lru::LruCache;
use tokenizers::AddedToken;

/// Bytes that remembered pieces may take.
const MAX_BYTES: usize = 32 << 20;
/// What an entry costs beside its text and tokens.
const ENTRY: usize = 96;

/// Where a piece of a text begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextPiece {
    /// Its first byte in the text.
    pub text: usize,
    /// Its first token among the text's.
    pub token: usize,
    /// Whether that token is the one that the piece was cut in front of; not in a text's first piece, perhaps.
    pub cut: bool,
}

/// Finds where a text may be cut.
pub(super) struct Cutter {
    tokens: AhoCorasick,
    /// For each of them, whether a text may be cut in front of it.
    cuts: Vec<bool>,
}

impl Cutter {
    /// `None` where a text cannot be cut: there are no such tokens, or some look at their neighbours.
    pub(super) fn new<'a>(added: impl Iterator<Item = &'a AddedToken>) -> Option<Self> {
        let added: Vec<&AddedToken> = added.filter(|token| !token.content.is_empty()).collect();
        if added.iter().any(|token| token.single_word) {
            return None;
        }
        let raw: Vec<&AddedToken> = added.into_iter().filter(|token| !token.normalized).collect();
        let cuts: Vec<bool> = raw.iter().map(|token| cuts(token)).collect();
        // Overlapping tokens have to be told apart as the tokenizers crate does it.
        let contents = raw.iter().map(|token| &token.content);
        let tokens = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(contents).ok()?;
        cuts.contains(&true).then_some(Self { tokens, cuts })
    }

    /// The pieces of `text`, in order, and whether each begins with a token in front of which it was cut.
    pub(super) fn pieces(&self, text: &str) -> Vec<(Range<usize>, bool)> {
        let found = self.tokens.find_iter(text).filter(|found| self.cuts[found.pattern().as_usize()]);
        let mut pieces = Vec::new();
        let mut begin = (0, false);
        for found in found {
            if found.start() > 0 {
                pieces.push((begin.0..found.start(), begin.1));
            }
            begin = (found.start(), true);
        }
        pieces.push((begin.0..text.len(), begin.1));
        pieces
    }
}

/// White space at its border could be taken along by a neighbour.
fn cuts(token: &AddedToken) -> bool {
    !token.lstrip && !token.rstrip && token.content.trim() == token.content
}

/// The tokens of pieces that were encoded lately.
pub(super) struct Memory {
    entries: Mutex<Entries>,
}

struct Entries {
    pieces: LruCache<Box<str>, Arc<[u32]>>,
    bytes: usize,
    most: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self::bounded(MAX_BYTES)
    }
}

impl Memory {
    fn bounded(most: usize) -> Self {
        Self { entries: Mutex::new(Entries { pieces: LruCache::unbounded(), bytes: 0, most }) }
    }

    pub(super) fn get(&self, piece: &str) -> Option<Arc<[u32]>> {
        self.lock().pieces.get(piece).cloned()
    }

    pub(super) fn put(&self, piece: &str, tokens: Arc<[u32]>) {
        let mut entries = self.lock();
        let size = bytes(piece, &tokens);
        if size > entries.most {
            return;
        }
        entries.bytes += size;
        if let Some((piece, tokens)) = entries.pieces.push(piece.into(), tokens) {
            entries.bytes -= bytes(&piece, &tokens);
        }
        while entries.bytes > entries.most
            && let Some((piece, tokens)) = entries.pieces.pop_lru()
        {
            entries.bytes -= bytes(&piece, &tokens);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // A panic cannot happen while it is held, and the worst it could leave is a wrong sum.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(piece: &str, tokens: &[u32]) -> usize {
    piece.len() + size_of_val(tokens) + ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(content: &str) -> AddedToken {
        AddedToken::from(content, true)
    }

    fn cutter(tokens: &[AddedToken]) -> Option<Cutter> {
        Cutter::new(tokens.iter())
    }

    #[test]
    fn a_text_is_cut_in_front_of_plain_tokens_alone() {
        let tokens =
            [token("<a>"), token("<a><b>"), token("<l>").lstrip(true), token("\n\n"), token("<n>").normalized(true)];
        let cutter = cutter(&tokens).unwrap();
        let cases: [(&str, &[&str]); 8] = [
            ("", &[""]),
            ("no token", &["no token"]),
            ("<a>", &["<a>"]),
            ("x<a>y<a>", &["x", "<a>y", "<a>"]),
            ("<a><a>", &["<a>", "<a>"]),
            ("<a><b>z<b>", &["<a><b>z<b>"]),
            ("x <l> \n\n<n>y", &["x <l> \n\n<n>y"]),
            ("<a <a>", &["<a ", "<a>"]),
        ];
        for (text, expected) in cases {
            let pieces: Vec<&str> = cutter.pieces(text).into_iter().map(|(range, _)| &text[range]).collect();
            assert_eq!(pieces, expected, "{text:?}");
        }
    }

    #[test]
    fn tokenizers_with_tokens_that_look_around_are_not_cut() {
        assert!(cutter(&[]).is_none());
        assert!(cutter(&[token("<a>"), token("word").single_word(true)]).is_none());
        assert!(cutter(&[token(" <a>"), token("<b>").rstrip(true)]).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_least_recently_used_goes() {
        let memory = Memory::bounded(3 * (ENTRY + 5));
        let tokens: Arc<[u32]> = Arc::new([7]);
        for piece in ["a", "b", "c"] {
            memory.put(piece, tokens.clone());
        }
        memory.put("a", tokens.clone());
        memory.put("d", tokens.clone());
        memory.put(&"e".repeat(1000), tokens);
        let kept: Vec<bool> = ["a", "b", "c", "d"].iter().map(|piece| memory.get(piece).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        assert_eq!(memory.lock().bytes, 3 * (ENTRY + 5));
    }
}
