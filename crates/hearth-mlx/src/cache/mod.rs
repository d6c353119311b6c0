//! What a sequence's layers remember of the tokens that it has seen.
//!
//! Each sequence owns its caches, one for each layer, so sequences join and leave a batch without copying any of them.
//! There is a file for each kind of cache; [`Cache`] is what they have in common, [`LayerCache`] any of them.
//!
//! | kind | remembers | can be cut back |
//! | --- | --- | --- |
//! | [`Growing`] | keys and values of all tokens | to any length |
//! | [`Quantized`] | the same in 4 or 8 bits | to any length |
//! | [`Window`] | keys and values of the latest tokens | as far as a whole window is still held |
//! | [`Recurrent`] | one state | not at all |
//!
//! Where a cache cannot be cut back to, a mark can be set while the sequence stands there: see [`SequenceCache::mark`]. One
//! that can be cut back to any length can hold its first tokens together with others while it is put aside: see `sharing.rs`.

mod form;
mod growing;
mod quantized;
mod recurrent;
mod sequence;
mod sharing;
mod tokens;
mod transfer;
mod window;

use hearth_core::{Error, Result};

pub use form::{Form, LayerKind, PartForm};
pub(crate) use form::{facts, quantize};
pub use growing::Growing;
pub use quantized::Quantized;
pub use recurrent::Recurrent;
pub use sequence::SequenceCache;
pub use tokens::STEP;
use tokens::Tokens;
pub(crate) use transfer::{export, import};
pub use window::Window;

use crate::{
    nn,
    ops::{self, Array},
};

/// What every kind of cache can do. Whoever asks for a length has looked at [`Cache::cuts_from`] and [`Cache::seen`].
pub trait Cache: Sized {
    /// Tokens seen so far.
    fn seen(&self) -> i32;

    /// The shortest length to which it can be cut back; to any longer one it can too.
    fn cuts_from(&self) -> i32;

    /// Forgets the tokens from `len` on. Nothing is copied, and nothing is freed.
    fn cut(&mut self, len: i32);

    /// A cache of the first `len` tokens in buffers of its own, still to be computed.
    fn copy(&self, len: i32) -> Result<Self>;

    /// The least that is needed to go on from here, in buffers of its own, still to be computed. Clones of it share them:
    /// they are never written to, because there is no room in them.
    fn mark(&self) -> Result<Self>;

    /// All buffers, as they are allocated.
    fn arrays(&self) -> &[Array];

    /// What the buffers hold, without the room that is left in them.
    fn content(&self) -> Result<Vec<Array>>;
}

/// The cache of one layer of one sequence.
#[derive(Debug, Clone)]
pub enum LayerCache {
    /// Keys and values of all tokens.
    Growing(Growing),
    /// Keys and values of all tokens, in few bits.
    Quantized(Quantized),
    /// Keys and values of the latest tokens.
    Window(Window),
    /// A state that each step replaces.
    Recurrent(Recurrent),
}

/// What new queries may look at: the tokens before them and themselves.
#[derive(Debug)]
pub enum Visible {
    /// Plain numbers.
    Plain {
        /// `[1, heads, before + new, dims]`.
        keys: Array,
        /// As the keys.
        values: Array,
        /// Tokens that stand before the first new one.
        before: i32,
        /// How many tokens a query may see, itself included, where there is a limit.
        window: Option<i32>,
    },
    /// Packed numbers, of all tokens.
    Quantized {
        /// `[1, heads, before + new, dims]`, before packing.
        keys: nn::Quantized,
        /// As the keys.
        values: nn::Quantized,
    },
}

macro_rules! each {
    ($layer:expr, $cache:ident => $value:expr) => {
        match $layer {
            LayerCache::Growing($cache) => $value,
            LayerCache::Quantized($cache) => $value,
            LayerCache::Window($cache) => $value,
            LayerCache::Recurrent($cache) => $value,
        }
    };
}

impl Cache for LayerCache {
    fn seen(&self) -> i32 {
        each!(self, cache => cache.seen())
    }

    fn cuts_from(&self) -> i32 {
        each!(self, cache => cache.cuts_from())
    }

    fn cut(&mut self, len: i32) {
        each!(self, cache => cache.cut(len));
    }

