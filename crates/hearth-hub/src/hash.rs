//! The hashes by which the Hub names contents: SHA-256 for files in LFS, git's own SHA-1 of a blob for the others.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::error::HubError;

/// What a file's content must hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// Of the content.
    Sha256([u8; 32]),
    /// Of git's blob: `blob SIZE`, a zero byte, the content.
    GitBlob([u8; 20]),
}

impl Digest {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn sha256(hex: &str) -> Result<Self, HubError> {
        read_hex(hex).map(Self::Sha256).ok_or_else(|| HubError::Answer("a file's SHA-256 is not one".into()))
    }

    /// Reads 40 hexadecimal digits.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn git_blob(hex: &str) -> Result<Self, HubError> {
        read_hex(hex).map(Self::GitBlob).ok_or_else(|| HubError::Answer("a file's git hash is not one".into()))
    }
}

/// Hexadecimal digits: a blob's name in the cache.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Sha256(bytes) => bytes,
            Self::GitBlob(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hashes a content as it comes.
pub(crate) struct Hasher {
    context: Context,
}

impl Hasher {
    /// For a content of `size` bytes whose hash should be `digest`.
    pub(crate) fn new(digest: &Digest, size: u64) -> Self {
        match digest {
            Digest::Sha256(_) => Self { context: Context::new(&SHA256) },
            Digest::GitBlob(_) => {
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(format!("blob {size}\0").as_bytes());
                Self { context }
            }
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Whether what came so far is the content.
    pub(crate) fn is(&self, digest: &Digest) -> bool {
        let found = self.context.clone().finish();
        match digest {
            Digest::Sha256(bytes) => found.as_ref() == bytes,
            Digest::GitBlob(bytes) => found.as_ref() == bytes,
        }
    }
}

fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.len() != 2 * N || !digits {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(digest: Digest, content: &[u8]) -> bool {
        let mut hasher = Hasher::new(&digest, content.len() as u64);
        hasher.update(content);
        hasher.is(&digest)
    }

    #[test]
    fn hashes_are_those_of_git_and_of_lfs() {
        // `printf hello | git hash-object --stdin` and `printf hello | sha256sum`.
        let blob = Digest::git_blob("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0").unwrap();
        let sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert!(matches(blob, b"hello") && !matches(blob, b"hellp"));
        assert!(matches(Digest::sha256(sha).unwrap(), b"hello"));
        assert_eq!(Digest::sha256(sha).unwrap().to_string(), sha);
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in ["", "b6fc", &"+0".repeat(20), &"é".repeat(20), &"b6".repeat(32)] {
            assert!(Digest::git_blob(text).is_err(), "{text}");
        }
    }
}
