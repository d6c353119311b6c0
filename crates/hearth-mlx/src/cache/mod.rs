//! Keys and values of the tokens that a sequence has seen.
//!
//! Each sequence owns its caches, one for each layer, so sequences join and leave a batch without copying any of them.

mod kv;

pub use kv::{KvCache, Visible};

/// The caches of one sequence, one for each layer.
#[derive(Debug)]
pub struct SequenceCache {
    layers: Vec<KvCache>,
}

impl SequenceCache {
    /// Empty caches: `windows` gives for each layer how many tokens a query may see, itself included; `None` is all.
    pub fn new(windows: impl IntoIterator<Item = Option<i32>>) -> Self {
        Self { layers: windows.into_iter().map(KvCache::new).collect() }
    }

    /// Tokens seen so far: the position of the next one.
    pub fn offset(&self) -> i32 {
        self.layers.first().map_or(0, KvCache::offset)
    }

    /// The cache of one layer.
    pub fn layer(&mut self, layer: usize) -> &mut KvCache {
        &mut self.layers[layer]
    }

    /// All arrays, to be computed.
    pub fn arrays(&self) -> impl Iterator<Item = &crate::ops::Array> {
        self.layers.iter().flat_map(KvCache::arrays)
    }
}
