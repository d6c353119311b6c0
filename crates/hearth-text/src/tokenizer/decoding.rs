//! A tokenizer's decoder, taken apart so that it can run one token at a time.
//!
//! The crate decodes whole lists. Nearly all models use one of a few decoders whose work on a token depends on nothing
//! but the token and on whether it is the first; those become steps that yield a [`Piece`] per token. Any other
//! decoder runs as it is, over a short window of tokens.
//!
//! One difference is meant: where a run of `<0xE2>`-like tokens is not valid UTF-8, the crate replaces every byte of
//! the run by U+FFFD, even those that are whole characters. A stream cannot know that a run will end badly, so here
//! only the broken bytes are replaced.

use std::sync::LazyLock;

use serde_json::Value;
use tokenizers::DecoderWrapper;

/// How a token's entry in the vocabulary becomes text.
#[derive(Debug, PartialEq)]
pub(crate) enum Decoding {
    /// GPT-2's: each character of an entry stands for a byte.
    ByteLevel,
    /// SentencePiece's, in the two ways in which files spell it.
    Pieces(Pieces),
    /// The crate's own decoder over a window.
    Windowed,
}

/// See [`Decoding::Pieces`].
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Pieces {
    steps: Vec<Step>,
    byte_fallback: bool,
    /// Cut from the beginning of the whole text: at most so many of this character.
    pub(crate) strip: Option<(char, usize)>,
}

/// What is done to one entry.
#[derive(Debug, PartialEq)]
enum Step {
    Replace(String, String),
    /// The replacement becomes a space, or nothing in the first token where a space was put in front for encoding.
    Metaspace {
        replacement: char,
        cut_first: bool,
    },
}

/// What a token adds to a text.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    /// Bytes, perhaps not whole characters.
    Bytes(Vec<u8>),
    /// Whole characters.
    Text(String),
}

impl Decoding {
    /// Takes a decoder apart; by its JSON form, since the crate keeps some of the fields to itself.
    pub(crate) fn of(decoder: Option<&DecoderWrapper>) -> Self {
        let json = decoder.and_then(|decoder| serde_json::to_value(decoder).ok()).unwrap_or(Value::Null);
        let flat = flatten(&json);
        match flat.as_slice() {
            [only] if kind(only) == "ByteLevel" => Self::ByteLevel,
            steps => Pieces::of(steps).map_or(Self::Windowed, Self::Pieces),
        }
    }

    /// What the vocabulary's `entry` adds; `added` says that it stands outside the model's own vocabulary, `first` that
    /// no text came before it.
    pub(crate) fn piece(&self, entry: String, added: bool, first: bool) -> Piece {
        match self {
            Self::ByteLevel if added => Piece::Text(entry),
            Self::ByteLevel => Piece::Bytes(bytes_of(&entry).unwrap_or_else(|| entry.into_bytes())),
            Self::Pieces(pieces) => pieces.piece(entry, first),
            Self::Windowed => Piece::Text(entry),
        }
    }
}

impl Pieces {
    /// `None` where a decoder is unknown, or stands where it would see more than one token.
    fn of(decoders: &[&Value]) -> Option<Self> {
        let mut pieces = Self::default();
        let mut rest = decoders.iter().peekable();
        while let Some(step) = rest.peek().and_then(|decoder| Step::of(decoder)) {
            pieces.steps.push(step);
            rest.next();
        }
        pieces.byte_fallback = rest.next_if(|decoder| kind(decoder) == "ByteFallback").is_some();
        let fused = rest.next_if(|decoder| kind(decoder) == "Fuse").is_some();
        pieces.strip = rest.peek().and_then(|decoder| strip_start(decoder)).filter(|_| fused);
        rest.next_if(|_| pieces.strip.is_some());
        let known = rest.next().is_none() && (fused || pieces.byte_fallback || !pieces.steps.is_empty());
        known.then_some(pieces)
    }

    fn piece(&self, entry: String, first: bool) -> Piece {
        let text = self.steps.iter().fold(entry, |text, step| step.apply(text, first));
        match byte(&text) {
            Some(byte) if self.byte_fallback => Piece::Bytes(vec![byte]),
            _ => Piece::Text(text),
        }
    }
}

