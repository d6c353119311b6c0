//! Where the workspace lies, and what cargo says about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cmd;

/// The workspace that xtask belongs to.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        // Cargo sets it on `cargo run`; the compiled-in value serves who starts the binary by hand.
        let manifest_dir = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest_dir).join("../..").canonicalize();
        Ok(Self { root: root.with_context(|| format!("no workspace around {manifest_dir}"))? })
    }

    /// `cargo` in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        // What cargo said to this program is not for the next one: build scripts that look at it would run anew each time.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target_dir(&self) -> PathBuf {
        let chosen = std::env::var_os("CARGO_TARGET_DIR");
        self.root.join(chosen.map_or_else(|| "target".into(), PathBuf::from))
    }

    /// `cargo metadata` with the given further arguments.
    pub(crate) fn metadata(&self, args: &[&str]) -> Result<Value> {
        let json = cmd::output(self.cargo().args(["metadata", "--format-version", "1"]).args(args))?;
        serde_json::from_str(&json).context("cargo metadata printed something that is not JSON")
    }
}