    fn copy(&self, len: i32) -> Result<Self> {
        Ok(match self {
            Self::Growing(cache) => Self::Growing(cache.copy(len)?),
            Self::Quantized(cache) => Self::Quantized(cache.copy(len)?),
            Self::Window(cache) => Self::Window(cache.copy(len)?),
            Self::Recurrent(cache) => Self::Recurrent(cache.copy(len)?),
        })
    }

    fn mark(&self) -> Result<Self> {
        Ok(match self {
            Self::Growing(cache) => Self::Growing(cache.mark()?),
            Self::Quantized(cache) => Self::Quantized(cache.mark()?),
            Self::Window(cache) => Self::Window(cache.mark()?),
            Self::Recurrent(cache) => Self::Recurrent(cache.mark()?),
        })
    }

    fn arrays(&self) -> &[Array] {
        each!(self, cache => cache.arrays())
    }

    fn content(&self) -> Result<Vec<Array>> {
        each!(self, cache => cache.content())
    }
}

impl LayerCache {
    /// An empty cache.
    pub fn new(kind: &LayerKind) -> Self {
        match kind {
            LayerKind::Growing => Self::Growing(Growing::default()),
            LayerKind::Quantized { keys, values } => Self::Quantized(Quantized::new(*keys, *values)),
            LayerKind::Window(window) => Self::Window(Window::new(*window)),
            LayerKind::Recurrent(names) => Self::Recurrent(Recurrent::new(names)),
        }
    }

    /// A cache of `seen` tokens from what [`Cache::content`] gave.
    fn restore(kind: &LayerKind, content: Vec<Array>, seen: i32) -> Self {
        match kind {
            LayerKind::Growing => Self::Growing(Growing::restore(content)),
            LayerKind::Quantized { keys, values } => Self::Quantized(Quantized::restore(*keys, *values, content)),
            LayerKind::Window(window) => Self::Window(Window::restore(*window, content, seen)),
            LayerKind::Recurrent(names) => Self::Recurrent(Recurrent::restore(names, content, seen)),
        }
    }

    /// Appends the keys and values of new tokens, each `[1, heads, new, dims]`.
    pub fn update(&mut self, keys: &Array, values: &Array) -> Result<Visible> {
        match self {
            Self::Growing(cache) => cache.update(keys, values),
            Self::Quantized(cache) => cache.update(keys, values),
            Self::Window(cache) => cache.update(keys, values),
            Self::Recurrent(_) => Err(Error::internal("a layer with a recurrent state was given keys and values")),
        }
    }

    /// Its tokens, where it holds all of them and so can share the first ones.
    fn tokens(&self) -> Option<&Tokens> {
        match self {
            Self::Growing(cache) => Some(&cache.tokens),
            Self::Quantized(cache) => Some(&cache.tokens),
            Self::Window(_) | Self::Recurrent(_) => None,
        }
    }

    /// As [`LayerCache::tokens`], to be changed.
    fn tokens_mut(&mut self) -> Option<&mut Tokens> {
        match self {
            Self::Growing(cache) => Some(&mut cache.tokens),
            Self::Quantized(cache) => Some(&mut cache.tokens),
            Self::Window(_) | Self::Recurrent(_) => None,
        }
    }

    /// Whether its keys and values are packed.
    pub fn is_quantized(&self) -> bool {
        matches!(self, Self::Quantized(_))
    }
}

/// Bytes of arrays.
fn bytes<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> u64 {
    arrays.into_iter().map(|array| array.nbytes() as u64).sum()
}

/// The only pair of a list of two.
fn pair(arrays: Vec<Array>) -> Result<[Array; 2]> {
    arrays.try_into().map_err(|_| Error::internal("a cache holds something else than keys and values"))
}

/// Tokens `start..stop` of `[1, heads, tokens, dims]`.
fn part(buffer: &Array, start: i32, stop: i32) -> Result<Array> {
    let [_, heads, _, dims] = dims(buffer);
    ops::slice(buffer, [0, 0, start, 0], [1, heads, stop, dims])
}

fn dims(array: &Array) -> [i32; 4] {
    [array.dim(0), array.dim(1), array.dim(2), array.dim(3)]
}

impl Visible {
    /// The latest `count` of `keys` and `values`.
    pub fn latest(keys: &Array, values: &Array, count: i32) -> Result<(Array, Array)> {
        let all = keys.dim(2);
        Ok((part(keys, all - count, all)?, part(values, all - count, all)?))
    }
}

#[cfg(test)]
mod tests;
