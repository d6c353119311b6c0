//! The header of a safetensors file, read and checked before anything of the file reaches MLX.
//!
//! Only the header's bytes are read. What a header promises is believed when the `safetensors` crate finds its shapes,
//! types and extents consistent and without overlap or overflow, and the file is exactly as long as they add up to.
//! Afterwards every [`TensorInfo`] is an extent that lies inside the file, of dimensions that MLX can hold.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use hearth_core::{Error, Result};
use safetensors::{
    SafeTensorError,
    tensor::{Metadata, TensorInfo},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};

/// The bytes in front of a header, which give its length.
const LENGTH_BYTES: u64 = 8;

/// The longest header that is read, as in the format's own reader.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// More tensors than any file has: the largest mixtures of experts come to some ten thousand.
const MAX_TENSORS: usize = 200_000;

/// An open safetensors file whose header was found sound.
#[derive(Debug)]
pub(crate) struct SafetensorsFile {
    /// The file's name, for errors.
    pub(crate) name: String,
    file: Arc<File>,
    data_start: u64,
    tensors: HashMap<String, TensorInfo>,
}

impl SafetensorsFile {
    /// Opens `dir/name` and checks its header. Symbolic links are followed: a Hugging Face cache consists of them.
    pub(crate) fn open(dir: &Path, name: &str) -> Result<Self> {
        let fault = |reason: String| Error::model_load(format!("{name}{reason}"));
        let path = dir.join(name);
        let metadata = fs::metadata(&path).map_err(|error| fault(format!(" cannot be read: {error}")))?;
        if !metadata.is_file() {
            return Err(fault(" is not a file".to_owned()));
        }
        let file = File::open(&path).map_err(|error| fault(format!(" cannot be read: {error}")))?;
        let header = read_header(&file, metadata.len()).map_err(fault)?;
        let data_start = LENGTH_BYTES + header.len() as u64;
        let tensors = parse(&header, metadata.len() - data_start).map_err(fault)?;
        Ok(Self { name: name.to_owned(), file: Arc::new(file), data_start, tensors })
    }

    /// The tensors' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's type, shape and extent.
    pub(crate) fn info(&self, tensor: &str) -> Option<&TensorInfo> {
        self.tensors.get(tensor)
    }

    /// Where in the file each tensor lies, in order.
    pub(crate) fn extents(&self) -> Vec<Range<u64>> {
        let place = |offset: usize| self.data_start + offset as u64;
        let extent = |info: &TensorInfo| place(info.data_offsets.0)..place(info.data_offsets.1);
        let mut extents: Vec<_> = self.tensors.values().map(extent).collect();
        extents.sort_unstable_by_key(|extent| (extent.start, extent.end));
        extents
    }

    /// The open file, and where in it the header ends and the data begins.
    pub(crate) fn data(&self) -> (&File, u64) {
        (&self.file, self.data_start)
    }

    /// The open file, and where in it the extent of `info` begins.
    pub(crate) fn extent(&self, info: &TensorInfo) -> (Arc<File>, u64) {
        (Arc::clone(&self.file), self.data_start + info.data_offsets.0 as u64)
    }
}

/// The header's JSON text, padding included.
fn read_header(file: &File, file_bytes: u64) -> Result<Vec<u8>, String> {
    let mut length = [0; LENGTH_BYTES as usize];
    if file_bytes < LENGTH_BYTES {
        return Err(format!(" is truncated: {file_bytes} bytes are no safetensors file"));
    }
    file.read_exact_at(&mut length, 0).map_err(|error| format!(" cannot be read: {error}"))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err(format!(" is no safetensors file: a header of {length} bytes is not believed"));
    }
    if length > file_bytes - LENGTH_BYTES {
        return Err(format!(" is truncated: its header should have {length} bytes, the file has {file_bytes}"));
    }
    let mut header = vec![0; length as usize];
    file.read_exact_at(&mut header, LENGTH_BYTES).map_err(|error| format!(" cannot be read: {error}"))?;
    Ok(header)
}

/// The tensors that `header` describes, in a file that holds `data_bytes` bytes behind it.
fn parse(header: &[u8], data_bytes: u64) -> Result<HashMap<String, TensorInfo>, String> {
    let Entries(mut tensors) = serde_json::from_slice(header)
        .map_err(|error| format!(" has a damaged header, download it again: {}", brief(&error)))?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let checked = Metadata::new(None, tensors.clone()).map_err(|error| culprit(&tensors, error))?;
    match checked.data_len() as u64 {
        promised if promised > data_bytes => Err(format!(
            " is truncated: its tensors take {promised} bytes, the file holds {data_bytes}; download it again"
        )),
        promised if promised < data_bytes => {
            Err(format!(" is damaged: {} bytes at its end belong to no tensor", data_bytes - promised))
        }
        _ if let Some((name, info)) = tensors.iter().find(|(_, info)| !fits_index(info)) => {
            Err(format!(": {} has shape {:?}, more than MLX can index", brief(name), info.shape))
        }
        _ => by_name(tensors),
    }
}

fn by_name(tensors: Vec<(String, TensorInfo)>) -> Result<HashMap<String, TensorInfo>, String> {
    let mut found = HashMap::with_capacity(tensors.len());
    for (name, info) in tensors {
        match found.entry(name) {
            Entry::Vacant(place) => place.insert(info),
            Entry::Occupied(place) => return Err(format!(": {} stands twice in its header", brief(place.key()))),
        };
    }
    Ok(found)
}

/// A header's entries in the order of the file. Read one by one, so that a long header does not take many times its
/// size, and an error names its tensor.
struct Entries(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let info = map.next_value().map_err(|error| A::Error::custom(format!("{}: {error}", brief(&name))))?;
            entries.push((name, info));
            if entries.len() > MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors are not believed")));
            }
        }
        Ok(Entries(entries))
    }
}

/// Names the tensor behind the crate's `error`, which not always does.
fn culprit(tensors: &[(String, TensorInfo)], error: SafeTensorError) -> String {
    if let SafeTensorError::InvalidOffset(name) = error {
        return format!(": the extent of {} overlaps another or leaves a gap", brief(&name));
    }
    let wrong = tensors.iter().find(|(_, info)| extent(info) != bytes(info));
    match wrong {
        Some((name, info)) => format!(
            ": {} of shape {:?} and type {} does not take the {} bytes it is given",
            brief(name),
            info.shape,
            info.dtype,
            info.data_offsets.1.saturating_sub(info.data_offsets.0)
        ),
        None => format!(" has a damaged header: {error}"),
    }
}

/// The bytes that a tensor's extent holds.
fn extent(info: &TensorInfo) -> Option<usize> {
    info.data_offsets.1.checked_sub(info.data_offsets.0)
}

/// The bytes that a tensor's shape and type need; `None` where they are more than there can be.
fn bytes(info: &TensorInfo) -> Option<usize> {
    let elements = info.shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim))?;
    elements.checked_mul(info.dtype.bitsize()).map(|bits| bits / 8)
}

/// Whether each dimension fits the 32 bits that MLX has for it.
fn fits_index(info: &TensorInfo) -> bool {
    info.shape.iter().all(|&dim| i32::try_from(dim).is_ok())
}

/// What a stranger wrote, as far as it fits into a sentence and without what would break out of it.
fn brief(text: &impl ToString) -> String {
    text.to_string().chars().take(120).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
