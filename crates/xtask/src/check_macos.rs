//! `cargo xtask check-macos`: type-checks every crate for a Mac, on any machine.
//!
//! A check needs no Apple SDK, only a standard library for the target. On a Mac that is the installed one. On Debian the
//! packages `rustc-web`, `cargo-web` and `rust-web-src` bring a compiler and its library's source in one version.
//! C code of dependencies is not compiled: stand-ins for the C compiler and the archiver write empty files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cmd;
use crate::setup::{self, packages};
use crate::workspace::Workspace;

const TARGET: &str = "aarch64-apple-darwin";

/// `cc … -o FILE …`
const EMPTY_CC: &str = "#!/bin/sh
while [ $# -gt 1 ]; do
    [ \"$1\" = -o ] && : > \"$2\"
    shift
done
exit 0
";

/// `ar FLAGS FILE …`
const EMPTY_AR: &str = "#!/bin/sh
: > \"$2\"
";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::server(workspace)?;
    let mut check = if cfg!(target_os = "macos") { workspace.cargo() } else { debian_cargo(workspace)? };
    cmd::run(check.args(["check", "--workspace", "--all-targets", "--target", TARGET]))
}

fn debian_cargo(workspace: &Workspace) -> Result<Command> {
    packages::require(&["cargo-web", "rust-web-src", "rustc-web"])?;
    let folder = workspace.root.join(".mlx").join("check-macos");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let cc = script(&folder, "cc", EMPTY_CC)?;
    let ar = script(&folder, "ar", EMPTY_AR)?;

    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.current_dir(&workspace.root);
    cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std");
    // A target folder of its own, so that this compiler and the everyday one do not undo each other's work.
    cargo.env("CARGO_TARGET_DIR", workspace.target_dir().join("check-macos"));
    cargo.env("CC_aarch64_apple_darwin", &cc).env("CXX_aarch64_apple_darwin", &cc);
    cargo.env("AR_aarch64_apple_darwin", &ar).env("SDKROOT", &folder);
    Ok(cargo)
}

fn script(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_ins_leave_empty_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let cc = script(folder.path(), "cc", EMPTY_CC).expect("a script");
        let ar = script(folder.path(), "ar", EMPTY_AR).expect("a script");
        let made = |name: &str| folder.path().join(name);
        // Through `sh`, as Linux refuses to run a file that a child of another test still has open.
        cmd::run(Command::new("sh").arg(cc).args(["-O2", "-c", "x.c", "-o"]).arg(made("x.o"))).expect("cc");
        cmd::run(Command::new("sh").arg(ar).arg("cq").arg(made("libx.a")).arg(made("x.o"))).expect("ar");
        assert_eq!(["x.o", "libx.a"].map(|name| fs::metadata(made(name)).map(|m| m.len()).ok()), [Some(0), Some(0)]);
    }
}
