//! The operations that only the sampler needs; the rules of [`super`] hold here too.

use mlx_rs::ArrayElement;

use super::{Array, Error, Result, array, c};

unary! {
    /// `ln(1 + a)`, exact near 0.
    log1p = mlx_log1p;
    /// Natural logarithm.
    log = mlx_log;
    /// `-a`.
    negative = mlx_negative;
}

binary! {
    /// `a - b`, broadcast.
    subtract = mlx_subtract;
    /// `a / b`, broadcast.
    divide = mlx_divide;
    /// The larger of the two, broadcast.
    maximum = mlx_maximum;
    /// The smaller of the two, broadcast.
    minimum = mlx_minimum;
    /// `a < b`, broadcast.
    less = mlx_less;
    /// `a >= b`, broadcast.
    greater_equal = mlx_greater_equal;
}

/// `x` where `condition` holds, else `y`, broadcast.
pub fn select(condition: &Array, x: &Array, y: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_where(result, condition.as_ptr(), x.as_ptr(), y.as_ptr(), stream) })
}

/// `a[row, indices[row, …]]` for each row of a matrix. Indices must be inside.
pub fn take_along_rows(a: &Array, indices: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_take_along_axis(result, a.as_ptr(), indices.as_ptr(), 1, stream) })
}

/// A matrix with `a[row, indices[row, i]] = values[row, i]`. Indices must be inside.
pub fn put_along_rows(a: &Array, indices: &Array, values: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe {
        c::mlx_put_along_axis(result, a.as_ptr(), indices.as_ptr(), values.as_ptr(), 1, stream)
    })
}

/// Each row of a matrix sorted, smallest first.
pub fn sort_rows(a: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_sort_axis(result, a.as_ptr(), 1, stream) })
}

/// Each row of a matrix so that what stands from place `kth` on is no smaller than what stands before it.
pub fn partition_rows(a: &Array, kth: i32) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_partition_axis(result, a.as_ptr(), kth, 1, stream) })
}

/// The places, as u32, that [`partition_rows`] takes its values from.
pub fn argpartition_rows(a: &Array, kth: i32) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_argpartition_axis(result, a.as_ptr(), kth, 1, stream) })
}

/// Probabilities of each row's logits.
pub fn softmax_rows(a: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_softmax_axis(result, a.as_ptr(), 1, true, stream) })
}

/// `ln Σ exp` of each row, shape `[rows, 1]`.
pub fn logsumexp_rows(a: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_logsumexp_axis(result, a.as_ptr(), 1, true, stream) })
}

/// For each element of a row the sum of those behind it.
pub fn sum_behind_rows(a: &Array) -> Result<Array> {
    let same = c::mlx_optional_dtype { value: 0, has_value: false };
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_cumsum_axis(result, a.as_ptr(), 1, true, false, same, stream) })
}

/// The largest value of each row, shape `[rows, 1]`.
pub fn max_rows(a: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_max_axis(result, a.as_ptr(), 1, true, stream) })
}

/// The smallest value of each row, shape `[rows, 1]`.
pub fn min_rows(a: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_min_axis(result, a.as_ptr(), 1, true, stream) })
}

/// Random 32-bit words of a shape, made from a key of two such words and from nothing else.
pub fn random_bits(shape: &[i32], key: [u32; 2]) -> Result<Array> {
    let key = Array::from_slice(&key, &[2]);
    // SAFETY: rule 2 of the ops module; pointer and length are those of `shape`.
    array(|result, stream| unsafe { c::mlx_random_bits(result, shape.as_ptr(), shape.len(), 4, key.as_ptr(), stream) })
}

/// The same values, laid out row by row without gaps, as reading them needs.
pub fn contiguous(a: &Array) -> Result<Array> {
    // SAFETY: rule 2 of the ops module.
    array(|result, stream| unsafe { c::mlx_contiguous(result, a.as_ptr(), false, stream) })
}

/// The values of an array, computed if they are not yet.
pub fn to_vec<T: ArrayElement + Clone>(a: &Array) -> Result<Vec<T>> {
    super::eval([a])?;
    let values = a.try_as_slice::<T>().map_err(|error| Error::internal(format!("MLX: {error}")))?;
    Ok(values.to_vec())
}
