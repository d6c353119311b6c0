//! `cargo xtask bench`: Hearth beside Python's mlx-lm, in one run. Needs Linux, two cores and about half an hour.
//!
//! The measuring itself is tests/bench/bench.py; this builds what it compares.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{cmd, setup};

/// `args` go to bench.py, such as `--only tiny` or `--out FILE`.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    setup::server(workspace)?;
    for (package, what) in [
        ("hearth", "--bins"),
        ("hearth-mlx", "--examples"),
        ("hearth-server", "--examples"),
        ("hearth-test-hub", "--bins"),
    ] {
        cmd::run(workspace.cargo().args(["build", "--release", "--package", package, what]))?;
    }
    let scripts = workspace.root.join("tests/bench");
    let python = peer(&workspace.target_dir().join("bench/venv"), &scripts)?;
    let models = workspace.target_dir().join("bench/models");
    cmd::run(Command::new(&python).arg(scripts.join("models.py")).arg(&models))?;
    let release = workspace.target_dir().join("release");
    cmd::run(
        Command::new(&python)
            .arg(scripts.join("bench.py"))
            .arg("--hearth")
            .arg(release.join("hearth"))
            .arg("--peer")
            .arg(release.join("examples/bench"))
            .arg("--fake-server")
            .arg(release.join("examples/fake_server"))
            .arg("--test-hub")
            .arg(release.join("test_hub"))
            .arg("--models")
            .arg(models)
            .args(["--openblas", "libopenblas.so.0"])
            .args(args),
    )
}

/// A Python with mlx-lm in a virtual environment of its own, made where it is missing.
fn peer(venv: &Path, scripts: &Path) -> Result<PathBuf> {
    let (python, done) = (venv.join("bin/python"), venv.join("done"));
    if !done.exists() {
        cmd::run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
        let requirements = scripts.join("requirements.txt");
        cmd::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))?;
        std::fs::write(&done, "").with_context(|| format!("cannot write {}", done.display()))?;
    }
    Ok(python)
}
