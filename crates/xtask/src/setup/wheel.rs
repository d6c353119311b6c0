//! MLX itself: the library and headers that its Python wheel carries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cmd;

/// A wheel that holds `mlx/lib/libmlx.so` and `mlx/include`.
pub(super) struct Wheel {
    pub(super) package: &'static str,
    pub(super) version: String,
}

impl Wheel {
    /// By the environment variable `HEARTH_MLX`: `cpu` (the default), `cuda` (CUDA 13) or `cuda12`. `version` is the one that
    /// mlx-c is written for; another has other functions.
    pub(super) fn chosen(version: String) -> Result<Self> {
        let choice = std::env::var("HEARTH_MLX").unwrap_or_else(|_| "cpu".into());
        let package = match choice.as_str() {
            "cpu" => "mlx-cpu",
            "cuda" | "cuda13" => "mlx-cuda-13",
            "cuda12" => "mlx-cuda-12",
            other => bail!("HEARTH_MLX is `{other}`; it can be cpu, cuda or cuda12"),
        };
        if package != "mlx-cpu" && !cmd::succeeds(Command::new("nvidia-smi").arg("-L")) {
            bail!("HEARTH_MLX is `{choice}`, but nvidia-smi finds no NVIDIA GPU; unset it to use the processor");
        }
        Ok(Self { package, version })
    }

    /// Puts the wheel into `home` unless it is there, and returns its `mlx` folder.
    pub(super) fn install(&self, home: &Path) -> Result<PathBuf> {
        let folder = home.join(format!("{}-{}", self.package, self.version));
        if !folder.exists() {
            let unfinished = folder.with_extension("unfinished");
            let _ = fs::remove_dir_all(&unfinished);
            println!("setup: getting {} {}", self.package, self.version);
            cmd::run(&mut self.pip(&unfinished)).context("cannot get MLX's wheel from PyPI")?;
            fs::rename(&unfinished, &folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(folder.join("mlx"))
    }

    fn pip(&self, target: &Path) -> Command {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]);
        pip.args(["--root-user-action", "ignore", "--target"]).arg(target);
        if self.package == "mlx-cpu" {
            // The CUDA wheels need NVIDIA's libraries beside them; this one needs nothing.
            pip.arg("--no-deps");
        }
        pip.arg(format!("{}=={}", self.package, self.version));
        pip
    }
}
