//! The ragged batch: what one forward pass runs over.
//!
//! Activations are `[tokens, …]` over all segments laid end to end, without padding: first one token for each sequence
//! that decodes (the rows), then the prompts' chunks. Everything but attention is one call for the whole batch. Rotary
//! embedding is one call for all rows and one for each chunk; each sequence's cache is its own.
//!
//! Only some tokens are sampled after: every row, and the last token of a finished prompt. From the last layer's
//! attention on, the others are left out: see [`Batch::narrow`].

use hearth_core::Result;

use crate::{
    cache::{Cache, SequenceCache, Visible},
    nn::{Heads, Qkv, Rope},
    ops::{self, Array, Mask},
};

/// A prompt's chunk in a batch.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Its sequence's cache.
    pub cache: &'a mut SequenceCache,
    /// Tokens of the chunk.
    pub len: i32,
    /// Which of its tokens' logits are wanted.
    pub wanted: Wanted,
}

/// Which of a chunk's tokens go through the last layer to the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// None: the chunk only fills the cache.
    Nothing,
    /// The last one, after which a token is sampled.
    Last,
    /// All of them.
    Everything,
}

/// Sequences in one forward pass.
#[derive(Debug)]
pub struct Batch<'a> {
    rows: Vec<&'a mut SequenceCache>,
    chunks: Vec<Chunk<'a>>,
    positions: Positions,
    narrowing: Option<Narrowing>,
    masks: Vec<(WindowShape, Array)>,
    most_heads: i32,
}

/// Where the rows' tokens stand.
#[derive(Debug)]
enum Positions {
    Same(i32),
    Each(Array),
}

/// What is left out from the last layer's attention on.
#[derive(Debug)]
struct Narrowing {
    layer: usize,
    kept: Array,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WindowShape {
    before: i32,
    new: i32,
    window: i32,
}

impl<'a> Batch<'a> {
    /// A batch over sequences that decode and prompts' chunks, for a model of so many layers.
    pub fn new(rows: Vec<&'a mut SequenceCache>, chunks: Vec<Chunk<'a>>, layers: usize) -> Self {
        let positions = Positions::of(&rows);
        let narrowing =
            kept_tokens(rows.len(), &chunks).map(|kept| Narrowing { layer: layers.saturating_sub(1), kept });
        Self { rows, chunks, positions, narrowing, masks: Vec::new(), most_heads: 0 }
    }

    /// Attention of every token over its own sequence, in `layer`.
    ///
    /// Returns `[tokens, heads · dims]`, in the last layer narrowed to the tokens that are wanted.
    pub fn attend(&mut self, layer: usize, heads: &Heads, all: Qkv) -> Result<Array> {
        self.most_heads = self.most_heads.max(heads.queries);
        let narrow = self.narrowing.as_ref().is_some_and(|narrowing| narrowing.layer == layer);
        let mut parts = self.split(all)?.into_iter();
        let mut outputs = Vec::with_capacity(parts.len());
        if !self.rows.is_empty()
            && let Some(part) = parts.next()
        {
            outputs.push(self.attend_rows(layer, heads, part)?);
        }
        for (index, part) in parts.enumerate() {
            outputs.extend(self.attend_chunk(index, layer, heads, part, narrow)?);
        }
        join(outputs)
    }

    /// The chunks' caches, to be computed: of a chunk that nothing is sampled after, they are all that is.
    pub fn chunk_caches(&self) -> impl Iterator<Item = &Array> {
        self.chunks.iter().flat_map(|chunk| chunk.cache.arrays())
    }

    /// The most heads of queries that a layer had.
    pub fn most_heads(&self) -> i32 {
        self.most_heads
    }

    /// Bytes of the rows' caches.
    pub fn row_bytes(&self) -> usize {
        self.rows.iter().flat_map(|cache| cache.arrays()).map(Array::nbytes).sum()
    }

    /// In the last layer, `[tokens, …]` cut to the tokens that are wanted: the residual beside [`Batch::attend`].
    pub fn narrow(&self, layer: usize, x: Array) -> Result<Array> {
        match &self.narrowing {
            Some(narrowing) if narrowing.layer == layer => ops::take_rows(&x, &narrowing.kept),
            _ => Ok(x),
        }
    }

