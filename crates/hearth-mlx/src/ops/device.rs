//! The device as a whole: which it is, whether it is done, what its allocator holds. The rules of [`super`] hold here too.

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
}
