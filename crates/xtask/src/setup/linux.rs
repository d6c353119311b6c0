//! The order of set-up on Linux, and the cargo configuration that it ends in.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::wheel::Wheel;
use super::{bindings, mlxc, packages};
use crate::workspace::Workspace;

const PACKAGES: &[&str] =
    &["clang", "g++", "libclang-dev", "libfmt-dev", "libopenblas-dev", "pkg-config", "python3", "python3-pip"];

/// A change of one of these makes everything anew.
const RECIPE: &[&str] = &[include_str!("bindings.rs"), include_str!("mlxc.rs"), mlxc::COMPAT_H, mlxc::COMPAT_C];

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    packages::require(PACKAGES)?;
    let home = workspace.root.join(".mlx");
    let _one_at_a_time = lock(&home)?;
    let mlx_sys = MlxSys::find(workspace)?;
    let wheel = Wheel::chosen(mlx_sys.mlx_version()?)?;
    let mlx = wheel.install(&home)?;
    let openblas = mlxc::has_openblas()?;

    let built = home.join(key(&wheel, &mlx_sys, openblas));
    let complete = built.join("complete");
    if !complete.exists() {
        println!("setup: building MLX's C interface ({} {})", wheel.package, wheel.version);
        fs::create_dir_all(&built).with_context(|| format!("cannot create {}", built.display()))?;
        mlxc::build(&mlx_sys.source, &mlx, &built, openblas)?;
        bindings::generate(&mlx_sys.source, &built)?;
        write(&complete, "")?;
    }

    let config = home.join("cargo.toml");
    let text = cargo_config(&mlx, &built, openblas);
    if fs::read_to_string(&config).ok().as_ref() != Some(&text) {
        write(&config, &text)?;
    }
    Ok(())
}

/// Held while it lives; another set-up in this folder waits, then finds everything done.
fn lock(home: &Path) -> Result<File> {
    fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))?;
    let file = File::create(home.join("lock"))?;
    file.lock().context("cannot lock the folder .mlx")?;
    Ok(file)
}

/// The downloaded source of the mlx-sys that Cargo.lock names.
struct MlxSys {
    version: String,
    source: PathBuf,
}

impl MlxSys {
    fn find(workspace: &Workspace) -> Result<Self> {
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let metadata = workspace.metadata(&["--filter-platform", &target])?;
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let package = packages.iter().find(|p| p["name"] == "mlx-sys").context("no crate here depends on mlx-sys")?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("cargo metadata: mlx-sys has no path");
        let manifest = PathBuf::from(text(&package["manifest_path"])?);
        Ok(Self { version: text(&package["version"])?, source: manifest.with_file_name("src").join("mlx-c") })
    }

    /// The version of MLX that its mlx-c is written for.
    fn mlx_version(&self) -> Result<String> {
        let path = self.source.join("CMakeLists.txt");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        git_tag(&text).map(str::to_owned).with_context(|| format!("{} names no version of MLX", path.display()))
    }
}

/// `1.2.3` of a line `GIT_TAG v1.2.3)`.
fn git_tag(cmake: &str) -> Option<&str> {
    let tag = cmake.lines().find_map(|line| line.trim().strip_prefix("GIT_TAG v"))?;
    Some(tag.trim_end_matches(')'))
}

/// Names the folder of what is built. It stands in cargo's configuration, so cargo rebuilds mlx-sys when it changes.
fn key(wheel: &Wheel, mlx_sys: &MlxSys, openblas: bool) -> String {
    let mut hasher = DefaultHasher::new();
    (wheel.package, &wheel.version, openblas, RECIPE).hash(&mut hasher);
    format!("mlx-sys-{}-{:016x}", mlx_sys.version, hasher.finish())
}

/// The stand-in for mlx-sys's build script, and the path by which programs find libmlx.so when they start.
fn cargo_config(mlx: &Path, built: &Path, openblas: bool) -> String {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let (lib, built) = (mlx.join("lib"), built.display());
    let lib = lib.display();
    let blas = if openblas { r#""dylib=openblas", "# } else { "" };
    format!(
        r#"# Written by `cargo xtask setup`; delete the folder .mlx to have everything in it made again.

[target.{target}]
rustflags = ["-C", "link-arg=-Wl,-rpath,{lib}"]
rustdocflags = ["-C", "link-arg=-Wl,-rpath,{lib}"]

[target.{target}.mlx]
rustc-env = {{ OUT_DIR = "{built}" }}
rustc-link-search = ["native={built}", "native={lib}"]
rustc-link-lib = ["static:+whole-archive=mlxcompat", "static=mlxc", {blas}"dylib=mlx", "dylib=stdc++"]

# For `cargo xtask check-macos`: a type check links nothing, and the bindings are the same.
[target.aarch64-apple-darwin.mlx]
rustc-env = {{ OUT_DIR = "{built}" }}
"#
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mlx_version_is_read_from_mlx_c() {
        assert_eq!(git_tag("  mlx\n  GIT_REPOSITORY \"x\"\n    GIT_TAG v0.32.2)\n"), Some("0.32.2"));
        assert_eq!(git_tag("add_library(mlxc)"), None);
    }

    #[test]
    fn the_configuration_is_toml_that_stands_in_for_the_build_script() {
        let text = cargo_config(Path::new("/w/mlx"), Path::new("/b"), true);
        let config: toml::Table = text.parse().expect("TOML");
        let target = &config["target"][format!("{}-unknown-linux-gnu", std::env::consts::ARCH).as_str()];
        assert_eq!(target["rustflags"][1].as_str(), Some("link-arg=-Wl,-rpath,/w/mlx/lib"));
        assert_eq!(target["mlx"]["rustc-env"]["OUT_DIR"].as_str(), Some("/b"));
        let libraries: Vec<_> = target["mlx"]["rustc-link-lib"].as_array().expect("a list").iter().collect();
        let place = |name: &str| libraries.iter().position(|l| l.as_str().is_some_and(|l| l.ends_with(name)));
        assert!(place("=openblas") < place("=mlx"), "OpenBLAS has to come first");
    }
}
