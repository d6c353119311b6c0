//! What MLX's allocator holds, in bytes.

use hearth_core::Result;

use crate::ops;

/// The allocator's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Arrays in use.
    pub active: usize,
    /// The most that was ever in use.
    pub peak: usize,
    /// Freed buffers that are kept for the next arrays.
    pub cache: usize,
}

/// The figures of the whole process.
pub fn memory() -> Result<Memory> {
    Ok(Memory { active: ops::active_memory()?, peak: ops::peak_memory()?, cache: ops::cache_memory()? })
}
