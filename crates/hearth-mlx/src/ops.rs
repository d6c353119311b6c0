//! The operations of MLX that Hearth uses, over MLX's C interface: the only file with `unsafe`.
//!
//! mlx-rs lends the [`Array`] type and its bookkeeping. The operations are called directly because that is where a
//! token's host time goes (mlx-rs allocates a stream handle per call), and because quantization modes are not in its
//! safe interface. Three things hold throughout:
//!
//! 1. Every operation runs on the calling thread's default stream, looked up once per thread: since MLX 0.31.2 streams
//!    belong to their thread, so everything that touches arrays stays on the one device thread.
//! 2. A C function gets handles that outlive the call and an empty handle for the result; it returns 0, or else has
//!    reported its message to [`on_error`] on the same thread and left the result empty.
//! 3. Operations are lazy: nothing is computed before [`eval`], [`async_eval`] or a read.
#![allow(unsafe_code)]

use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::Once,
};

use hearth_core::{Error, Result};
pub use mlx_rs::{Array, Dtype};
use mlx_sys as c;

static ERROR_HANDLER: Once = Once::new();

thread_local! {
    static STREAM: Stream = Stream::of_thread();
    static LAST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The calling thread's default stream.
struct Stream {
    handle: c::mlx_stream,
    on_cpu: bool,
}

impl Stream {
    fn of_thread() -> Self {
        install_error_handler();
        // SAFETY: each handle is made by the call before its use and freed once; none of these calls fails.
        unsafe {
            let mut device = c::mlx_device_new();
            c::mlx_get_default_device(&mut device);
            let mut handle = c::mlx_stream_new();
            c::mlx_get_default_stream(&mut handle, device);
            let mut kind = 0;
            c::mlx_device_get_type(&mut kind, device);
            c::mlx_device_free(device);
            Self { handle, on_cpu: kind == c::mlx_device_type__MLX_CPU }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the handle is this value's own.
        unsafe { c::mlx_stream_free(self.handle) };
    }
}

/// Replaces mlx-c's handler, which ends the process. mlx-rs installs its own at its first operation, once, so that
/// happens first; messages of mlx-rs's own calls come here too.
fn install_error_handler() {
    ERROR_HANDLER.call_once(|| {
        #[cfg(target_os = "macos")]
        find_kernels();
        let _ = mlx_rs::memory::active_memory();
        // SAFETY: the handler is a plain function and takes no data.
        unsafe { c::mlx_set_error_handler(Some(on_error), ptr::null_mut(), None) };
    });
}

/// Tells MLX where Hearth.app has its kernels: with the resources, since a bundle's signature allows none beside the program,
/// where MLX would look. Elsewhere they lie where MLX was built.
#[cfg(target_os = "macos")]
fn find_kernels() {
    // Homebrew's `hearth` is a link to the program.
    let program = std::env::current_exe().and_then(|program| program.canonicalize()).unwrap_or_default();
    let kernels = program.parent().and_then(|folder| Some(folder.parent()?.join("Resources/mlx.metallib")));
    if let Some(kernels) = kernels.filter(|kernels| kernels.is_file()) {
        let _ = mlx_rs::metal::set_metallib_path(kernels.to_string_lossy());
    }
}

extern "C" fn on_error(message: *const c_char, _data: *mut c_void) {
    // SAFETY: mlx-c passes a C string that lives through this call.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // A panic may not cross into C: if the thread is ending, the message is lost.
    let _ = LAST_ERROR.try_with(|last| last.replace(Some(message)));
}

fn last_error() -> Error {
    let message = LAST_ERROR.with(RefCell::take).unwrap_or_else(|| "an operation failed without a message".into());
    // mlx-c appends the place in its own source, which says nothing to a person.
    let message = message.split(" at /").next().unwrap_or_default();
    Error::internal(format!("MLX: {message}"))
}

/// How many operations this thread has built. Each costs host time and, on a GPU, a launch.
pub fn operations() -> u64 {
    OPERATIONS.get()
}

fn check(status: c_int) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// Runs one operation that makes one array.
#[inline]
fn array(operation: impl FnOnce(*mut c::mlx_array, c::mlx_stream) -> c_int) -> Result<Array> {
    OPERATIONS.set(OPERATIONS.get() + 1);
    STREAM.with(|stream| handle(|result| operation(result, stream.handle)))
}

/// Has C write a handle, which is the caller's own.
#[inline]
fn handle(write: impl FnOnce(*mut c::mlx_array) -> c_int) -> Result<Array> {
    // SAFETY: an empty handle, which the call fills; it is owned by the Array from then on.
    unsafe {
        let mut result = c::mlx_array_new();
        check(write(&mut result))?;
        Ok(Array::from_ptr(result))
    }
}

/// Arrays as C takes a list of them: handles of its own, freed at the end.
struct Vector(c::mlx_vector_array);

impl Vector {
    fn new<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Self {
        STREAM.with(|_| ()); // the error handler stands
        let handles: Vec<_> = arrays.into_iter().map(Array::as_ptr).collect();
        // SAFETY: the pointer and the length are those of `handles`; C copies them.
        Self(unsafe { c::mlx_vector_array_new_data(handles.as_ptr(), handles.len()) })
    }

    fn into_arrays(self) -> Result<Vec<Array>> {
        // SAFETY: the handle is valid, and every index is below its size.
        unsafe {
            (0..c::mlx_vector_array_size(self.0))
                .map(|index| handle(|result| c::mlx_vector_array_get(result, self.0, index)))
                .collect()
        }
    }
}

impl Drop for Vector {
    fn drop(&mut self) {
        // SAFETY: the handle is this value's own.
        unsafe { c::mlx_vector_array_free(self.0) };
    }
}

/// An empty handle, which stands for an optional array that is not given; it owns nothing.
fn none() -> c::mlx_array {
    c::mlx_array { ctx: ptr::null_mut() }
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident = $function:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(a: &Array) -> Result<Array> {
            // SAFETY: rule 2 of this file.
            array(|result, stream| unsafe { c::$function(result, a.as_ptr(), stream) })
        }
    )*};
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = $function:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(a: &Array, b: &Array) -> Result<Array> {
            // SAFETY: rule 2 of this file.
            array(|result, stream| unsafe { c::$function(result, a.as_ptr(), b.as_ptr(), stream) })
        }
    )*};
}

