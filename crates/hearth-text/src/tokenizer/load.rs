//! Reading a `tokenizer.json` that may be broken, and trying it out before anyone depends on it.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hearth_core::{Error, Result};
use tokenizers::Tokenizer;

/// No tokenizer in use is a quarter as large.
const MAX_BYTES: u64 = 256 << 20;

/// Texts that every tokenizer must get through: words, digits, white space, other scripts, several code points a sign.
const PROBES: [&str; 5] =
    ["Hello, world!", "  a\n\n\tb 1234567890 ", "naïve 日本語 عربى", "👩‍👩‍👧 e\u{301}", "\u{0}\u{fffd}"];

/// Texts with two of a tokenizer's added tokens in places where it matters how a text is cut.
pub(super) fn tricky(a: &str, b: &str) -> [String; 4] {
    let half: String = a.chars().take(a.chars().count() / 2).collect();
    [
        format!("{a}{b}{a}"),
        format!(" x{a} y \n{b}\n\n z {half}{b}s"),
        format!("e{a}\u{301}é {b}{b}  日{a}\t"),
        format!("'{a}'s 12{b}34 {half}"),
    ]
}

/// Reads and tries out the tokenizer at `path`.
pub(super) fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let bytes = read_file(path)?;
    let mut tokenizer = parse(&bytes).map_err(|reason| fault(path, &format!("is not a tokenizer: {reason}")))?;
    // A file may carry the limits of its training; a prompt is never cut or padded here.
    tokenizer.with_truncation(None).map_err(|error| fault(path, &error.to_string()))?;
    tokenizer.with_padding(None);
    probe(&tokenizer).map_err(|reason| fault(path, &reason))?;
    Ok(tokenizer)
}

/// The bytes of a JSON file of the model folder, with a sentence for what people do to such files.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |error| Error::model_load(format!("{} cannot be read: {error}.", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > MAX_BYTES {
        return Err(fault(path, &format!("is larger than {} MiB and is refused", MAX_BYTES >> 20)));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.is_empty() {
        return Err(fault(path, "is empty; download the model again"));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(fault(path, "begins with a byte order mark; save it as UTF-8 without one"));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Tokenizer, String> {
    match catch_unwind(|| Tokenizer::from_bytes(bytes)) {
        Ok(parsed) => parsed.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizers library panicked on it".into()),
    }
}

fn probe(tokenizer: &Tokenizer) -> Result<(), String> {
    let encode = |text: &str| match catch_unwind(AssertUnwindSafe(|| tokenizer.encode_fast(text, false))) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("cannot encode {text:?}: {error}")),
        Err(_) => Err(format!("panics on {text:?}")),
    };
    if tokenizer.get_vocab_size(false) == 0 {
        return Err("has no tokens".into());
    }
    PROBES.iter().try_for_each(|text| encode(text))
}

fn fault(path: &Path, what: &str) -> Error {
    Error::model_load(format!("{} {what}.", path.display()))
}
