//! A model's folder as its own files see it: names are looked up in its list, links are followed only to where they may
//! lead, and JSON is read within bounds.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// No JSON file of a model that is read comes near this size.
const MAX_JSON_BYTES: u64 = 16 << 20;

/// More files than a model has.
const MAX_NAMES: usize = 4096;

/// What keeps a model from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Missing(String),
    Unsupported(String),
    Damaged(String),
}

/// A folder and the names in it, sorted.
pub(super) struct Folder<'a> {
    pub(super) dir: &'a Path,
    pub(super) names: Vec<String>,
    allowed: &'a Path,
}

impl<'a> Folder<'a> {
    /// Lists `dir`. `allowed`, without links itself, is where links may lead.
    pub(super) fn list(dir: &'a Path, allowed: &'a Path) -> io::Result<Self> {
        let entries = fs::read_dir(dir)?.take(MAX_NAMES);
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_unstable();
        Ok(Self { dir, names, allowed })
    }

    /// Whether some name ends so.
    pub(super) fn has_end(&self, end: &str) -> bool {
        self.names.iter().any(|name| name.ends_with(end))
    }

    /// The file `name`, its links followed.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf, Fault> {
        let damaged = |reason: String| Fault::Damaged(format!("{name} {reason}"));
        let path = match follow(&self.dir.join(name), self.allowed) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Fault::Missing(format!("{name} is missing")));
            }
            Err(error) => return Err(damaged(format!("cannot be read: {error}"))),
        };
        // A pipe would block whoever opens it.
        match fs::symlink_metadata(&path).map_err(|error| damaged(format!("cannot be read: {error}")))? {
            metadata if !metadata.is_file() => Err(damaged("is not a file".to_owned())),
            metadata if metadata.len() == 0 => Err(damaged("is empty: download it again".to_owned())),
            _ => Ok(path),
        }
    }

    /// The JSON object in the file `name`.
    pub(super) fn json(&self, name: &str) -> Result<Value, Fault> {
        let bytes =
            read(&self.file(name)?).map_err(|error| Fault::Damaged(format!("{name} cannot be read: {error}")))?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        match serde_json::from_slice(text) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(Fault::Damaged(format!("{name} must hold a JSON object"))),
            Err(error) => Err(Fault::Damaged(format!("{name} is not valid JSON: {error}"))),
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_JSON_BYTES {
        return Err(io::Error::other(format!("it is larger than the {} MB that are read", MAX_JSON_BYTES >> 20)));
    }
    Ok(bytes)
}

/// Where `path` leads, which must be below `allowed` if it is a link.
pub(super) fn follow(path: &Path, allowed: &Path) -> io::Result<PathBuf> {
    if !fs::symlink_metadata(path)?.is_symlink() {
        return Ok(path.to_owned());
    }
    let target = path.canonicalize()?;
    if target.starts_with(allowed) {
        return Ok(target);
    }
    Err(io::Error::other("it is a link that leads elsewhere"))
}
