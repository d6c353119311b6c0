//! Folders with models, as other tools leave them, for the tests of scan and removal.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::scan::{Installed, Layout, Root, scan};

/// A commit.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Scans one root, in which `llama` alone is known.
pub(crate) fn scan_one(path: &Path, layout: Layout) -> Vec<Installed> {
    scan(&[Root::new(path, layout)], &|name| name == "llama")
}

/// A safetensors file with one tensor of `bytes` bytes.
pub(crate) fn safetensors(bytes: usize) -> Vec<u8> {
    let header = format!(r#"{{"w":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[0,{bytes}]}}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; bytes]].concat()
}

/// An index that names these files.
pub(crate) fn index(files: &[&str], total: u64) -> Vec<u8> {
    let map: serde_json::Map<_, _> = files.iter().map(|file| (format!("tensor of {file}"), (*file).into())).collect();
    serde_json::json!({"metadata": {"total_size": total}, "weight_map": map}).to_string().into_bytes()
}

/// The files of a small model.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", br#"{"model_type": "llama", "quantization": {"group_size": 64, "bits": 4}}"#.to_vec()),
        ("model.safetensors", safetensors(1000)),
        ("tokenizer.json", b"{}".to_vec()),
    ]
}

/// The bytes of `files`.
pub(crate) fn size(files: &[(&str, Vec<u8>)]) -> u64 {
    files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

/// Writes a plain folder.
pub(crate) fn write(dir: &Path, files: &[(&str, Vec<u8>)]) {
    fs::create_dir_all(dir).unwrap();
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Writes a snapshot into a Hugging Face cache as huggingface_hub does: files with the same content are one blob. Answers
/// the snapshot's folder.
pub(crate) fn write_snapshot(cache: &Path, repo: &str, commit: &str, files: &[(&str, Vec<u8>)]) -> PathBuf {
    let repo = cache.join(format!("models--{}", repo.replace('/', "--")));
    let snapshot = repo.join("snapshots").join(commit);
    for folder in [&repo.join("blobs"), &repo.join("refs"), &snapshot] {
        fs::create_dir_all(folder).unwrap();
    }
    for (name, bytes) in files {
        let blob = format!("{:016x}", bytes.iter().fold(7_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(*byte)));
        fs::write(repo.join("blobs").join(&blob), bytes).unwrap();
        symlink(Path::new("../../blobs").join(blob), snapshot.join(name)).unwrap();
    }
    fs::write(repo.join("refs/main"), commit).unwrap();
    snapshot
}
