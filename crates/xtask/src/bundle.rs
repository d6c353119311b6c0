//! `cargo xtask bundle`: what is given to people. On a Mac Hearth.app and a .dmg, signed and notarized where the variables that
//! Tauri knows name a certificate; on Linux a .deb. MLX's own files go along, for the program finds them beside itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::workspace::Workspace;
use crate::{cmd, node, setup};

/// The program in the bundle.
const PROGRAM: &str = "hearth-app";

/// `args` go to `tauri bundle`.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    setup::app(workspace)?;
    let mut tauri = node::npm(&workspace.root)?;
    cmd::run(workspace.cargo().args(["build", "--release", "--package", PROGRAM]))?;
    let release = workspace.target_dir().join("release");
    let (kinds, files) = platform(workspace, &release)?;
    let config = release.join("bundle.json");
    std::fs::write(&config, files.to_string()).with_context(|| format!("cannot write {}", config.display()))?;
    tauri.args(["exec", "--", "tauri", "bundle", "--bundles", kinds, "--config"]).arg(&config).args(args);
    cmd::run(&mut tauri)
}

/// The kinds of bundles that are made here, and what their configuration has beside tauri.conf.json.
#[cfg(target_os = "macos")]
fn platform(_: &Workspace, release: &Path) -> Result<(&'static str, Value)> {
    // MLX looks for its kernels beside the program.
    let kernels = newest(&release.join("build"), "mlx.metallib")?;
    // Updates are signed where the release has a key for it.
    let updates = std::env::var_os("TAURI_SIGNING_PRIVATE_KEY").is_some();
    let config = json!({ "bundle": {
        "createUpdaterArtifacts": updates,
        "macOS": { "files": { "MacOS/mlx.metallib": kernels } },
    } });
    Ok(("app,dmg", config))
}

#[cfg(target_os = "linux")]
fn platform(workspace: &Workspace, release: &Path) -> Result<(&'static str, Value)> {
    setup::packages::require(&["patchelf"])?;
    let library = newest(&workspace.root.join(".mlx"), "libmlx.so")?;
    let lib = library.parent().context("libmlx.so lies in no folder")?;
    // The program that was built looks for MLX in this folder; the one that is given to people must not.
    let mut patch = std::process::Command::new("patchelf");
    cmd::run(patch.args(["--set-rpath", "$ORIGIN/../lib/hearth/mlx/lib"]).arg(release.join(PROGRAM)))?;
    // The wheel's libraries find each other by these places.
    let deb = json!({
        "files": { "/usr/lib/hearth/mlx/lib": lib, "/usr/lib/hearth/mlx_cpu.libs": lib.join("../../mlx_cpu.libs") },
        "depends": ["libopenblas0-pthread | libopenblas0", "libayatana-appindicator3-1"],
    });
    Ok(("deb", json!({ "bundle": { "linux": { "deb": deb } } })))
}

/// The last written file of this name below `folder`.
fn newest(folder: &Path, name: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() && entry.file_name() == *name => {
                    found.push((entry.metadata()?.modified()?, entry.path()));
                }
                _ => {}
            }
        }
    }
    let newest = found.into_iter().max().with_context(|| format!("no {name} below {}", folder.display()))?;
    Ok(newest.1)
}
