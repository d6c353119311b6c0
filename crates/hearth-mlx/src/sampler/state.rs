//! What a sequence's sampler remembers: its parameters, its random seed, and what penalties need of its past.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
};

use hearth_core::{Result, sampling::SamplingParams};

use super::{column, scalar};
use crate::ops::{self, Array, Dtype};

/// The sampler of one sequence.
#[derive(Debug)]
pub struct SamplerState {
    pub(super) params: SamplingParams,
    vocab: usize,
    seed: u64,
    drawn: u64,
    /// The prompt's last tokens, until the first token is drawn.
    prompt: VecDeque<u32>,
    /// The last tokens of prompt and answer, `[1, window]`; where there are fewer, the oldest is repeated.
    recent: Option<Array>,
    /// How often the answer holds each token, `[1, vocabulary]`.
    counts: Option<Array>,
    /// `logit_bias`, `[1, vocabulary]`.
    bias: Option<Array>,
}

impl SamplerState {
    /// A sampler for a model of `vocab` tokens. Without a seed it draws a fresh one.
    pub fn new(params: &SamplingParams, vocab: usize) -> Self {
        Self::with_seed(params, vocab, params.seed.unwrap_or_else(fresh_seed))
    }

    pub(super) fn with_seed(params: &SamplingParams, vocab: usize, seed: u64) -> Self {
        Self {
            seed,
            bias: (!params.logit_bias.is_empty()).then(|| dense_bias(&params.logit_bias, vocab)),
            params: params.clone(),
            vocab,
            drawn: 0,
            prompt: VecDeque::new(),
            recent: None,
            counts: None,
        }
    }

    /// Takes a piece of the prompt into the history; all of it before the first token is drawn.
    pub fn feed_prompt(&mut self, tokens: &[u32]) {
        if self.repeats() {
            let window = SamplingParams::REPETITION_WINDOW;
            self.prompt.extend(&tokens[tokens.len().saturating_sub(window)..]);
            self.prompt.drain(..self.prompt.len().saturating_sub(window));
        }
    }

    /// Takes the token drawn for `row` into the history.
    pub(super) fn remember(&mut self, tokens: &Array, row: i32) -> Result<()> {
        self.drawn += 1;
        if !self.repeats() && !self.counts_tokens() {
            return Ok(());
        }
        let token = ops::reshape(&ops::slice(tokens, [row], [row + 1])?, &[1, 1])?;
        if self.repeats() {
            let window = SamplingParams::REPETITION_WINDOW as i32;
            let rest = ops::slice(&self.recent()?, [0, 1], [1, window])?;
            self.recent = Some(ops::concatenate([&rest, &token], 1)?);
        }
        if self.counts_tokens() {
            let counts = self.counts()?;
            let more = ops::add(&ops::take_along_rows(&counts, &token)?, &scalar(1.0))?;
            self.counts = Some(ops::put_along_rows(&counts, &token, &more)?);
        }
        Ok(())
    }

    /// Whether [`adjust`] changes this row's logits.
    pub(super) fn adjusts(&self) -> bool {
        self.bias.is_some() || self.repeats() || self.counts_tokens()
    }

    pub(super) fn is_seeded(&self) -> bool {
        self.params.seed.is_some()
    }

    /// The key of the next draw: a function of the seed and of how many tokens were drawn before.
    pub(super) fn key(&self) -> [u32; 2] {
        let word = mix(mix(self.seed).wrapping_add(self.drawn));
        [(word >> 32) as u32, word as u32]
    }

    fn repeats(&self) -> bool {
        self.params.repetition_penalty != 1.0
    }

    fn counts_tokens(&self) -> bool {
        self.params.presence_penalty != 0.0 || self.params.frequency_penalty != 0.0
    }

    fn recent(&self) -> Result<Array> {
        let window = SamplingParams::REPETITION_WINDOW;
        match (&self.recent, self.prompt.front()) {
            (Some(recent), _) => Ok(recent.clone()),
            (None, Some(&oldest)) if self.repeats() => {
                let padding = std::iter::repeat_n(oldest, window - self.prompt.len());
                let tokens: Vec<u32> = padding.chain(self.prompt.iter().copied()).collect();
                Ok(Array::from_slice(&tokens, &[1, window as i32]))
            }
            _ => ops::zeros(&[1, window as i32], Dtype::Uint32),
        }
    }

    fn counts(&self) -> Result<Array> {
        self.counts.clone().map_or_else(|| self.nothing(), Ok)
    }

    fn nothing(&self) -> Result<Array> {
        ops::zeros(&[1, self.vocab as i32], Dtype::Float32)
    }
}

/// Applies bias and penalties to `[rows, vocabulary]`, each as one computation over all rows.
pub(super) fn adjust(logits: &Array, rows: &[&SamplerState]) -> Result<Array> {
    let mut logits = logits.clone();
    if rows.iter().any(|row| row.bias.is_some()) {
        let bias = stack(rows, |row| row.bias.clone().map_or_else(|| row.nothing(), Ok))?;
        logits = ops::add(&logits, &bias)?;
    }
    if rows.iter().any(|row| row.repeats()) {
        logits = penalize_repetition(&logits, rows)?;
    }
    if rows.iter().any(|row| row.counts_tokens()) {
        logits = penalize_counts(&logits, rows)?;
    }
    Ok(logits)
}

/// Divides the positive and multiplies the negative logits of recent tokens (Keskar et al., <https://arxiv.org/abs/1909.05858>).
/// A row without the penalty has 1 for it, which changes nothing.
fn penalize_repetition(logits: &Array, rows: &[&SamplerState]) -> Result<Array> {
    let recent = stack(rows, SamplerState::recent)?;
    let penalty = column(rows, |row| row.params.repetition_penalty);
    let found = ops::take_along_rows(logits, &recent)?;
    let lower = ops::select(
        &ops::less(&found, &scalar(0.0))?,
        &ops::multiply(&found, &penalty)?,
        &ops::divide(&found, &penalty)?,
    )?;
    ops::put_along_rows(logits, &recent, &lower)
}

/// Subtracts OpenAI's penalties: for being in the answer at all, and for each time.
fn penalize_counts(logits: &Array, rows: &[&SamplerState]) -> Result<Array> {
    let counts = stack(rows, SamplerState::counts)?;
    let present = ops::minimum(&counts, &scalar(1.0))?;
    let presence = ops::multiply(&present, &column(rows, |row| row.params.presence_penalty))?;
    let frequency = ops::multiply(&counts, &column(rows, |row| row.params.frequency_penalty))?;
    ops::subtract(logits, &ops::add(&presence, &frequency)?)
}

/// One array of shape `[1, n]` from each row, as `[rows, n]`.
fn stack(rows: &[&SamplerState], part: impl Fn(&SamplerState) -> Result<Array>) -> Result<Array> {
    let parts = rows.iter().map(|row| part(row)).collect::<Result<Vec<_>>>()?;
    match parts.as_slice() {
        [only] => Ok(only.clone()),
        parts => ops::concatenate(parts, 0),
    }
}

fn dense_bias(bias: &[(u32, f32)], vocab: usize) -> Array {
    let mut dense = vec![0.0_f32; vocab];
    for &(token, value) in bias {
        if let Some(place) = dense.get_mut(token as usize) {
            *place += value;
        }
    }
    Array::from_slice(&dense, &[1, vocab as i32])
}

/// A seed from the operating system's randomness, by way of the standard library's hash keys.
fn fresh_seed() -> u64 {
    RandomState::new().hash_one(0)
}

/// SplitMix64's output function: every bit of the result depends on every bit of the argument.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
