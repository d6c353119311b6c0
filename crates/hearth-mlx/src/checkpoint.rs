//! Which safetensors files make up a checkpoint, and which of them holds which tensor.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
};

use hearth_core::{Error, Result};
use serde_json::Value;

use crate::{
    header::SafetensorsFile,
    json::{self, Fields},
};

const INDEX: &str = "model.safetensors.index.json";

/// No checkpoint comes in more files.
const MAX_FILES: usize = 1024;

/// Opens all files of the checkpoint in `dir`, their headers checked.
pub(crate) fn open(dir: &Path) -> Result<Vec<SafetensorsFile>> {
    let names = match json::read(dir, INDEX)? {
        Some(index) => indexed(&index)?,
        None => found(dir)?,
    };
    if names.len() > MAX_FILES {
        return Err(Error::model_load(format!(
            "the checkpoint has {} files, more than the {MAX_FILES} allowed",
            names.len()
        )));
    }
    names.iter().map(|name| SafetensorsFile::open(dir, name)).collect()
}

/// The files named by the index of a sharded checkpoint.
fn indexed(index: &Value) -> Result<BTreeSet<String>> {
    let fields = Fields::new(INDEX, index)?;
    let map = fields.get("weight_map").and_then(Value::as_object).ok_or_else(|| fields.missing("weight_map"))?;
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        match file.as_str() {
            Some(name) if is_plain_file_name(name) => names.insert(name.to_owned()),
            _ => {
                return Err(
                    fields.error(format!("{tensor:?} must name a safetensors file of the same folder, not {file}"))
                );
            }
        };
    }
    if names.is_empty() {
        return Err(fields.error("weight_map names no file"));
    }
    Ok(names)
}

/// Whether `name` can only be a safetensors file of the folder itself. The scan of models has the same rule: what it lists
/// as ready can be loaded.
fn is_plain_file_name(name: &str) -> bool {
    let plain = name.chars().all(|c| !c.is_control() && !"/\\:".contains(c));
    plain && !name.starts_with('.') && name.ends_with(".safetensors") && name.len() <= 200
}

/// Without an index: every `model*.safetensors` in the folder.
fn found(dir: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(dir)
        .map_err(|error| Error::model_load(format!("the folder {} cannot be read: {error}", dir.display())))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: BTreeSet<_> = names.filter(|name| name.starts_with("model") && name.ends_with(".safetensors")).collect();
    if names.is_empty() {
        return Err(Error::model_load(format!("the folder {} holds no model.safetensors", dir.display())));
    }
    Ok(names)
}

/// How the names of tensors begin that belong to the part of a model that sees.
const VISION: &[&str] = &["vision_tower.", "vision_model.", "visual.", "model.visual.", "multi_modal_projector."];

/// Refuses checkpoints of models that also take images: their text part alone is not what was published.
pub(crate) fn refuse_vision(files: &[SafetensorsFile]) -> Result<()> {
    let seeing = |name: &&str| VISION.iter().any(|prefix| name.starts_with(prefix));
    files.iter().flat_map(SafetensorsFile::names).find(seeing).map_or(Ok(()), |name| {
        Err(Error::model_load(format!(
            "the checkpoint holds images' weights ({name}), and models that see are not supported yet"
        )))
    })
}

/// For every tensor the position in `files` of the file that holds it.
pub(crate) fn places(files: &[SafetensorsFile]) -> Result<HashMap<String, usize>> {
    let mut places = HashMap::new();
    for (position, file) in files.iter().enumerate() {
        for name in file.names() {
            if let Some(other) = places.insert(name.to_owned(), position) {
                let (one, two) = (&files[other].name, &file.name);
                return Err(Error::model_load(format!("{name} is both in {one} and in {two}")));
            }
        }
    }
    Ok(places)
}
