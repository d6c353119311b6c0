//! Arrays to bytes and back, and copies that share nothing; the rules of [`super`] hold here too.

use std::{ffi::c_int, slice};

use super::{Array, Dtype, Error, Result, STREAM, c, contiguous, eval, select};

/// The same values in a buffer of their own, which holds nothing else. A view's parent is not kept alive by it.
///
/// MLX's own copies share a buffer where they can; choosing each element between itself and itself never does.
pub fn duplicate(a: &Array) -> Result<Array> {
    select(&Array::from_bool(true), a, a)
}

/// An array's values row by row, as they lie in memory, computed if they are not yet.
pub fn to_bytes(a: &Array) -> Result<Vec<u8>> {
    let dense = contiguous(a)?;
    eval([&dense])?;
    // SAFETY: the array is computed and without gaps, so so many bytes lie there; it lives until they are copied. C does
    // not look at the type that its function's name speaks of.
    unsafe {
        let data = c::mlx_array_data_uint8(dense.as_ptr());
        match dense.nbytes() {
            0 => Ok(Vec::new()),
            _ if data.is_null() => Err(Error::internal("MLX: an array that was computed has no data")),
            count => Ok(slice::from_raw_parts(data, count).to_vec()),
        }
    }
}

/// Where the values of an array lie, which must be computed: for tests of who copies and who does not.
#[cfg(test)]
pub(crate) fn address(a: &Array) -> *const u8 {
    // SAFETY: the handle is valid; nothing is read through the pointer.
    unsafe { c::mlx_array_data_uint8(a.as_ptr()) }
}

/// An array of these bytes, row by row.
pub fn from_bytes(bytes: &[u8], shape: &[i32], dtype: Dtype) -> Result<Array> {
    STREAM.with(|_| ()); // the error handler stands
    let array = |data: *const u8| {
        // SAFETY: pointer and length are those of `shape`; C copies as many bytes as shape and type need, which is checked
        // below before any are read.
        unsafe {
            Array::from_ptr(c::mlx_array_new_data(data.cast(), shape.as_ptr(), shape.len() as c_int, dtype.into()))
        }
    };
    let elements = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(usize::try_from(dim).ok()?));
    match elements.and_then(|elements| elements.checked_mul(dtype_bytes(dtype))) {
        Some(needed) if needed == bytes.len() => Ok(array(bytes.as_ptr())),
        _ => Err(Error::internal(format!("{} bytes are no array of shape {shape:?} and type {dtype:?}", bytes.len()))),
    }
}

/// Bytes of one element.
pub fn dtype_bytes(dtype: Dtype) -> usize {
    match dtype {
        Dtype::Bool | Dtype::Uint8 | Dtype::Int8 => 1,
        Dtype::Uint16 | Dtype::Int16 | Dtype::Float16 | Dtype::Bfloat16 => 2,
        Dtype::Uint32 | Dtype::Int32 | Dtype::Float32 => 4,
        Dtype::Uint64 | Dtype::Int64 | Dtype::Float64 | Dtype::Complex64 => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::slice, *};

    #[test]
    fn bytes_go_out_and_come_back_as_they_are() {
        let numbers = [f32::NAN, -0.0, f32::MIN_POSITIVE / 2.0, 1.5, f32::INFINITY, -3.25];
        let array = Array::from_slice(&numbers, &[2, 3]);
        let bytes = to_bytes(&slice(&array, [0, 1], [2, 3]).expect("a view")).expect("bytes");
        let expected: Vec<u8> = [1, 2, 4, 5].iter().flat_map(|&place| f32::to_le_bytes(numbers[place])).collect();
        assert_eq!(bytes, expected);
        let back = from_bytes(&bytes, &[2, 2], Dtype::Float32).expect("an array");
        assert_eq!(to_bytes(&duplicate(&back).expect("a copy")).expect("bytes"), expected);
    }

    #[test]
    fn a_wrong_number_of_bytes_is_refused() {
        for shape in [[2, 3], [-1, 4], [i32::MAX, i32::MAX]] {
            let refused = from_bytes(&[0; 16], &shape, Dtype::Float32).expect_err("too few");
            assert!(refused.message.starts_with("16 bytes are no array of shape ["), "{}", refused.message);
        }
    }
}
