//! `cargo xtask bundle`: what is given to people. On a Mac Hearth.app and a .dmg, signed and notarized where the variables that
//! Tauri knows name a certificate; on Linux a .deb. MLX's own files go along, in places where the program looks for them.

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
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--package", PROGRAM]);
    if cfg!(target_os = "macos") {
        // Else MLX's kernels are for the builder's own system and newer ones.
        build.env("MACOSX_DEPLOYMENT_TARGET", oldest_macos(workspace)?);
    }
    cmd::run(&mut build)?;
    let release = workspace.target_dir().join("release");
    let (kinds, files) = platform(workspace, &release)?;
    let config = release.join("bundle.json");
    std::fs::write(&config, files.to_string()).with_context(|| format!("cannot write {}", config.display()))?;
    tauri.args(["exec", "--", "tauri", "bundle", "--bundles", kinds, "--config"]).arg(&config).args(args);
    let bundled = cmd::run(&mut tauri);
    // Cargo puts the program back that it built, where the bundle needed another.
    cmd::run(&mut build)?;
    bundled
}

/// The oldest macOS that the app is for.
fn oldest_macos(workspace: &Workspace) -> Result<String> {
    let path = workspace.root.join("src-tauri/tauri.conf.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let version = config["bundle"]["macOS"]["minimumSystemVersion"].as_str().map(str::to_owned);
    version.with_context(|| format!("{} has no minimumSystemVersion", path.display()))
}

/// The kinds of bundles that are made here, and what their configuration has beside tauri.conf.json.
#[cfg(target_os = "macos")]
fn platform(_: &Workspace, release: &Path) -> Result<(&'static str, Value)> {
    let kernels = newest(&release.join("build"), "mlx.metallib")?;
    // Updates are signed where the release has a key for it, and checked with the other half, which is built in.
    let key = given("HEARTH_UPDATE_KEY").filter(|_| given("TAURI_SIGNING_PRIVATE_KEY").is_some());
    // A Mac takes an app without any signature for a damaged one. Where nobody signs, it is sealed in nobody's name.
    let identity = given("APPLE_CERTIFICATE").is_none().then_some("-");
    let config = json!({
        "plugins": { "updater": { "pubkey": key.as_deref().unwrap_or_default() } },
        "bundle": {
            "createUpdaterArtifacts": key.is_some(),
            // Beside the program, where MLX looks, codesign accepts nothing but programs.
            "macOS": { "files": { "Resources/mlx.metallib": kernels }, "signingIdentity": identity },
        },
    });
    Ok(("app,dmg", config))
}

/// A variable of the environment, unless it is empty, as that of a secret is which a repository does not have.
#[cfg(target_os = "macos")]
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(target_os = "linux")]
fn platform(workspace: &Workspace, release: &Path) -> Result<(&'static str, Value)> {
    setup::packages::require(&["patchelf"])?;
    let library = newest(&workspace.root.join(".mlx"), "libmlx.so")?;
    let lib = library.parent().context("libmlx.so lies in no folder")?;
    // The program that was built looks for MLX in this folder; the one that is given to people must not. It takes the other's
    // place as a file of its own: cargo keeps a link to what it built.
    let (program, patched) = (release.join(PROGRAM), release.join("hearth-app.deb"));
    let mut patch = std::process::Command::new("patchelf");
    cmd::run(patch.args(["--set-rpath", "$ORIGIN/../lib/hearth/mlx/lib", "--output"]).args([&patched, &program]))?;
    std::fs::rename(&patched, &program).with_context(|| format!("cannot replace {}", program.display()))?;
    let deb = json!({
        "files": {
            // The wheel's libraries find each other by these places.
            "/usr/lib/hearth/mlx/lib": lib,
            "/usr/lib/hearth/mlx_cpu.libs": lib.join("../../mlx_cpu.libs"),
            "/usr/bin/hearth": workspace.root.join("packaging/hearth"),
        },
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
