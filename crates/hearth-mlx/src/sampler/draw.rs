//! Filters and the draw itself, for rows that need the same work.

use hearth_core::Result;

use super::{SamplerState, column, float32, scalar, state};
use crate::ops::{self, Array, Dtype};

/// Below this temperature the likeliest token is taken: any other has no chance, and dividing by it would overflow.
const GREEDY_BELOW: f32 = 1e-4;

/// Up to this `top_k` the largest logits are partitioned off before they are sorted.
const PARTITION_UP_TO: u32 = 1024;

/// What a row needs; rows of equal kind are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    method: Method,
    adjusts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Method {
    /// Take the largest.
    Greedy,
    /// Draw from all, or from those near the likeliest.
    Plain,
    /// Look at the few largest to find the threshold.
    Partition,
    /// Sort all to find the threshold.
    Sort,
}

impl Kind {
    pub(super) fn of(row: &SamplerState) -> Self {
        Self { method: Method::of(row), adjusts: row.adjusts() }
    }
}

impl Method {
    fn of(row: &SamplerState) -> Self {
        let params = &row.params;
        match params.top_k {
            _ if params.temperature < GREEDY_BELOW => Self::Greedy,
            0 if params.top_p >= 1.0 => Self::Plain,
            1..=PARTITION_UP_TO => Self::Partition,
            _ => Self::Sort,
        }
    }
}

/// Draws a token for each row; all rows are of this kind.
pub(super) fn draw(logits: &Array, rows: &[&SamplerState], kind: Kind) -> Result<Array> {
    let logits = if kind.adjusts { state::adjust(&float32(logits)?, rows)? } else { logits.clone() };
    if kind.method == Method::Greedy {
        return ops::argmax(&logits);
    }
    let filtered = filtered(&logits, rows, kind)?;
    ops::argmax(&ops::subtract(&filtered, &log_exponential(rows, filtered.dim(1))?)?)
}

/// The logits over the temperature, -∞ where a filter drops the token.
pub(super) fn filtered(logits: &Array, rows: &[&SamplerState], kind: Kind) -> Result<Array> {
    let logits = ops::divide(&float32(logits)?, &column(rows, |row| row.params.temperature))?;
    let Some(threshold) = threshold(&logits, rows, kind.method)? else { return Ok(logits) };
    ops::select(&ops::greater_equal(&logits, &threshold)?, &logits, &scalar(f32::NEG_INFINITY))
}

/// The smallest logit that a row's filters keep, `[rows, 1]`; `None` where no row has a filter.
fn threshold(logits: &Array, rows: &[&SamplerState], method: Method) -> Result<Option<Array>> {
    let vocab = logits.dim(1);
    let ranked = match method {
        Method::Partition => {
            let most = rows.iter().map(|row| row.params.top_k).max().unwrap_or(1) as i32;
            Some(kth_and_nucleus(&largest(logits, most.min(vocab))?, rows)?)
        }
        Method::Sort => Some(kth_and_nucleus(&ops::sort_rows(logits)?, rows)?),
        Method::Greedy | Method::Plain => None,
    };
    if rows.iter().all(|row| row.params.min_p <= 0.0) {
        return Ok(ranked);
    }
    // ln 0 is -∞, below every logit: a row without min_p keeps all.
    let distance = column(rows, |row| row.params.min_p.ln());
    let near = ops::add(&ops::max_rows(logits)?, &distance)?;
    ranked.map_or(Ok(near.clone()), |ranked| ops::maximum(&ranked, &near)).map(Some)
}

/// The `count` largest values of each row, smallest first.
fn largest(logits: &Array, count: i32) -> Result<Array> {
    let (rows, vocab) = (logits.dim(0), logits.dim(1));
    let parted = ops::partition_rows(logits, vocab - count)?;
    ops::sort_rows(&ops::slice(&parted, [0, vocab - count], [rows, vocab])?)
}

/// The smallest logit that `top_k` and then `top_p` keep, given each row's largest logits, smallest first.
fn kth_and_nucleus(sorted: &Array, rows: &[&SamplerState]) -> Result<Array> {
    let width = sorted.dim(1) as u32;
    let kth: Vec<u32> = rows.iter().map(|row| kth_place(row.params.top_k, width)).collect();
    let kth = ops::take_along_rows(sorted, &Array::from_slice(&kth, &[rows.len() as i32, 1]))?;
    if rows.iter().all(|row| row.params.top_p >= 1.0) {
        return Ok(kth);
    }
    let top_k = ops::select(&ops::greater_equal(sorted, &kth)?, sorted, &scalar(f32::NEG_INFINITY))?;
    let likelier = ops::sum_behind_rows(&ops::softmax_rows(&top_k)?)?;
    let inside = ops::less(&likelier, &column(rows, |row| nucleus(row.params.top_p)))?;
    let nucleus = ops::min_rows(&ops::select(&inside, sorted, &scalar(f32::INFINITY))?)?;
    ops::maximum(&kth, &nucleus)
}

/// Where the `k`-th largest of `width` values stands; 0, and more than there are, keep all.
fn kth_place(k: u32, width: u32) -> u32 {
    if k == 0 { 0 } else { width.saturating_sub(k) }
}

/// A token is in the nucleus while the likelier ones sum to less than this. 1 keeps all, however sums are rounded; the
/// likeliest, with nothing before it, stays even where the nucleus is 0.
fn nucleus(top_p: f32) -> f32 {
    if top_p >= 1.0 { f32::INFINITY } else { top_p.max(f32::MIN_POSITIVE) }
}

/// The logarithm of exponentially distributed noise, `[rows, vocab]`; what Gumbel noise is the negative of. It is
/// `ln(-ln(1 - v))` for uniform `v`, written with `1 - v` because floats are dense near 0, not near 1: the small
/// values, which decide, come out in full precision.
fn log_exponential(rows: &[&SamplerState], vocab: i32) -> Result<Array> {
    let words = ops::astype(&random_words(rows, vocab)?, Dtype::Float32)?;
    let minus_v = ops::multiply(&ops::add(&words, &scalar(0.5))?, &scalar(-(2.0_f32.powi(-32))))?;
    let above_minus_1 = ops::maximum(&minus_v, &scalar(f32::EPSILON / 2.0 - 1.0))?;
    ops::log(&ops::negative(&ops::log1p(&above_minus_1)?)?)
}

/// Random words `[rows, vocab]`: for each row from its own key, or all from one where no row must be repeatable.
fn random_words(rows: &[&SamplerState], vocab: i32) -> Result<Array> {
    let [first, ..] = rows else { return ops::zeros(&[0, vocab], Dtype::Uint32) };
    if rows.len() == 1 || rows.iter().all(|row| !row.is_seeded()) {
        return ops::random_bits(&[rows.len() as i32, vocab], first.key());
    }
    let words = rows.iter().map(|row| ops::random_bits(&[1, vocab], row.key())).collect::<Result<Vec<_>>>()?;
    ops::concatenate(&words, 0)
}