impl Step {
    fn of(decoder: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match kind(decoder) {
            "Replace" => Some(Self::Replace(text(&decoder["pattern"]["String"])?, text(&decoder["content"])?)),
            "Metaspace" => Some(Self::Metaspace {
                replacement: decoder["replacement"].as_str()?.chars().next()?,
                cut_first: decoder["prepend_scheme"] != "never",
            }),
            _ => None,
        }
    }

    fn apply(&self, text: String, first: bool) -> String {
        match self {
            Self::Replace(from, to) if text.contains(from) => text.replace(from, to),
            Self::Metaspace { replacement, cut_first } if text.contains(*replacement) => {
                text.replace(*replacement, if *cut_first && first { "" } else { " " })
            }
            _ => text,
        }
    }
}

/// A sequence's decoders, or the one decoder.
fn flatten(json: &Value) -> Vec<&Value> {
    match json["decoders"].as_array() {
        Some(decoders) => decoders.iter().flat_map(flatten).collect(),
        None => vec![json],
    }
}

fn kind(decoder: &Value) -> &str {
    decoder["type"].as_str().unwrap_or_default()
}

/// `Strip` after `Fuse`, if it cuts at the start alone.
fn strip_start(decoder: &Value) -> Option<(char, usize)> {
    let whole = kind(decoder) == "Strip" && decoder["stop"] == 0;
    let content = decoder["content"].as_str().filter(|_| whole)?.chars().next()?;
    Some((content, decoder["start"].as_u64()? as usize))
}

/// The byte that `<0xE2>` stands for.
fn byte(entry: &str) -> Option<u8> {
    let hex = entry.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}

/// The bytes behind a byte-level entry; `None` if a character stands for none.
fn bytes_of(entry: &str) -> Option<Vec<u8>> {
    entry.chars().map(|c| BYTES.get(c as usize).copied().flatten()).collect()
}

/// GPT-2's alphabet backwards: printable Latin-1 stands for itself, the other bytes for the characters from U+0100 on.
static BYTES: LazyLock<[Option<u8>; 0x180]> = LazyLock::new(|| {
    let mut table = [None; 0x180];
    let mut next = 0x100;
    for byte in 0..=u8::MAX {
        if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
            table[byte as usize] = Some(byte);
        } else {
            table[next] = Some(byte);
            next += 1;
        }
    }
    table
});

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(decoder: Value) -> Decoding {
        Decoding::of(Some(&serde_json::from_value(decoder).expect("a decoder")))
    }

    fn replace(from: &str) -> Value {
        json!({"type": "Replace", "pattern": {"String": from}, "content": " "})
    }

    #[test]
    fn the_common_decoders_are_taken_apart() {
        let llama = of(json!({"type": "Sequence", "decoders": [
            replace("▁"), {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}));
        let Decoding::Pieces(pieces) = llama else { panic!("{llama:?}") };
        assert_eq!(pieces.strip, Some((' ', 1)));
        assert_eq!(pieces.piece("▁the▁sea".into(), false), Piece::Text(" the sea".into()));
        assert_eq!(pieces.piece("<0xE2>".into(), false), Piece::Bytes(vec![0xE2]));
        assert_eq!(pieces.piece("<0xZZ>".into(), false), Piece::Text("<0xZZ>".into()));

        let metaspace = of(json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}));
        assert_eq!(metaspace.piece("▁a".into(), false, true), Piece::Text("a".into()));
        assert_eq!(metaspace.piece("▁a".into(), false, false), Piece::Text(" a".into()));

        let gpt2 = of(json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}));
        assert_eq!(gpt2.piece("ĠâĤ".into(), false, false), Piece::Bytes(b" \xe2\x82".to_vec()));
        assert_eq!(gpt2.piece("<é>".into(), true, false), Piece::Text("<é>".into()));
    }

    #[test]
    fn what_needs_its_neighbours_runs_in_a_window() {
        for decoder in [
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, replace("▁")]}),
            json!({"type": "Sequence", "decoders": [{"type": "Fuse"}, replace("▁")]}),
            json!({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]}),
        ] {
            assert_eq!(of(decoder.clone()), Decoding::Windowed, "{decoder}");
        }
        assert_eq!(Decoding::of(None), Decoding::Windowed);
    }
}
