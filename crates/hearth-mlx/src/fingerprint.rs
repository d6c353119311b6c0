//! A name for all that a cache's content depends on but its tokens.
//!
//! A model of a hundred gigabytes cannot be read anew for it, so of each file the header, the length, blocks from all over
//! the data and some bytes of every tensor are taken. Whoever changes a model changes all of a tensor, or its header; it may
//! be a single tensor, as where an adapter was merged into some layers.

use std::{
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

use blake3::Hasher;
use hearth_core::{Error, Result};

use crate::{cache::Form, header::SafetensorsFile, ops};

/// Changes when caches come to hold something else.
const FORMAT: u64 = 1;

/// Blocks that are taken from a file's data, and their bytes.
const BLOCKS: u64 = 64;
const BLOCK_BYTES: u64 = 4096;

/// Bytes that are taken at a tensor's beginning, middle and end.
const TENSOR_BYTES: u64 = 256;

/// The fingerprint of the model in `dir`, of these files, whose caches have these forms; 64 hexadecimal digits.
pub(crate) fn of(dir: &Path, files: &[SafetensorsFile], forms: &[Form]) -> Result<String> {
    let mut hasher = Hasher::new();
    hasher.update(&FORMAT.to_le_bytes());
    add(&mut hasher, env!("CARGO_PKG_VERSION").as_bytes());
    add(&mut hasher, ops::version()?.as_bytes());
    add(&mut hasher, format!("{forms:?}").as_bytes());
    let config = fs::read(dir.join("config.json"));
    add(&mut hasher, &config.map_err(|error| Error::model_load(format!("config.json cannot be read: {error}")))?);
    for file in files {
        add(&mut hasher, file.name.as_bytes());
        sample(&mut hasher, file)
            .map_err(|error| Error::model_load(format!("{} cannot be read: {error}", file.name)))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// A text with its length, so that no two lists of texts are the same.
fn add(hasher: &mut Hasher, text: &[u8]) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text);
}

fn sample(hasher: &mut Hasher, sampled: &SafetensorsFile) -> std::io::Result<()> {
    let (file, start) = sampled.data();
    let length = file.metadata()?.len();
    hasher.update(&length.to_le_bytes());
    let mut header = vec![0; start as usize];
    file.read_exact_at(&mut header, 0)?;
    add(hasher, &header);
    spread(hasher, file, start..length, BLOCKS, BLOCK_BYTES)?;
    sampled.extents().into_iter().try_for_each(|extent| spread(hasher, file, extent, 3, TENSOR_BYTES))
}

/// Takes `count` blocks of at most `bytes` bytes from `extent`, the first at its beginning and the last at its end.
fn spread(hasher: &mut Hasher, file: &File, extent: Range<u64>, count: u64, bytes: u64) -> std::io::Result<()> {
    let length = extent.end - extent.start;
    let mut block = vec![0; length.min(bytes) as usize];
    let last = length - block.len() as u64;
    for index in 0..count {
        let place = u128::from(last) * u128::from(index) / u128::from(count - 1);
        file.read_exact_at(&mut block, extent.start + place as u64)?;
        hasher.update(&block);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cache::{LayerKind, PartForm},
        checkpoint,
        ops::Dtype,
        testing::{Folder, floats, safetensors},
    };

    fn form(dtype: Dtype) -> Form {
        let part = PartForm { name: "keys".to_owned(), dtype, shape: vec![1, 2, 1, 64] };
        Form { kind: LayerKind::Growing, parts: vec![part] }
    }

    fn weights(name: &str, changed: Option<usize>) -> Vec<u8> {
        let mut numbers = vec![0.5_f32; 200_000];
        if let Some(place) = changed {
            numbers[place..].fill(0.25);
        }
        safetensors(&[(name, "F32", &[200_000], floats(&numbers))])
    }

    fn fingerprint(config: &str, weights: &[u8], form: &Form) -> String {
        let folder = Folder::new().with("config.json", config).with("model.safetensors", weights);
        let files = checkpoint::open(folder.path()).expect("a checkpoint");
        of(folder.path(), &files, std::slice::from_ref(form)).expect("a fingerprint")
    }

    #[test]
    fn it_changes_with_all_that_a_cache_depends_on_and_with_nothing_else() {
        let (config, other) = (json!({ "a": 1 }).to_string(), json!({ "a": 2 }).to_string());
        let plain = form(Dtype::Float32);
        let packed = cache_form_of(&plain, 8);
        let first = fingerprint(&config, &weights("w", None), &plain);
        assert_eq!(first.len(), 64);
        assert_eq!(fingerprint(&config, &weights("w", None), &plain), first);
        let others = [
            fingerprint(&other, &weights("w", None), &plain),
            fingerprint(&config, &weights("v", None), &plain),
            fingerprint(&config, &weights("w", Some(0)), &plain),
            fingerprint(&config, &weights("w", Some(199_000)), &plain),
            fingerprint(&config, &weights("w", None), &form(Dtype::Bfloat16)),
            fingerprint(&config, &weights("w", None), &packed),
        ];
        for (place, other) in others.iter().enumerate() {
            assert!(*other != first && !others[..place].contains(other), "case {place}");
        }
    }

    /// Among many others the one tensor that was changed lies between all blocks.
    #[test]
    fn a_single_tensor_that_has_changed_is_seen() {
        let name = |index: usize| format!("layers.{index:03}.weight");
        let file = |changed: usize| {
            let names: Vec<_> = (0..300).map(name).collect();
            let data = |index| floats(&[if index == changed { 0.25 } else { 0.5 }; 3000]);
            let tensors: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(index, name)| (name.as_str(), "F32", &[3000][..], data(index)))
                .collect();
            safetensors(&tensors)
        };
        let prints: Vec<_> =
            [300, 0, 2, 150, 299].map(|changed| fingerprint("{}", &file(changed), &form(Dtype::Float32))).to_vec();
        for (place, print) in prints.iter().enumerate() {
            assert!(!prints[..place].contains(print), "case {place}");
        }
    }

    fn cache_form_of(plain: &Form, bits: u8) -> Form {
        let part = plain.parts[0].clone();
        let both = Form { parts: vec![part.clone(), part], ..plain.clone() };
        Form { kind: both.packed(bits).expect("heads of 64"), ..plain.clone() }
    }
}
