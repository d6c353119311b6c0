//! `cargo xtask start` and `cargo xtask test`: what `npm start` and `npm test` do, from a fresh clone on.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{cmd, setup};

/// Builds the server, and becomes it: a signal sent to this process reaches the server itself.
pub(crate) fn start(workspace: &Workspace, args: &[String]) -> Result<()> {
    setup::run(workspace)?;
    let mut hearth = workspace.cargo();
    hearth.args(["run", "--release", "--package", "hearth", "--bin", "hearth", "--", "serve"]).args(args);
    Err(hearth.exec()).context("cannot start cargo")
}

/// Every test of the repository. `args` go to `cargo test`, such as a part of the tests' names.
pub(crate) fn test(workspace: &Workspace, args: &[String]) -> Result<()> {
    setup::run(workspace)?;
    // The tests from outside start the `hearth` program, which `cargo test` alone would not build.
    cmd::run(workspace.cargo().args(["build", "--workspace", "--all-targets"]))?;
    cmd::run(workspace.cargo().args(["test", "--workspace"]).args(args))?;
    clients(workspace)
}

/// The clients that people use, from npm, against the program just built: a folder with a `test` script of its own.
fn clients(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("tests/clients");
    if !folder.join("package.json").exists() {
        return Ok(());
    }
    let npm = || {
        let mut npm = Command::new("npm");
        npm.current_dir(&folder);
        npm
    };
    // npm writes the second file when it has installed what the first one names.
    if is_newer(&folder.join("package-lock.json"), &folder.join("node_modules/.package-lock.json")) {
        cmd::run(npm().args(["ci", "--no-audit", "--no-fund"]))?;
    }
    cmd::run(npm().arg("test").env("HEARTH_BIN", workspace.target_dir().join("debug/hearth")))
}

/// Whether `file` was changed after `made`, or `made` does not exist.
fn is_newer(file: &Path, made: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    changed(file) > changed(made)
}
