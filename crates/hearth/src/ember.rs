//! Ember, the model that is part of the program, so that a fresh machine answers without a network.
//!
//! MLX reads models from files, so Ember is written once to the data folder: into a folder named by its content, made
//! beside its place and renamed into it, so that no other process ever sees half of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What Ember is called.
pub(crate) const NAME: &str = "ember";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../models/ember/", $name)))),*]
    };
}

/// A file's name and content.
type File = (&'static str, &'static [u8]);

const FILES: &[File] = files![
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Ember's folder under `data`, written if it is not there or not whole.
pub(crate) fn unpack(data: &Path) -> io::Result<PathBuf> {
    unpack_files(FILES, data)
}

fn unpack_files(files: &[File], data: &Path) -> io::Result<PathBuf> {
    let models = data.join("models");
    let dir = models.join(format!("{NAME}-{:016x}", hash(files)));
    if is_whole(files, &dir) {
        return Ok(dir);
    }
    let fresh = models.join(format!(".{NAME}-{}", std::process::id()));
    remove(&fresh)?;
    fs::create_dir_all(&fresh)?;
    for (name, content) in files {
        fs::write(fresh.join(name), content)?;
    }
    put(&fresh, &dir, files)?;
    Ok(dir)
}

/// Moves `fresh` to `dir`. A folder that is in the way may be another process's, whole by now and in use: only a damaged
/// one is removed.
fn put(fresh: &Path, dir: &Path, files: &[File]) -> io::Result<()> {
    if fs::rename(fresh, dir).is_ok() {
        return Ok(());
    }
    if is_whole(files, dir) {
        return remove(fresh);
    }
    remove(dir)?;
    fs::rename(fresh, dir)
}

/// Compares every byte: cheaper than a checksum, and certain.
fn is_whole(files: &[File], dir: &Path) -> bool {
    files.iter().all(|(name, content)| fs::read(dir.join(name)).is_ok_and(|found| found == *content))
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// FNV-1a over names and contents: only tells versions of Ember apart, [`is_whole`] does the checking.
fn hash(files: &[File]) -> u64 {
    let bytes = files.iter().flat_map(|(name, content)| name.bytes().chain(content.iter().copied()));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[File] = &[("config.json", b"{}"), ("model.safetensors", b"weights")];

    #[test]
    fn it_is_written_once_and_mended_when_damaged() {
        let data = tempfile::tempdir().unwrap();
        let dir = unpack_files(SAMPLE, data.path()).unwrap();
        let written = fs::metadata(dir.join("config.json")).unwrap().modified().unwrap();
        assert_eq!(unpack_files(SAMPLE, data.path()).unwrap(), dir);
        assert_eq!(fs::metadata(dir.join("config.json")).unwrap().modified().unwrap(), written);

        fs::write(dir.join("model.safetensors"), b"weigh").unwrap();
        assert_eq!(unpack_files(SAMPLE, data.path()).unwrap(), dir);
        assert_eq!(fs::read(dir.join("model.safetensors")).unwrap(), b"weights");
        assert_eq!(fs::read_dir(data.path().join("models")).unwrap().count(), 1, "nothing is left over");
    }

    /// Two servers that start at once on a fresh machine: the second must not take the folder from under the first.
    #[test]
    fn a_whole_folder_in_the_way_stays() {
        let data = tempfile::tempdir().unwrap();
        let write = |dir: PathBuf, files: &[File]| {
            fs::create_dir(&dir).unwrap();
            files.iter().for_each(|(name, content)| fs::write(dir.join(name), content).unwrap());
            dir
        };
        let theirs = write(data.path().join("theirs"), SAMPLE);
        fs::write(theirs.join("mark"), "").unwrap();
        let ours = write(data.path().join("ours"), SAMPLE);
        put(&ours, &theirs, SAMPLE).unwrap();
        assert!(theirs.join("mark").exists() && !ours.exists());

        let damaged = write(data.path().join("damaged"), &SAMPLE[..1]);
        let ours = write(data.path().join("ours"), SAMPLE);
        put(&ours, &damaged, SAMPLE).unwrap();
        assert!(is_whole(SAMPLE, &damaged) && !ours.exists());
    }

    #[test]
    fn another_version_has_another_folder() {
        let data = tempfile::tempdir().unwrap();
        let other: &[File] = &[("config.json", b"{} ")];
        assert_ne!(unpack_files(SAMPLE, data.path()).unwrap(), unpack_files(other, data.path()).unwrap());
    }
}
