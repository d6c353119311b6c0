//! Whether a model can be used: what its files say, short of loading it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    folder::{Fault, Folder},
    header,
};
use crate::files::FileName;

const INDEX: &str = "model.safetensors.index.json";

/// No checkpoint comes in more files.
const MAX_SHARDS: usize = 1024;

/// Whether a model can be used, and if not, why, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// All its files are there and look sound.
    #[default]
    Ready,
    /// Something is missing, as while it downloads, or after that was stopped.
    Partial {
        /// Bytes that are there.
        have: u64,
        /// Bytes that there should be, where known: those of the weights.
        total: Option<u64>,
        /// What is missing.
        reason: String,
    },
    /// It is not a kind of model that this version runs.
    Unsupported {
        /// What kind it is.
        reason: String,
    },
    /// A file is not what it should be.
    Damaged {
        /// Which file, and what is wrong with it.
        reason: String,
    },
}

impl State {
    /// Why it cannot be used; `None` where it can.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Partial { reason, .. } | Self::Unsupported { reason } | Self::Damaged { reason } => Some(reason),
        }
    }
}

/// What a folder's files say.
pub(super) struct Facts {
    pub(super) model_type: Option<String>,
    pub(super) bits: Option<u64>,
    pub(super) state: State,
}

/// What the model in `folder` is; `None` where there is none. The bytes that are there are not counted.
pub(super) fn examine(folder: &Folder<'_>, known: &dyn Fn(&str) -> bool) -> Option<Facts> {
    let config = folder.json("config.json");
    let field = |name: &str| config.as_ref().ok()?.get(name);
    let model_type = field("model_type").and_then(Value::as_str).map(brief);
    if model_type.is_none() && !folder.has_end(".safetensors") && !folder.has_end(".gguf") {
        return None;
    }
    let bits = ["quantization", "quantization_config"].iter().find_map(|name| field(name)?.get("bits")?.as_u64());
    let index = folder.json(INDEX);
    let total = index.as_ref().ok().and_then(|index| index.get("metadata")?.get("total_size")?.as_u64());
    let state = match check(folder, config.as_ref().err(), model_type.as_deref(), index, known) {
        Ok(()) => State::Ready,
        Err(Fault::Missing(reason)) => State::Partial { have: 0, total, reason },
        Err(Fault::Unsupported(reason)) => State::Unsupported { reason },
        Err(Fault::Damaged(reason)) => State::Damaged { reason },
    };
    Some(Facts { model_type, bits, state })
}

fn check(
    folder: &Folder<'_>,
    config: Option<&Fault>,
    model_type: Option<&str>,
    index: Result<Value, Fault>,
    known: &dyn Fn(&str) -> bool,
) -> Result<(), Fault> {
    if matches!(config, Some(Fault::Missing(_))) && folder.has_end(".gguf") {
        return Err(unsupported("its weights are in GGUF: get the model in safetensors, from mlx-community for one"));
    }
    config.cloned().map_or(Ok(()), Err)?;
    let model_type = model_type.ok_or_else(|| unsupported("config.json names no architecture (model_type)"))?;
    if !known(model_type) {
        return Err(Fault::Unsupported(format!(
            "this version of Hearth does not run its architecture, `{model_type}`"
        )));
    }
    for name in weights(folder, index)? {
        header::check(&name, &folder.file(&name)?)?;
    }
    // Not read: some have 30 MB.
    match folder.file("tokenizer.json") {
        Err(Fault::Missing(_)) if folder.has_end("tokenizer.model") => {
            Err(unsupported("its tokenizer comes as tokenizer.model alone, and tokenizer.json is needed"))
        }
        tokenizer => tokenizer.map(drop),
    }
}

/// The names of the files that make up the checkpoint.
fn weights(folder: &Folder<'_>, index: Result<Value, Fault>) -> Result<Vec<String>, Fault> {
    match index {
        Ok(index) => indexed(&index),
        Err(Fault::Missing(_)) => found(folder),
        Err(fault) => Err(fault),
    }
}

fn indexed(index: &Value) -> Result<Vec<String>, Fault> {
    let damaged = |reason: &str| Fault::Damaged(format!("{INDEX} {reason}"));
    let map = index.get("weight_map").and_then(Value::as_object).filter(|map| !map.is_empty());
    let map = map.ok_or_else(|| damaged("names no file (weight_map)"))?;
    // Whoever loads it has the same rule.
    let plain = |file: &Value| {
        let name: FileName = file.as_str()?.parse().ok()?;
        let name = name.as_str();
        let is_weights = !name.contains('/') && !name.starts_with('.') && name.ends_with(".safetensors");
        is_weights.then(|| name.to_owned())
    };
    let names: Option<BTreeSet<_>> = map.values().map(plain).collect();
    let names = names.ok_or_else(|| damaged("names files that are no safetensors files of the model's folder"))?;
    if names.len() > MAX_SHARDS {
        return Err(damaged("names more files than are believed"));
    }
    Ok(names.into_iter().collect())
}

/// Without an index, what is there: one file, or all of `model-00001-of-00004` and so on.
fn found(folder: &Folder<'_>) -> Result<Vec<String>, Fault> {
    let is_weights = |name: &&String| name.starts_with("model") && name.ends_with(".safetensors");
    let names: Vec<String> = folder.names.iter().filter(is_weights).cloned().collect();
    let Some(first) = names.first() else {
        let other = [".bin", ".pt", ".pth"].iter().any(|end| folder.has_end(end));
        return Err(match other {
            true => unsupported("its weights are pickles, which can hold programs: get the model in safetensors"),
            false => Fault::Missing("model.safetensors is missing".to_owned()),
        });
    };
    match first.trim_end_matches(".safetensors").split_once("-of-").and_then(|(_, count)| count.parse::<usize>().ok()) {
        Some(count) if names.len() < count => {
            Err(Fault::Missing(format!("{} of its {count} files of weights are missing", count - names.len())))
        }
        _ => Ok(names),
    }
}

fn unsupported(reason: &str) -> Fault {
    Fault::Unsupported(reason.to_owned())
}

/// What a stranger wrote, as far as it fits into a sentence.
fn brief(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}
