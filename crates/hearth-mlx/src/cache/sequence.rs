//! All caches of one sequence, and the lengths to which they can be cut back together.
//!
//! Layers that cannot be cut back are helped by marks: what they held when the sequence was so long. A mark's buffers are
//! never written to, so whoever resumes from it, and copies of the sequence, share them.

use std::rc::Rc;

use hearth_core::{
    Error, Result,
    runner::{Cuts, MOST_MARKS, superfluous_mark},
};

use super::{Cache, LayerCache, LayerKind, Recurrent, STEP, Tokens, bytes, tokens::room};
use crate::ops::{self, Array};

/// The caches of one sequence, one for each layer.
#[derive(Debug)]
pub struct SequenceCache {
    pub(super) layers: Vec<LayerCache>,
    /// Shortest first.
    marks: Vec<Rc<Mark>>,
}

/// What the layers that cannot be cut anywhere held at a length.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) len: i32,
    /// For each layer, where it has one.
    pub(super) states: Vec<Option<LayerCache>>,
}

impl SequenceCache {
    /// Empty caches.
    pub fn new<'a>(kinds: impl IntoIterator<Item = &'a LayerKind>) -> Self {
        Self { layers: kinds.into_iter().map(LayerCache::new).collect(), marks: Vec::new() }
    }

    pub(super) fn restore(layers: Vec<LayerCache>, marks: Vec<Mark>) -> Self {
        Self { layers, marks: marks.into_iter().map(Rc::new).collect() }
    }

    /// Tokens seen so far: the position of the next one.
    pub fn offset(&self) -> i32 {
        self.layers.first().map_or(0, LayerCache::seen)
    }

    /// Whether all layers have seen the same tokens, as they have but after a pass that failed half-way.
    pub fn is_whole(&self) -> bool {
        self.layers.iter().all(|layer| layer.seen() == self.offset())
    }

    /// The cache of one layer.
    pub fn layer(&mut self, layer: usize) -> &mut LayerCache {
        &mut self.layers[layer]
    }

    /// The state of a layer that has one.
    pub fn recurrent(&mut self, layer: usize) -> Result<&mut Recurrent> {
        match &mut self.layers[layer] {
            LayerCache::Recurrent(cache) => Ok(cache),
            _ => Err(Error::internal(format!("layer {layer} has no recurrent state"))),
        }
    }

    pub(super) fn layers(&self) -> &[LayerCache] {
        &self.layers
    }

    pub(super) fn marks(&self) -> &[Rc<Mark>] {
        &self.marks
    }

    /// All arrays, to be computed; those of marks are already.
    pub fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.layers.iter().flat_map(LayerCache::arrays)
    }

    /// Bytes of all buffers, room and marks included, but for pieces. A mark that several sequences share counts for each.
    pub fn bytes(&self) -> u64 {
        let marks = self.marks.iter().flat_map(|mark| mark.arrays());
        bytes(self.arrays().chain(marks))
    }

    /// The lengths to which it can be cut back. Marks are all among them, for `from` grows with what comes.
    pub fn cuts(&self) -> Cuts {
        let from = self.layers.iter().map(LayerCache::cuts_from).max().unwrap_or(0);
        Cuts { from: from as usize, marks: self.marks.iter().map(|mark| mark.len as usize).collect() }
    }

    /// Makes the present length one of the [`SequenceCache::cuts`], until there are too many marks. The copies that this
    /// takes are queued.
    pub fn mark(&mut self, kinds: &[LayerKind]) -> Result<()> {
        let len = self.offset();
        let known = self.marks.last().is_some_and(|mark| mark.len == len);
        if len == 0 || known || kinds.iter().all(LayerKind::cuts_anywhere) {
            return Ok(());
        }
        let state =
            |(kind, layer): (&LayerKind, &LayerCache)| (!kind.cuts_anywhere()).then(|| layer.mark()).transpose();
        let states = kinds.iter().zip(&self.layers).map(state).collect::<Result<_>>()?;
        let mark = Mark { len, states };
        ops::async_eval(mark.arrays())?;
        if self.marks.len() >= MOST_MARKS
            && let Some(place) = superfluous_mark(self.marks.iter().map(|mark| mark.len as usize))
        {
            self.marks.remove(place);
        }
        self.marks.push(Rc::new(mark));
        Ok(())
    }

    /// The same caches, cut back to `len`. Nothing is copied, but for what is shared, or would leave its buffers with more room
    /// than memory is reckoned with: that moves to other ones, one layer after the other.
    pub fn cut(mut self, len: usize) -> Result<Self> {
        let (len, mark) = self.place(len)?;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            match mark.as_ref().and_then(|mark| mark.states[index].as_ref()) {
                Some(state) => *layer = state.clone(),
                None if moves(layer, len) => {
                    let copy = layer.copy(len)?;
                    ops::eval(copy.arrays())?;
                    *layer = copy;
                }
                None => layer.cut(len),
            }
        }
        self.marks.retain(|mark| mark.len <= len);
        Ok(self)
    }

    /// Copies of the caches, cut back to `len`. They are computed when this returns, so no buffer of this sequence is held.
    pub fn copy(&self, len: usize) -> Result<Self> {
        let (len, mark) = self.place(len)?;
        let copy =
            |(index, layer): (usize, &LayerCache)| match mark.as_ref().and_then(|mark| mark.states[index].as_ref()) {
                Some(state) => Ok(state.clone()),
                None => layer.copy(len),
            };
        let layers = self.layers.iter().enumerate().map(copy).collect::<Result<_>>()?;
        let marks = self.marks.iter().filter(|mark| mark.len <= len).cloned().collect();
        let copied = Self { layers, marks };
        ops::eval(copied.arrays())?;
        Ok(copied)
    }

    /// The mark to resume from at `len`, where one is needed.
    fn place(&self, len: usize) -> Result<(i32, Option<Rc<Mark>>)> {
        let cuts = self.cuts();
        let refuse = || {
            let seen = self.offset();
            Error::internal(format!("a cache of {seen} tokens cannot be cut back to {len}"))
        };
        let short = i32::try_from(len).ok().filter(|&len| len <= self.offset()).ok_or_else(refuse)?;
        if len >= cuts.from {
            return Ok((short, None));
        }
        let mark = self.marks.iter().find(|mark| mark.len == short).ok_or_else(refuse)?;
        Ok((short, Some(Rc::clone(mark))))
    }
}

/// Whether a layer cannot keep its buffers when it is cut to `len`: others hold them too, or they are larger than
/// [`CacheFacts::sequence_bytes`](hearth_core::model::CacheFacts::sequence_bytes) says of a prompt that goes on from there. To
/// copy them costs about what a few tokens cost, for each of which they are read.
fn moves(layer: &LayerCache, len: i32) -> bool {
    let reckoned = len + STEP + room(len);
    let too_large = |tokens: &Tokens| tokens.buffers().first().is_some_and(|buffer| buffer.dim(2) > reckoned);
    layer.tokens().is_some_and(|tokens| !tokens.shared().is_empty() || too_large(tokens))
}

impl Mark {
    fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.states.iter().flatten().flat_map(LayerCache::arrays)
    }
}
