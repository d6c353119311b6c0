//! `cargo xtask setup`: makes a plain `cargo build` work on this machine.
//!
//! A Mac needs nothing: mlx-sys builds MLX itself. That build script cannot run on Linux, so there the script is
//! replaced from a cargo configuration file ("overriding build scripts" in the Cargo book), and what it would have made is
//! made here: MLX's library from its Python wheel, mlx-c compiled against it, and the Rust bindings. It all lies in
//! `.mlx/`, which may be deleted at any time. The web UI, which the server embeds, is built on both.

use anyhow::Result;

use crate::node;
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

/// What Tauri builds against on Linux.
const APP: &[&str] = &["libayatana-appindicator3-dev", "libgtk-3-dev", "libwebkit2gtk-4.1-dev", "libxdo-dev"];

/// What the tests of the UI drive.
const TESTS: &[&str] = &["chromium", "dbus", "libglib2.0-bin", "webkit2gtk-driver", "xvfb"];

/// All that the server is built from.
pub(crate) fn server(workspace: &Workspace) -> Result<()> {
    mlx(workspace)?;
    node::build_ui(workspace)
}

/// All that the app is built from.
pub(crate) fn app(workspace: &Workspace) -> Result<()> {
    if cfg!(target_os = "linux") {
        packages::require(APP)?;
    }
    server(workspace)
}

/// All that the tests need.
pub(crate) fn tests(workspace: &Workspace) -> Result<()> {
    if cfg!(target_os = "linux") {
        packages::require(TESTS)?;
    }
    app(workspace)
}

#[cfg(target_os = "linux")]
fn mlx(workspace: &Workspace) -> Result<()> {
    linux::run(workspace)
}

#[cfg(target_os = "macos")]
fn mlx(_: &Workspace) -> Result<()> {
    let needs = [
        (["cmake", "--version"].as_slice(), "run `brew install cmake`"),
        // Not among the command line tools, and since Xcode 26 not even in Xcode.
        (
            &["xcrun", "-sdk", "macosx", "metal", "--version"],
            "install Xcode, run `sudo xcode-select --switch /Applications/Xcode.app`, and from Xcode 26 on \
             `xcodebuild -downloadComponent MetalToolchain`",
        ),
    ];
    for (words, remedy) in needs {
        let works = crate::cmd::succeeds(std::process::Command::new(words[0]).args(&words[1..]));
        anyhow::ensure!(works, "`{}` fails, and MLX is built with it: {remedy}", words.join(" "));
    }
    Ok(())
}
