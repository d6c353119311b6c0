//! Numbers packed into few bits; the rules of [`super`] hold here too.

use std::ffi::{CStr, c_int};

use super::{Array, OPERATIONS, Result, STREAM, Vector, array, c, check, none};
use crate::quantization::{Mode, Scheme};

fn or_none(array: Option<&Array>) -> c::mlx_array {
    array.map_or_else(none, Array::as_ptr)
}

fn some_int(value: usize) -> c::mlx_optional_int {
    c::mlx_optional_int { value: value as c_int, has_value: true }
}

fn mode_name(mode: Mode) -> &'static CStr {
    match mode {
        Mode::Affine => c"affine",
        Mode::Mxfp4 => c"mxfp4",
        Mode::Nvfp4 => c"nvfp4",
        Mode::Mxfp8 => c"mxfp8",
    }
}

/// `x · W` for a quantized `W` of shape `[…, in, out]`, or `x · Wᵀ` for one of shape `[…, out, in]` that is `transposed`.
pub fn quantized_matmul(
    x: &Array,
    w: &Array,
    scales: &Array,
    biases: Option<&Array>,
    scheme: &Scheme,
    transposed: bool,
) -> Result<Array> {
    // SAFETY: rule 2 of the ops module; the mode is a C string of static life.
    array(|result, stream| unsafe {
        c::mlx_quantized_matmul(
            result,
            x.as_ptr(),
            w.as_ptr(),
            scales.as_ptr(),
            or_none(biases),
            transposed,
            some_int(scheme.group_size),
            some_int(scheme.bits),
            mode_name(scheme.mode).as_ptr(),
            stream,
        )
    })
}

/// The plain numbers of a quantized array, in MLX's choice of type for them.
pub fn dequantize(w: &Array, scales: &Array, biases: Option<&Array>, scheme: &Scheme) -> Result<Array> {
    let own_type = c::mlx_optional_dtype { value: 0, has_value: false };
    // SAFETY: rule 2 of the ops module; the mode is a C string of static life.
    array(|result, stream| unsafe {
        c::mlx_dequantize(
            result,
            w.as_ptr(),
            scales.as_ptr(),
            or_none(biases),
            some_int(scheme.group_size),
            some_int(scheme.bits),
            mode_name(scheme.mode).as_ptr(),
            none(),
            own_type,
            stream,
        )
    })
}

/// The numbers of the last axis packed: the packed ones, their scales and, in the affine mode, their biases.
pub fn quantize(a: &Array, scheme: &Scheme) -> Result<Vec<Array>> {
    OPERATIONS.set(OPERATIONS.get() + 1);
    let mut parts = Vector::new([]);
    let (group, bits, mode) = (some_int(scheme.group_size), some_int(scheme.bits), mode_name(scheme.mode).as_ptr());
    // SAFETY: rule 2 of the ops module; the mode is a C string of static life; the vector's handle is written in place.
    STREAM.with(|stream| unsafe {
        check(c::mlx_quantize(&mut parts.0, a.as_ptr(), group, bits, mode, none(), stream.handle))
    })?;
    parts.into_arrays()
}
