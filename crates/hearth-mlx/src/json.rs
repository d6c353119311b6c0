//! The JSON files of a model folder, and typed access to their fields with errors that name file and field.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use hearth_core::{Error, Result};
use serde_json::{Map, Value};

/// No JSON file that is read here comes near this size.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Reads `dir/name`; `None` where there is no such file.
pub(crate) fn read(dir: &Path, name: &str) -> Result<Option<Value>> {
    let path = dir.join(name);
    if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let bytes = read_bytes(&path).map_err(|reason| Error::model_load(format!("{name} {reason}")))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(text)
        .map(Some)
        .map_err(|error| Error::model_load(format!("{name} is not valid JSON: {error}")))
}

/// The whole file, or why not. What is not a regular file is not opened: a pipe would block for ever.
fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    match metadata.len() {
        _ if !metadata.is_file() => return Err("is not a file".to_owned()),
        0 => return Err("is empty".to_owned()),
        length if length > MAX_FILE_BYTES => {
            return Err(format!("is larger than the {} MB that are read", MAX_FILE_BYTES >> 20));
        }
        _ => {}
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    Ok(bytes)
}

/// The fields of a JSON object. A field that is missing or null is `None`; one of the wrong type is an error.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    file: &'a str,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, the content of `file`.
    pub(crate) fn new(file: &'a str, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(object) => Ok(Self { file, object }),
            _ => Err(Error::model_load(format!("{file} must hold a JSON object"))),
        }
    }

    /// An error that names the file.
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::model_load(format!("{}: {message}", self.file))
    }

    /// The error of a field that must be there.
    pub(crate) fn missing(&self, name: &str) -> Error {
        self.error(format!("{name} is missing"))
    }

    /// The field, unless it is missing or null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A whole number from 1 to `most`.
    pub(crate) fn size(&self, name: &str, most: u64) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if (1..=most).contains(&number) => Ok(Some(number as usize)),
            _ => Err(self.error(format!("{name} must be a whole number from 1 to {most}, not {}", brief(value)))),
        }
    }

    /// A number from `least` to `most`.
    pub(crate) fn number(&self, name: &str, least: f32, most: f32) -> Result<Option<f32>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64().map(|number| number as f32) {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(self.error(format!("{name} must be a number from {least} to {most}, not {}", brief(value)))),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.typed(name, Value::as_bool, "true or false")
    }

    /// A string.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.typed(name, Value::as_str, "a string")
    }

    fn typed<T>(&self, name: &str, cast: fn(&'a Value) -> Option<T>, what: &str) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match cast(value) {
            Some(found) => Ok(Some(found)),
            None => Err(self.error(format!("{name} must be {what}, not {}", brief(value)))),
        }
    }

    /// Token ids, written as one number, a list, or null.
    pub(crate) fn token_ids(&self, name: &str) -> Result<Vec<u32>> {
        let listed = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
        };
        listed.iter().map(|value| self.token_id(name, value)).collect()
    }

    fn token_id(&self, name: &str, value: &Value) -> Result<u32> {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.error(format!("{name} must be a token id or a list of them, not {}", brief(value))))
    }
}

/// A value as far as it fits into a sentence.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