    /// The rows' part, where there are rows, then one for each chunk.
    fn split(&self, all: Qkv) -> Result<Vec<Qkv>> {
        let rows = (!self.rows.is_empty()).then_some(self.rows.len() as i32);
        let ends = rows.into_iter().chain(self.chunks.iter().map(|chunk| chunk.len)).scan(0, |end, len| {
            *end += len;
            Some(*end)
        });
        let mut places: Vec<i32> = ends.collect();
        places.pop();
        if places.is_empty() {
            return Ok(vec![all]);
        }
        let parts = |x: &Array| ops::split(x, &places, 0);
        let parts = parts(&all.q)?.into_iter().zip(parts(&all.k)?).zip(parts(&all.v)?);
        Ok(parts.map(|((q, k), v)| Qkv { q, k, v }).collect())
    }

    /// One token each of several sequences. A single token per head needs no transposition: `[rows, heads · dims]` and
    /// `[rows, heads, 1, dims]` lie the same way in memory.
    fn attend_rows(&mut self, layer: usize, heads: &Heads, part: Qkv) -> Result<Array> {
        let count = self.rows.len() as i32;
        let spread = |x: &Array, n: i32| ops::reshape(x, &[count, n, 1, heads.dims]);
        let q = self.positions.rotate(&spread(&part.q, heads.queries)?, &heads.rope)?;
        let packed = self.rows[0].layer(layer).is_quantized();
        let q = heads.arrange(q, count, packed)?;
        let k = self.positions.rotate(&spread(&part.k, heads.keys)?, &heads.rope)?;
        let v = spread(&part.v, heads.keys)?;
        let mut decode = |row: usize, q: &Array, k: &Array, v: &Array| {
            let visible = self.rows[row].layer(layer).update(k, v)?;
            heads.attend(q, &visible)
        };
        let outputs = if count == 1 {
            decode(0, &q, &k, &v)?
        } else {
            let cuts: Vec<i32> = (1..count).collect();
            let (q, k, v) = (ops::split(&q, &cuts, 0)?, ops::split(&k, &cuts, 0)?, ops::split(&v, &cuts, 0)?);
            let outputs = (0..q.len()).map(|row| decode(row, &q[row], &k[row], &v[row]));
            join(outputs.collect::<Result<_>>()?)?
        };
        ops::reshape(&outputs, &[count, heads.queries * heads.dims])
    }

    /// A prompt's chunk. Returns `None` where nothing of it is wanted any more.
    fn attend_chunk(
        &mut self,
        index: usize,
        layer: usize,
        heads: &Heads,
        part: Qkv,
        narrow: bool,
    ) -> Result<Option<Array>> {
        let Chunk { cache, len, wanted } = &mut self.chunks[index];
        let (len, wanted) = (*len, *wanted);
        let cache = cache.layer(layer);
        let offset = cache.seen();
        let spread = |x: &Array, n: i32| ops::transpose(&ops::reshape(x, &[1, len, n, heads.dims])?, &[0, 2, 1, 3]);
        let k = heads.rope.forward(&spread(&part.k, heads.keys)?, offset)?;
        let visible = cache.update(&k, &spread(&part.v, heads.keys)?)?;
        let q = spread(&part.q, heads.queries)?;
        let (q, offset, queries) = match (narrow, wanted) {
            (true, Wanted::Nothing) => return Ok(None),
            (true, Wanted::Last) => (last_token(&q, heads, len)?, offset + len - 1, 1),
            _ => (q, offset, len),
        };
        let q = heads.rope.forward(&q, offset)?;
        let attended = self.attend_visible(&q, &visible, heads, queries)?;
        let tokens = ops::transpose(&attended, &[0, 2, 1, 3])?;
        ops::reshape(&tokens, &[queries, heads.queries * heads.dims]).map(Some)
    }

