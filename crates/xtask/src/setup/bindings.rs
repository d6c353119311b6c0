//! The Rust declarations of mlx-c's functions, with the settings of mlx-sys's own build script.

use std::path::Path;

use anyhow::{Context, Result};

use super::mlxc::files_of_type;

/// mlx-rs reads the bits of a half-precision number as field 0.
const FLOAT16: &str = "#[repr(transparent)] #[derive(Clone, Copy, Debug, Default)] pub struct float16_t(pub u16);";

/// Writes `bindings.rs` into `out`, where mlx-sys includes it from. `compat.h` lies there already.
pub(super) fn generate(source: &Path, out: &Path) -> Result<()> {
    let mut builder = bindgen::Builder::default()
        .rust_target("1.73.0".parse().ok().context("bindgen does not know Rust 1.73")?)
        .formatter(bindgen::Formatter::None)
        .clang_arg(format!("-I{}", source.display()))
        .clang_arg(format!("-include{}", out.join("compat.h").display()))
        .blocklist_function("malloc")
        .blocklist_function("realloc")
        .blocklist_type("float16_t")
        .raw_line(FLOAT16);
    for header in files_of_type("h", &source.join("mlx/c"))? {
        builder = builder.header(header.display().to_string());
    }
    let bindings = builder.generate().context("bindgen cannot read mlx-c's headers")?;
    let path = out.join("bindings.rs");
    bindings.write_to_file(&path).with_context(|| format!("cannot write {}", path.display()))
}