mod device;
mod fused;
mod loading;
mod quantized;
mod sampling;
mod transfer;
pub use device::*;
pub use fused::Fused;
pub use loading::*;
pub use quantized::*;
pub use sampling::*;
pub use transfer::*;

unary! {
    /// `1 / (1 + exp(-a))`.
    sigmoid = mlx_sigmoid;
    /// Hyperbolic tangent.
    tanh = mlx_tanh;
}

binary! {
    /// `a + b`, broadcast.
    add = mlx_add;
    /// `a · b` element by element, broadcast.
    multiply = mlx_multiply;
    /// Matrix product over the last two axes.
    matmul = mlx_matmul;
}

/// `bias + x · w`.
pub fn addmm(bias: &Array, x: &Array, w: &Array) -> Result<Array> {
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe { c::mlx_addmm(result, bias.as_ptr(), x.as_ptr(), w.as_ptr(), 1.0, 1.0, stream) })
}

/// Rows (entries of the first axis) of `a` by index.
pub fn take_rows(a: &Array, indices: &Array) -> Result<Array> {
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe { c::mlx_take_axis(result, a.as_ptr(), indices.as_ptr(), 0, stream) })
}

/// How positions become angles.
#[derive(Debug)]
pub enum Frequencies {
    /// `base^(-2i/d)`.
    Base(f32),
    /// Given one by one, as wavelengths in positions (MLX's convention: the reciprocal is the angle's speed).
    Given(Array),
}

impl Frequencies {
    fn as_c(&self) -> (c::mlx_optional_float, c::mlx_array) {
        match self {
            Self::Base(base) => (c::mlx_optional_float { value: *base, has_value: true }, none()),
            Self::Given(array) => (c::mlx_optional_float { value: 0.0, has_value: false }, array.as_ptr()),
        }
    }
}

/// What rotary embedding turns, and how far.
#[derive(Debug)]
pub struct Rotation {
    /// Numbers of a head that are turned.
    pub dims: i32,
    /// Whether pairs are neighbours rather than the two halves of `dims`.
    pub traditional: bool,
    /// Angles for each position.
    pub frequencies: Frequencies,
    /// What positions are multiplied by.
    pub scale: f32,
}

/// Rotary embedding of `[batch, heads, tokens, dims]` whose first token stands at `offset`.
pub fn rope(x: &Array, by: &Rotation, offset: i32) -> Result<Array> {
    let (base, given) = by.frequencies.as_c();
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe {
        c::mlx_fast_rope(result, x.as_ptr(), by.dims, by.traditional, base, by.scale, offset, given, stream)
    })
}

/// As [`rope`], with an offset for each row of the batch.
pub fn rope_rows(x: &Array, by: &Rotation, offsets: &Array) -> Result<Array> {
    let (base, given) = by.frequencies.as_c();
    let offsets = offsets.as_ptr();
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe {
        c::mlx_fast_rope_dynamic(result, x.as_ptr(), by.dims, by.traditional, base, by.scale, offsets, given, stream)
    })
}

/// `x / sqrt(mean(x²) + eps) · weight` over the last axis.
pub fn rms_norm(x: &Array, weight: &Array, eps: f32) -> Result<Array> {
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe { c::mlx_fast_rms_norm(result, x.as_ptr(), weight.as_ptr(), eps, stream) })
}

/// Which keys a query may see.
#[derive(Debug, Clone, Copy)]
pub enum Mask<'a> {
    /// All of them.
    None,
    /// Those up to its own position, the last query standing at the last key.
    Causal,
    /// Where the array, broadcast to `[batch, heads, queries, keys]`, is true.
    Array(&'a Array),
}

