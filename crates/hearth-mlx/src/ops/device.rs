//! The device as a whole: which it is, whether it is done, what its allocator holds. The rules of [`super`] hold here too.

use std::ffi::CStr;

use super::{Result, STREAM, c, check};

/// Whether operations run on the processor rather than on a GPU.
pub fn on_cpu() -> bool {
    STREAM.with(|stream| stream.on_cpu)
}

/// Waits until this thread's stream has nothing left to do.
pub fn synchronize() -> Result<()> {
    // SAFETY: the stream is valid.
    STREAM.with(|stream| check(unsafe { c::mlx_synchronize(stream.handle) }))
}

/// Switches MLX's compiler of fused kernels off, for the whole process. On the CPU it would run g++ in the middle of a
/// request and load what that built from a folder anyone can write to, for no measurable gain.
pub fn disable_compile() -> Result<()> {
    // SAFETY: no arguments.
    check(unsafe { c::mlx_disable_compile() })
}

/// Gives the allocator's unused buffers back to the system. Nothing may be in flight.
pub fn clear_cache() -> Result<()> {
    // SAFETY: no arguments.
    check(unsafe { c::mlx_clear_cache() })
}

macro_rules! figure {
    ($($(#[$doc:meta])* $name:ident = $function:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name() -> Result<usize> {
            let mut bytes = 0;
            // SAFETY: the figure is written in place.
            check(unsafe { c::$function(&mut bytes) })?;
            Ok(bytes)
        }
    )*};
}

figure! {
    /// Bytes of arrays in use.
    active_memory = mlx_get_active_memory;
    /// The most bytes ever in use.
    peak_memory = mlx_get_peak_memory;
    /// Bytes of freed buffers that are kept.
    cache_memory = mlx_get_cache_memory;
    /// The bytes from which on MLX waits for memory before it takes more.
    memory_limit = mlx_get_memory_limit;
}

/// Forgets the peak: [`peak_memory`] counts from here.
pub fn reset_peak_memory() -> Result<()> {
    // SAFETY: no arguments.
    check(unsafe { c::mlx_reset_peak_memory() })
}

/// MLX's version (`0.32.2`).
pub fn version() -> Result<String> {
    // SAFETY: the string is made by the call before its use, filled in place, ends with a zero, and is freed once.
    unsafe {
        let mut text = c::mlx_string_new();
        let status = c::mlx_version(&mut text);
        let found = check(status).map(|()| CStr::from_ptr(c::mlx_string_data(text)).to_string_lossy().into_owned());
        c::mlx_string_free(text);
        found
    }
}

/// Bytes that the system recommends to keep on the GPU at most; `None` where there is no GPU, or it does not say.
pub fn recommended_memory() -> Option<usize> {
    if on_cpu() {
        return None;
    }
    let key = c"max_recommended_working_set_size".as_ptr();
    // SAFETY: each handle is made by the call before its use and freed once; the key is a C string of static life; the
    // figure is written in place, and only where the key is known and not a text.
    unsafe {
        let mut device = c::mlx_device_new();
        let mut info = c::mlx_device_info_new();
        let (mut known, mut text, mut bytes) = (false, true, 0);
        let found = c::mlx_get_default_device(&mut device) == 0
            && c::mlx_device_info_get(&mut info, device) == 0
            && c::mlx_device_info_has_key(&mut known, info, key) == 0
            && known
            && c::mlx_device_info_is_string(&mut text, info, key) == 0
            && !text
            && c::mlx_device_info_get_size(&mut bytes, info, key) == 0;
        c::mlx_device_info_free(info);
        c::mlx_device_free(device);
        found.then_some(bytes)
    }
}
