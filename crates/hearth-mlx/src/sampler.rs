//! From logits to tokens: rows of `[rows, vocabulary]`, each with its own parameters, to lazy token ids `[rows]`.
//!
//! For each row, in this order (that of transformers, for which `generation_config.json` files are written; mlx-lm
//! filters before it divides by the temperature, and by `top_p` before `top_k`):
//!
//! 1. `logit_bias` is added to the raw logits; the repetition, presence and frequency penalties follow.
//! 2. Temperature 0 takes the likeliest token. Else the logits are divided by the temperature,
//! 3. `top_k` keeps the likeliest, `top_p` the nucleus of what `top_k` kept, `min_p` compares with the likeliest, and
//! 4. one token is drawn by the Gumbel-max trick: the largest sum of logit and Gumbel noise.
//!
//! What a filter keeps is a threshold on the logits, so tokens of equal logits stay or go together. A row's result depends
//! on its own logits, parameters, seed and position only, never on its neighbours: rows are sorted into kinds of equal work,
//! and each kind is one vectorised computation with parameters as `[rows, 1]` columns.
//!
//! Nothing here waits for the device. The token drawn last may still be unread when the next is drawn: what penalties
//! remember of it are lazy arrays too.

mod draw;
mod logprobs;
mod state;

use hearth_core::{Result, runner::Sampled};

use crate::ops::{self, Array, Dtype};
use draw::Kind;
use logprobs::RowLogprobs;
pub use state::SamplerState;

/// The tokens drawn by one call of [`sample`], still on their way.
#[derive(Debug)]
pub struct Drawn {
    /// Token ids, u32, `[rows]`.
    pub tokens: Array,
    logprobs: Option<RowLogprobs>,
}

/// Draws a token for each row of `logits` and takes it into the row's history.
pub fn sample(logits: &Array, rows: &mut [&mut SamplerState]) -> Result<Drawn> {
    let tokens = draw_by_kind(logits, rows)?;
    let logprobs = RowLogprobs::new(logits, &tokens, rows)?;
    for (row, state) in rows.iter_mut().enumerate() {
        state.remember(&tokens, row as i32)?;
    }
    Ok(Drawn { tokens, logprobs })
}

impl Drawn {
    /// Everything that must be evaluated before [`Drawn::read`], for one call of `async_eval`.
    pub fn arrays(&self) -> impl Iterator<Item = &Array> {
        std::iter::once(&self.tokens).chain(self.logprobs.iter().flat_map(RowLogprobs::arrays))
    }

    /// Waits for the tokens and reads them, one for each row.
    pub fn read(&self) -> Result<Vec<Sampled>> {
        ops::eval(self.arrays())?;
        let tokens = ops::to_vec::<u32>(&self.tokens)?;
        let mut sampled: Vec<_> = tokens.into_iter().map(|token| Sampled { token, logprobs: None }).collect();
        if let Some(logprobs) = &self.logprobs {
            for (row, found) in logprobs.read()? {
                sampled[row].logprobs = Some(found);
            }
        }
        Ok(sampled)
    }
}

/// Computes each [`Kind`] of rows on its own and puts the tokens back into the rows' order.
fn draw_by_kind(logits: &Array, rows: &[&mut SamplerState]) -> Result<Array> {
    let kinds: Vec<_> = rows.iter().map(|row| Kind::of(row)).collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| kinds[row]);
    let mut drawn = Vec::new();
    for places in order.chunk_by(|&a, &b| kinds[a] == kinds[b]) {
        let group: Vec<&SamplerState> = places.iter().map(|&row| &*rows[row]).collect();
        drawn.push(draw::draw(&pick_rows(logits, places)?, &group, kinds[places[0]])?);
    }
    match drawn.as_slice() {
        [all] => Ok(all.clone()),
        parts => ops::take_rows(&ops::concatenate(parts, 0)?, &indices(&inverse(&order))),
    }
}

/// The rows at `places`; all of them, as they are, where that is what `places` says.
fn pick_rows(a: &Array, places: &[usize]) -> Result<Array> {
    if places.iter().copied().eq(0..a.dim(0) as usize) {
        return Ok(a.clone());
    }
    ops::take_rows(a, &indices(places))
}

/// Where each row went in `order`.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut places = vec![0; order.len()];
    for (place, &row) in order.iter().enumerate() {
        places[row] = place;
    }
    places
}

fn indices(places: &[usize]) -> Array {
    let places: Vec<u32> = places.iter().map(|&place| place as u32).collect();
    Array::from_slice(&places, &[places.len() as i32])
}

/// One number for each row, shape `[rows, 1]`.
fn column(rows: &[&SamplerState], value: impl Fn(&SamplerState) -> f32) -> Array {
    let values: Vec<f32> = rows.iter().map(|row| value(row)).collect();
    Array::from_slice(&values, &[rows.len() as i32, 1])
}

fn scalar(value: f32) -> Array {
    Array::from_f32(value)
}

/// Logits in the type that sampling computes in.
fn float32(a: &Array) -> Result<Array> {
    if a.dtype() == Dtype::Float32 { Ok(a.clone()) } else { ops::astype(a, Dtype::Float32) }
}

#[cfg(test)]
mod tests;
