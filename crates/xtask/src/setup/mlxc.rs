//! mlx-c, MLX's C interface: compiled from the source that the mlx-sys package carries.
//!
//! The compiler is called directly: mlx-c is a flat folder of source files without options, and CMake would look for the
//! whole CUDA toolkit before using the wheel of that name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result};

use crate::cmd;

pub(super) const COMPAT_H: &str = include_str!("../../mlx/compat.h");
pub(super) const COMPAT_C: &str = include_str!("../../mlx/compat.c");

/// GCC prints the full path of a library that it finds, and the bare name of one that it does not.
pub(super) fn has_openblas() -> Result<bool> {
    Ok(cmd::output(Command::new("gcc").arg("-print-file-name=libopenblas.so"))?.contains('/'))
}

/// Makes `libmlxc.a` and `libmlxcompat.a` in `out`.
pub(super) fn build(source: &Path, mlx: &Path, out: &Path, openblas: bool) -> Result<()> {
    let compat_h = out.join("compat.h");
    let compat_c = out.join("compat.c");
    fs::write(&compat_h, COMPAT_H)?;
    fs::write(&compat_c, COMPAT_C)?;

    let mut cc = Command::new("gcc");
    cc.args(["-O2", "-fPIC", "-c"]).arg(&compat_c).arg("-o").arg(out.join("compat.o"));
    if openblas {
        cc.arg("-DHEARTH_OPENBLAS");
    }
    cmd::run(&mut cc)?;
    archive(&out.join("libmlxcompat.a"), &[out.join("compat.o")])?;

    let files = files_of_type("cpp", &source.join("mlx/c"))?;
    let objects: Vec<PathBuf> =
        files.iter().map(|file| out.join(file.with_extension("o").file_name().unwrap_or_default())).collect();
    in_parallel(files.iter().zip(&objects), |(file, object)| {
        let mut cxx = Command::new("g++");
        cxx.args(["-std=c++20", "-O1", "-fPIC", "-c", "-include"]).arg(&compat_h);
        cxx.arg("-I").arg(source).arg("-I").arg(mlx.join("include")).arg(file).arg("-o").arg(object);
        cmd::run(&mut cxx)
    })?;
    archive(&out.join("libmlxc.a"), &objects)
}

/// The files in `folder` with this extension, in order of their names.
pub(super) fn files_of_type(extension: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut files: Vec<_> = paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    Ok(files)
}

fn archive(path: &Path, objects: &[PathBuf]) -> Result<()> {
    let _ = fs::remove_file(path); // `ar` would add to an old one
    cmd::run(Command::new("ar").arg("crs").arg(path).args(objects))?;
    objects.iter().try_for_each(fs::remove_file).context("cannot remove object files")
}

/// Calls `job` for each item on as many threads as there are cores; returns the first error.
fn in_parallel<T: Send>(items: impl Iterator<Item = T> + Send, job: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    let queue = Mutex::new(items);
    let next = || queue.lock().expect("no job panics while it holds the queue").next();
    let work = || -> Result<()> {
        while let Some(item) = next() {
            job(item)?;
        }
        Ok(())
    };
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a job does not panic"))
    })
}
