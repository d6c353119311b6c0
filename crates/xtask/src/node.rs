//! The folders with a package.json: what they need from npm is installed when their lock file has changed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::cmd;
use crate::workspace::Workspace;

/// Where the web UI lies, and what it is built to.
const UI: &str = "ui";
const BUILT: &str = "ui/dist/index.html";

/// What does not go into the build of the UI.
const NOT_SOURCE: [&str; 2] = ["node_modules", "dist"];

/// `npm` in `folder`, whose packages are installed.
pub(crate) fn npm(folder: &Path) -> Result<Command> {
    let npm = || {
        let mut npm = Command::new("npm");
        npm.current_dir(folder);
        npm
    };
    // npm writes the second file when it has installed what the first one names.
    let (lock, installed) = (folder.join("package-lock.json"), folder.join("node_modules/.package-lock.json"));
    if changed(&lock) > changed(&installed) {
        cmd::run(npm().args(["ci", "--no-audit", "--no-fund"]))?;
    }
    Ok(npm())
}

/// Builds the web UI, which the server embeds, where its source is newer than what was built.
pub(crate) fn build_ui(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join(UI);
    if newest(&folder)? > changed(&workspace.root.join(BUILT)) {
        cmd::run(npm(&folder)?.args(["run", "build"]))?;
    }
    Ok(())
}

/// When a file of the source was last changed.
fn newest(folder: &Path) -> Result<Option<SystemTime>> {
    let mut newest = None;
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let skipped = path.file_name().is_some_and(|name| NOT_SOURCE.iter().any(|skip| name == *skip));
        if !skipped {
            newest = newest.max(if path.is_dir() { self::newest(&path)? } else { changed(&path) });
        }
    }
    Ok(newest)
}

/// When a file was last changed; none that does not exist.
fn changed(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|metadata| metadata.modified()).ok()
}