    /// Attention of a chunk's queries, the last of which stands at the last key.
    fn attend_visible(&mut self, q: &Array, visible: &Visible, heads: &Heads, queries: i32) -> Result<Array> {
        match visible {
            Visible::Plain { keys, values, before, window } => {
                let attend = |k: &Array, v: &Array, mask: Mask<'_>| ops::attention(q, k, v, heads.scale, mask);
                match *window {
                    Some(window) if keys.dim(2) > window && queries == 1 => {
                        let (keys, values) = Visible::latest(keys, values, window)?;
                        attend(&keys, &values, Mask::None)
                    }
                    Some(window) if keys.dim(2) > window => {
                        let mask = self.window_mask(WindowShape { before: *before, new: queries, window })?;
                        attend(keys, values, Mask::Array(&mask))
                    }
                    _ if queries == 1 => attend(keys, values, Mask::None),
                    _ => attend(keys, values, Mask::Causal),
                }
            }
            Visible::Quantized { keys, values } => {
                let before = keys.weight.dim(2) - queries;
                let mask = self.window_mask(WindowShape { before, new: queries, window: i32::MAX })?;
                heads.attend_packed(q, keys, values, &mask)
            }
        }
    }

    /// The mask of a sliding window, or of none where it is endless, made once for all layers of its shape.
    fn window_mask(&mut self, shape: WindowShape) -> Result<Array> {
        if let Some((_, mask)) = self.masks.iter().find(|(known, _)| *known == shape) {
            return Ok(mask.clone());
        }
        let mask = shape.mask()?;
        self.masks.push((shape, mask.clone()));
        Ok(mask)
    }
}

impl Positions {
    fn of(rows: &[&mut SequenceCache]) -> Self {
        let offsets: Vec<i32> = rows.iter().map(|cache| cache.offset()).collect();
        match offsets.as_slice() {
            [] => Self::Same(0),
            [first, rest @ ..] if rest.iter().all(|offset| offset == first) => Self::Same(*first),
            all => Self::Each(Array::from_slice(all, &[all.len() as i32])),
        }
    }

    /// `[rows, heads, 1, dims]`, each row turned to its position.
    fn rotate(&self, x: &Array, rope: &Rope) -> Result<Array> {
        match self {
            Self::Same(offset) => rope.forward(x, *offset),
            Self::Each(offsets) => rope.forward_rows(x, offsets),
        }
    }
}

impl WindowShape {
    /// `[new, before + new]`: true where the key is not after the query, and less than a window before it.
    fn mask(self) -> Result<Array> {
        if self.window == i32::MAX {
            return self.causal();
        }
        let query = |row: i32| self.before + row;
        let seen = |row: i32, key: i32| key <= query(row) && query(row) - key < self.window;
        let keys = self.before + self.new;
        let mask: Vec<bool> = (0..self.new).flat_map(|row| (0..keys).map(move |key| seen(row, key))).collect();
        Ok(Array::from_slice(&mask, &[self.new, keys]))
    }

    /// As [`WindowShape::mask`] without a window, where there may be too many keys to go through them here.
    fn causal(self) -> Result<Array> {
        let (keys, all): (Vec<i32>, i32) = ((0..self.before + self.new).collect(), self.before + self.new);
        let queries = &keys[self.before as usize..];
        let queries = Array::from_slice(queries, &[self.new, 1]);
        ops::greater_equal(&queries, &Array::from_slice(&keys, &[1, all]))
    }
}

/// The indices of the tokens that are wanted; `None` where that is all of them, or none, when nothing is computed of
/// what follows the last cache.
fn kept_tokens(rows: usize, chunks: &[Chunk<'_>]) -> Option<Array> {
    let mut kept: Vec<i32> = (0..rows as i32).collect();
    let mut end = rows as i32;
    for chunk in chunks {
        end += chunk.len;
        match chunk.wanted {
            Wanted::Nothing => {}
            Wanted::Last => kept.push(end - 1),
            Wanted::Everything => kept.extend(end - chunk.len..end),
        }
    }
    let some = !kept.is_empty() && kept.len() < end as usize;
    some.then(|| Array::from_slice(&kept, &[kept.len() as i32]))
}

fn last_token(q: &Array, heads: &Heads, len: i32) -> Result<Array> {
    ops::slice(q, [0, 0, len - 1, 0], [1, heads.queries, len, heads.dims])
}

fn join(mut parts: Vec<Array>) -> Result<Array> {
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => ops::concatenate(&parts, 0),
    }
}
