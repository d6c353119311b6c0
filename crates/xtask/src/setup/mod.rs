//! `cargo xtask setup`: makes a plain `cargo build` work on this machine.
//!
//! A Mac needs nothing: mlx-sys builds MLX itself. That build script cannot run on Linux, so there the script is
//! replaced from a cargo configuration file ("overriding build scripts" in the Cargo book), and what it would have made is
//! made here: MLX's library from its Python wheel, mlx-c compiled against it, and the Rust bindings. It all lies in
//! `.mlx/`, which may be deleted at any time.

use anyhow::Result;

use crate::workspace::Workspace;

#[cfg(target_os = "linux")]
mod bindings;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod mlxc;
pub(crate) mod packages;
#[cfg(target_os = "linux")]
mod wheel;

#[cfg(target_os = "linux")]
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    linux::run(workspace)
}

#[cfg(target_os = "macos")]
pub(crate) fn run(_: &Workspace) -> Result<()> {
    let tools =
        ["cmake", "xcrun"].map(|tool| (tool, crate::cmd::succeeds(std::process::Command::new(tool).arg("--version"))));
    for (tool, found) in tools {
        anyhow::ensure!(found, "`{tool}` is missing: run `xcode-select --install` and `brew install cmake`");
    }
    Ok(())
}
