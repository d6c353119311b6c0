//! Log-probabilities of the raw logits, for the rows that asked.

use hearth_core::{Result, runner::Logprobs};

use super::{SamplerState, float32, indices, pick_rows};
use crate::ops::{self, Array};

/// Log-probabilities on their way.
#[derive(Debug)]
pub(super) struct RowLogprobs {
    /// The rows that asked, and for how many alternatives.
    asked: Vec<(usize, usize)>,
    /// Of the chosen tokens, `[asked, 1]`.
    chosen: Array,
    /// The likeliest tokens and theirs, in no order, `[asked, most]` each.
    top: Option<(Array, Array)>,
}

impl RowLogprobs {
    /// Of the `tokens` drawn from `logits`; `None` where no row asked.
    pub(super) fn new(logits: &Array, tokens: &Array, rows: &[&mut SamplerState]) -> Result<Option<Self>> {
        let asked: Vec<_> =
            rows.iter().enumerate().filter_map(|(row, state)| Some((row, state.params.logprobs? as usize))).collect();
        if asked.is_empty() {
            return Ok(None);
        }
        let places: Vec<_> = asked.iter().map(|&(row, _)| row).collect();
        let logits = float32(&pick_rows(logits, &places)?)?;
        let tokens = ops::reshape(&ops::take_rows(tokens, &indices(&places))?, &[places.len() as i32, 1])?;
        let total = ops::logsumexp_rows(&logits)?;
        let of = |tokens: &Array| ops::subtract(&ops::take_along_rows(&logits, tokens)?, &total);
        let most = asked.iter().map(|&(_, count)| count).max().unwrap_or(0).min(logits.dim(1) as usize);
        let top = likeliest(&logits, most as i32)?.map(|ids| of(&ids).map(|values| (ids, values))).transpose()?;
        Ok(Some(Self { chosen: of(&tokens)?, top, asked }))
    }

    pub(super) fn arrays(&self) -> impl Iterator<Item = &Array> {
        std::iter::once(&self.chosen).chain(self.top.iter().flat_map(|(ids, values)| [ids, values]))
    }

    /// The rows that asked with what they asked for, once everything is evaluated.
    pub(super) fn read(&self) -> Result<Vec<(usize, Logprobs)>> {
        let chosen = ops::to_vec::<f32>(&self.chosen)?;
        let top = self.read_top()?;
        let width = top.len() / self.asked.len();
        let each = self.asked.iter().enumerate().map(|(place, &(row, count))| {
            let mut top = top[place * width..][..width].to_vec();
            top.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
            top.truncate(count);
            (row, Logprobs { chosen: chosen[place], top })
        });
        Ok(each.collect())
    }

    fn read_top(&self) -> Result<Vec<(u32, f32)>> {
        let Some((ids, values)) = &self.top else { return Ok(Vec::new()) };
        Ok(ops::to_vec::<u32>(ids)?.into_iter().zip(ops::to_vec::<f32>(values)?).collect())
    }
}

/// The ids of the `count` likeliest tokens of each row, in no order.
fn likeliest(logits: &Array, count: i32) -> Result<Option<Array>> {
    let (rows, vocab) = (logits.dim(0), logits.dim(1));
    if count == 0 {
        return Ok(None);
    }
    let places = ops::argpartition_rows(logits, vocab - count)?;
    ops::contiguous(&ops::slice(&places, [0, vocab - count], [rows, vocab])?).map(Some)
}
