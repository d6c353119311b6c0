//! Caches that were put aside and begin with the same tokens: layers that hold all tokens have the first ones in pieces,
//! buffers of which each of these caches has a handle, so that they are in memory once.
//!
//! Whoever splits or shares works one layer after the other and computes a layer's copies before it lets go of what they
//! were made of, so a layer's size is all that this takes in between.

use hearth_core::Result;

use super::{LayerCache, SequenceCache, bytes};
use crate::ops;

impl SequenceCache {
    /// Splits piece `place`, or what comes after all pieces, at its token `at`, in all `caches` that hold it. After an error
    /// they are of no use.
    pub(crate) fn split(caches: &mut [&mut Self], place: usize, at: i32) -> Result<()> {
        for layer in 0..caches[0].layers.len() {
            let Some(tokens) = caches[0].layers[layer].tokens() else { continue };
            let halves = tokens.halves(place, at)?;
            ops::eval(halves.iter().flatten())?;
            let layers = caches.iter_mut().filter_map(|cache| cache.layers[layer].tokens_mut());
            layers.for_each(|tokens| tokens.replace(place, &halves));
        }
        Ok(())
    }

    /// Takes the first `pieces` of another cache, which hold the same as the first tokens of this one, which shares nothing
    /// yet. After an error it is of no use.
    pub(crate) fn share(&mut self, other: &Self, pieces: usize) -> Result<()> {
        for (layer, other) in self.layers.iter_mut().zip(&other.layers) {
            let (Some(tokens), Some(other)) = (layer.tokens_mut(), other.tokens()) else { continue };
            let shared = tokens.behind(&other.shared()[..pieces])?;
            ops::eval(shared.buffers())?;
            *tokens = shared;
        }
        Ok(())
    }

    /// Bytes of a piece.
    pub(crate) fn piece_bytes(&self, place: usize) -> u64 {
        let layers = self.layers.iter().filter_map(LayerCache::tokens);
        layers.map(|tokens| bytes(&tokens.shared()[place])).sum()
    }
}
