//! A layer's attention heads: how they are laid out, turned and scaled. Who sees whom is [`crate::batch`]'s part.

use hearth_core::Result;

use super::{Quantized, Rope};
use crate::{
    cache::Visible,
    ops::{self, Array, Mask},
};

/// The heads of a layer.
#[derive(Debug)]
pub struct Heads {
    /// Heads of queries.
    pub queries: i32,
    /// Heads of keys and values.
    pub keys: i32,
    /// Numbers of one head.
    pub dims: i32,
    /// What scores are multiplied by.
    pub scale: f32,
    /// What tells queries and keys where they stand.
    pub rope: Rope,
}

/// Queries, keys and values of some tokens, each `[tokens, heads · dims]` or `[tokens, heads, dims]`.
#[derive(Debug)]
pub struct Qkv {
    /// Queries.
    pub q: Array,
    /// Keys.
    pub k: Array,
    /// Values.
    pub v: Array,
}

impl Heads {
    /// Heads whose scores are divided by the root of their size, as is usual.
    pub fn new(queries: usize, keys: usize, dims: usize, rope: Rope) -> Self {
        let scale = (dims as f32).sqrt().recip();
        Self { queries: queries as i32, keys: keys as i32, dims: dims as i32, scale, rope }
    }

    /// `[tokens, heads · dims]` of queries as `[tokens, heads, dims]`.
    pub fn split_queries(&self, q: &Array) -> Result<Array> {
        ops::reshape(q, &[-1, self.queries, self.dims])
    }

    /// `[tokens, heads · dims]` of keys as `[tokens, heads, dims]`.
    pub fn split_keys(&self, k: &Array) -> Result<Array> {
        ops::reshape(k, &[-1, self.keys, self.dims])
    }

    /// Single queries `[rows, heads, 1, dims]` as [`Heads::attend`] takes them.
    ///
    /// A GPU has one kernel for attention over plain numbers. The processor has a dozen operations for it, which go through
    /// the keys once for each head of queries. So there, and where keys are packed, the heads that share keys become rows
    /// of one matrix, scaled for the whole batch.
    pub fn arrange(&self, q: Array, rows: i32, packed: bool) -> Result<Array> {
        if !packed && !ops::on_cpu() {
            return Ok(q);
        }
        ops::reshape(&self.scaled(&q)?, &[rows, self.keys, self.queries / self.keys, self.dims])
    }

    /// Attention of one token: its heads, one after the other.
    pub fn attend(&self, q: &Array, visible: &Visible) -> Result<Array> {
        match visible {
            Visible::Plain { keys, values, .. } if !ops::on_cpu() => {
                ops::attention(q, keys, values, self.scale, Mask::None)
            }
            Visible::Plain { keys, values, .. } => {
                let scores = ops::matmul(q, &ops::transpose(keys, &[0, 1, 3, 2])?)?;
                ops::matmul(&ops::softmax(&scores)?, values)
            }
            Visible::Quantized { keys, values } => values.matmul_plain(&ops::softmax(&keys.matmul(q)?)?),
        }
    }

    /// Attention of several queries `[1, heads, queries, dims]` over packed keys and values, where `mask`, of shape
    /// `[queries, keys]`, is true.
    pub fn attend_packed(&self, q: &Array, keys: &Quantized, values: &Quantized, mask: &Array) -> Result<Array> {
        let (new, all) = (mask.dim(0), mask.dim(1));
        let share = self.queries / self.keys;
        let q = ops::reshape(&self.scaled(q)?, &[1, self.keys, share * new, self.dims])?;
        let scores = ops::reshape(&keys.matmul(&q)?, &[1, self.keys, share, new, all])?;
        let hidden = ops::astype(&Array::from_f32(f32::NEG_INFINITY), scores.dtype())?;
        let weights = ops::softmax(&ops::select(mask, &scores, &hidden)?)?;
        let mixed = values.matmul_plain(&ops::reshape(&weights, &[1, self.keys, share * new, all])?)?;
        ops::reshape(&mixed, &[1, self.queries, new, self.dims])
    }

    fn scaled(&self, q: &Array) -> Result<Array> {
        ops::multiply(q, &ops::astype(&Array::from_f32(self.scale), q.dtype())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{LayerCache, LayerKind},
        quantization::{Mode, Scheme},
    };

    const DIMS: i32 = 32;

    fn numbers(heads: i32, tokens: i32, seed: i32) -> Array {
        let number = |place: i32| ((place * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0;
        let numbers: Vec<f32> = (0..heads * tokens * DIMS).map(number).collect();
        Array::from_slice(&numbers, &[1, heads, tokens, DIMS])
    }

    fn unpack(packed: &Quantized) -> Array {
        ops::dequantize(&packed.weight, &packed.scales, packed.biases.as_ref(), &packed.scheme).expect("numbers")
    }

    fn assert_close(found: &Array, expected: &Array, what: &str) {
        let values =
            |array: &Array| ops::contiguous(array).and_then(|array| ops::to_vec::<f32>(&array)).expect("numbers");
        for (found, expected) in values(found).iter().zip(values(expected)) {
            assert!((found - expected).abs() < 1e-5, "{what}: {found} for {expected}");
        }
    }

    /// Attention over packed numbers is attention over what they stand for, with any share of heads and any mask.
    #[test]
    fn packed_attention_is_plain_attention_over_the_same_numbers() {
        for (queries, keys) in [(4, 4), (4, 2), (6, 1)] {
            for bits in [4, 8] {
                let rope = Rope::new(DIMS as usize, 10_000.0, false, None).expect("a rope");
                let heads = Heads::new(queries as usize, keys as usize, DIMS as usize, rope);
                let scheme = Scheme { mode: Mode::Affine, bits, group_size: 32 };
                let mut cache = LayerCache::new(&LayerKind::Quantized { keys: scheme, values: scheme });
                for (seed, new) in [(1, 19), (2, 5), (3, 300), (4, 1)] {
                    let visible =
                        cache.update(&numbers(keys, new, seed), &numbers(keys, new, seed + 9)).expect("an update");
                    let Visible::Quantized { keys: k, values: v } = &visible else { panic!("plain") };
                    let q = numbers(queries, new, seed + 20);
                    let expected =
                        ops::attention(&q, &unpack(k), &unpack(v), heads.scale, Mask::Causal).expect("attention");
                    let all = k.weight.dim(2);
                    let seen: Vec<bool> =
                        (0..new).flat_map(|query| (0..all).map(move |key| key <= all - new + query)).collect();
                    let mask = Array::from_slice(&seen, &[new, all]);
                    let found = heads.attend_packed(&q, k, v, &mask).expect("attention");
                    assert_close(&found, &expected, &format!("{queries} over {keys} heads, {bits} bits, {new} tokens"));
                    if new == 1 {
                        let q = heads.arrange(q, 1, true).expect("rows");
                        let found = heads.attend(&q, &visible).expect("attention");
                        assert_close(&found, &expected, &format!("{queries} over {keys} heads, {bits} bits, a row"));
                    }
                }
            }
        }
    }
}
