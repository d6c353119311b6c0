//! What a worker is asked to do: token ids and numbers, no text.

use serde::{Deserialize, Serialize};

use crate::sampling::SamplingParams;

/// Continue a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// The prompt, never empty.
    pub prompt: Vec<u32>,
    /// At most so many new tokens. 0 only fills the cache, in idle time, and yields to everything else.
    pub max_tokens: usize,
    /// Tokens that end the answer; they are reported as its last token.
    pub stop_tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// The session that this is of, which owns what it leaves behind.
    pub session: Option<SessionKey>,
    /// Whether it takes over the cache that the session left behind, however little of it is used.
    pub takes_over: bool,
}

/// A session as a worker knows it: a hash of its id and of whose it is.
pub type SessionKey = u64;

/// What a sequence found in the caches when it began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reuse {
    /// Where it was found.
    pub source: CacheSource,
    /// Tokens of the prompt that were not computed again.
    pub matched: usize,
    /// Tokens that the prompt shares with the conversation in store that is most like it: more than `matched` where that
    /// one's cache cannot be cut back there, or has lost its place.
    pub shared: usize,
    /// Tokens of that conversation; 0: there was none.
    pub stored: usize,
    /// Tokens of the prompt that were in store: more than `matched` where a file was not worth its reading.
    pub in_store: usize,
    /// Milliseconds in the worker's queue.
    pub queue_ms: f64,
    /// Milliseconds of reading the cache from disk, waiting for it included.
    pub restore_ms: f64,
}

/// Where a cache lay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheSource {
    /// Nothing was reused.
    #[default]
    None,
    /// In memory.
    Memory,
    /// In a file.
    Disk,
}
