//! `cargo xtask start`, `app` and `test`: what `npm start`, `npm run app` and `npm test` do, from a fresh clone on.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{cmd, node, setup};

/// Folders with a `test` script of their own: the web UI's functions, the clients that people use, and browsers.
const NODE_TESTS: [&str; 3] = ["ui", "tests/clients", "tests/ui"];

/// Builds the server, and becomes it: a signal sent to this process reaches the server itself.
pub(crate) fn start(workspace: &Workspace, args: &[String]) -> Result<()> {
    setup::server(workspace)?;
    let mut hearth = workspace.cargo();
    hearth.args(["run", "--release", "--package", "hearth", "--bin", "hearth", "--", "serve"]).args(args);
    Err(hearth.exec()).context("cannot start cargo")
}

/// Builds the menu-bar app, and becomes it.
pub(crate) fn app(workspace: &Workspace, args: &[String]) -> Result<()> {
    setup::app(workspace)?;
    let mut app = workspace.cargo();
    app.args(["run", "--release", "--package", "hearth-app", "--"]).args(args);
    Err(app.exec()).context("cannot start cargo")
}

/// Every test of the repository. `args` go to `cargo test`, such as a part of the tests' names.
pub(crate) fn test(workspace: &Workspace, args: &[String]) -> Result<()> {
    setup::tests(workspace)?;
    // The tests from outside start the programs, which `cargo test` alone would not build.
    cmd::run(workspace.cargo().args(["build", "--workspace", "--all-targets"]))?;
    cmd::run(workspace.cargo().args(["test", "--workspace"]).args(args))?;
    let program = workspace.target_dir().join("debug/hearth");
    for folder in NODE_TESTS {
        cmd::run(node::npm(&workspace.root.join(folder))?.arg("test").env("HEARTH_BIN", &program))?;
    }
    Ok(())
}