/// `softmax(scale · Q Kᵀ) V` for queries `[batch, heads, queries, dims]` and keys and values `[batch, kv_heads, keys, dims]`.
pub fn attention(q: &Array, k: &Array, v: &Array, scale: f32, mask: Mask<'_>) -> Result<Array> {
    let (mode, mask) = match mask {
        Mask::None => (c"", none()),
        Mask::Causal => (c"causal", none()),
        Mask::Array(array) => (c"", array.as_ptr()),
    };
    // SAFETY: rule 2 of this file; the mode is a C string of static life.
    array(|result, stream| unsafe {
        c::mlx_fast_scaled_dot_product_attention(
            result,
            q.as_ptr(),
            k.as_ptr(),
            v.as_ptr(),
            scale,
            mode.as_ptr(),
            mask,
            none(),
            false,
            stream,
        )
    })
}

/// The same values in another shape.
pub fn reshape(a: &Array, shape: &[i32]) -> Result<Array> {
    // SAFETY: rule 2 of this file; pointer and length are those of `shape`.
    array(|result, stream| unsafe { c::mlx_reshape(result, a.as_ptr(), shape.as_ptr(), shape.len(), stream) })
}

/// A view with the axes in another order.
pub fn transpose(a: &Array, axes: &[i32]) -> Result<Array> {
    // SAFETY: rule 2 of this file; pointer and length are those of `axes`.
    array(|result, stream| unsafe { c::mlx_transpose_axes(result, a.as_ptr(), axes.as_ptr(), axes.len(), stream) })
}

/// `a[start..stop]`, an index pair for each axis.
pub fn slice<const N: usize>(a: &Array, start: [i32; N], stop: [i32; N]) -> Result<Array> {
    let steps = [1; N];
    // SAFETY: rule 2 of this file; all three lists have N entries.
    array(|result, stream| unsafe {
        c::mlx_slice(result, a.as_ptr(), start.as_ptr(), N, stop.as_ptr(), N, steps.as_ptr(), N, stream)
    })
}

/// `a` with `a[start..stop]` replaced by `update`; in place where nothing else holds `a`.
pub fn slice_update<const N: usize>(a: &Array, update: &Array, start: [i32; N], stop: [i32; N]) -> Result<Array> {
    let steps = [1; N];
    let (from, to) = (start.as_ptr(), stop.as_ptr());
    // SAFETY: rule 2 of this file; all three lists have N entries.
    array(|result, stream| unsafe {
        c::mlx_slice_update(result, a.as_ptr(), update.as_ptr(), from, N, to, N, steps.as_ptr(), N, stream)
    })
}

/// `a` cut at these places of an axis.
pub fn split(a: &Array, places: &[i32], axis: i32) -> Result<Vec<Array>> {
    OPERATIONS.set(OPERATIONS.get() + 1);
    let mut parts = Vector::new([]);
    // SAFETY: rule 2 of this file; pointer and length are those of `places`; the vector's handle is written in place.
    STREAM.with(|stream| unsafe {
        check(c::mlx_split_sections(&mut parts.0, a.as_ptr(), places.as_ptr(), places.len(), axis, stream.handle))
    })?;
    parts.into_arrays()
}

/// Arrays end to end along an axis.
pub fn concatenate<'a>(arrays: impl IntoIterator<Item = &'a Array>, axis: i32) -> Result<Array> {
    let arrays = Vector::new(arrays);
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe { c::mlx_concatenate_axis(result, arrays.0, axis, stream) })
}

/// The index of the largest value along the last axis, as u32.
pub fn argmax(a: &Array) -> Result<Array> {
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe { c::mlx_argmax_axis(result, a.as_ptr(), -1, false, stream) })
}

/// `exp(a)` along the last axis, divided by its sum; computed in float32.
pub fn softmax(a: &Array) -> Result<Array> {
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe { c::mlx_softmax_axis(result, a.as_ptr(), -1, true, stream) })
}

/// The same values as another type.
pub fn astype(a: &Array, dtype: Dtype) -> Result<Array> {
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe { c::mlx_astype(result, a.as_ptr(), dtype.into(), stream) })
}

/// Every value brought into `-bound..=bound`.
pub fn clip(a: &Array, bound: &Array) -> Result<Array> {
    let negative = array(|result, stream| unsafe { c::mlx_negative(result, bound.as_ptr(), stream) })?;
    // SAFETY: rule 2 of this file.
    array(|result, stream| unsafe { c::mlx_clip(result, a.as_ptr(), negative.as_ptr(), bound.as_ptr(), stream) })
}

/// Zeros.
pub fn zeros(shape: &[i32], dtype: Dtype) -> Result<Array> {
    // SAFETY: rule 2 of this file; pointer and length are those of `shape`.
    array(|result, stream| unsafe { c::mlx_zeros(result, shape.as_ptr(), shape.len(), dtype.into(), stream) })
}

/// Computes arrays and waits for them.
pub fn eval<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Result<()> {
    let arrays = Vector::new(arrays);
    // SAFETY: the handle is valid.
    check(unsafe { c::mlx_eval(arrays.0) })
}

/// Queues arrays for computing and returns.
pub fn async_eval<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Result<()> {
    let arrays = Vector::new(arrays);
    // SAFETY: the handle is valid.
    check(unsafe { c::mlx_async_eval(arrays.0) })
}
