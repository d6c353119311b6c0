//! One cache as a safetensors file.
//!
//! The tokens are the first tensor, so that an index needs only a file's beginning; the cache's own tensors follow under
//! names that begin with `cache.`. `__metadata__` holds the version, the model's fingerprint and its name, the lengths that the cache
//! can be cut back to, the session, and a checksum: the blake3 hash of the whole file, read with zeros in the checksum's place.
//! So no byte of the file can change without being noticed. Lengths are checked against the file's before memory is taken.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;

use hearth_core::runner::{Cuts, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::Value;

use super::{Content, FileName, Label};

const VERSION: &str = "1";
const TOKENS: &str = "tokens";
const PREFIX: &str = "cache.";
/// A longer header is not believed.
const MAX_HEADER: u64 = 16 << 20;
/// Hexadecimal digits of the checksum.
const DIGITS: usize = 64;
const CHECKSUM: &str = "\"checksum\":\"";

/// Why a file is of no use.
#[derive(Debug)]
pub(super) enum Fault {
    Missing,
    /// The disk's fault, perhaps not for ever.
    Unreadable(io::Error),
    /// It is another model's.
    Foreign,
    /// The file's own: how the sentence "The cache file …" goes on.
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::UnexpectedEof => damaged("is cut short"),
            _ => Self::Unreadable(error),
        }
    }
}

fn damaged(why: impl Into<String>) -> Fault {
    Fault::Damaged(why.into())
}

/// The tokens as they lie in a file.
pub(super) fn token_bytes(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}

/// All that stands in a file before the cache's own tensors.
pub(super) fn beginning(fingerprint: &str, model: &str, content: &Content) -> io::Result<Vec<u8>> {
    let mut start =
        header(fingerprint, model, content).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let place = checksum_place(&start).ok_or(io::ErrorKind::InvalidInput)?;
    start.extend(token_bytes(&content.label.tokens));
    let mut hasher = blake3::Hasher::new();
    hasher.update(&start);
    for tensor in &content.tensors {
        hasher.update(&tensor.data);
    }
    start[place].copy_from_slice(hasher.finalize().to_hex().as_bytes());
    Ok(start)
}

/// Writes a file whose first part is `beginning`.
pub(super) fn write(file: &mut File, beginning: &[u8], content: &Content) -> io::Result<()> {
    file.write_all(beginning)?;
    content.tensors.iter().try_for_each(|tensor| file.write_all(&tensor.data))?;
    file.sync_all()
}

fn header(fingerprint: &str, model: &str, content: &Content) -> Result<Vec<u8>, String> {
    let Label { tokens, cuts, session } = &content.label;
    let mut metadata = HashMap::from([
        ("version".to_owned(), VERSION.to_owned()),
        ("fingerprint".to_owned(), fingerprint.to_owned()),
        // For people alone: the fingerprint decides.
        ("model".to_owned(), model.to_owned()),
        ("tokens".to_owned(), tokens.len().to_string()),
        ("cuts".to_owned(), serde_json::to_string(cuts).map_err(|error| error.to_string())?),
        ("checksum".to_owned(), "0".repeat(DIGITS)),
    ]);
    metadata.extend(session.map(|session| ("session".to_owned(), format!("{session:016x}"))));
    let metadata = Metadata::new(Some(metadata), infos(content)?).map_err(|error| error.to_string())?;
    let text = serde_json::to_string(&metadata).map_err(|error| error.to_string())?;
    Ok([&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat())
}

fn infos(content: &Content) -> Result<Vec<(String, TensorInfo)>, String> {
    let tokens = &content.label.tokens;
    let mut end = size_of_val(tokens.as_slice());
    let mut infos =
        vec![(TOKENS.to_owned(), TensorInfo { dtype: Dtype::U32, shape: vec![tokens.len()], data_offsets: (0, end) })];
    for Tensor { name, dtype, shape, data } in &content.tensors {
        let dtype = serde_json::from_value(Value::String(dtype.clone())).map_err(|error| error.to_string())?;
        let data_offsets = (end, end + data.len());
        end += data.len();
        infos.push((format!("{PREFIX}{name}"), TensorInfo { dtype, shape: shape.clone(), data_offsets }));
    }
    Ok(infos)
}

/// Where in a file's beginning the checksum stands.
fn checksum_place(start: &[u8]) -> Option<Range<usize>> {
    let at = start.windows(CHECKSUM.len()).position(|window| window == CHECKSUM.as_bytes())? + CHECKSUM.len();
    (at + DIGITS <= start.len()).then_some(at..at + DIGITS)
}

/// A file whose header has been read.
pub(super) struct Opened {
    file: File,
    /// The file up to its first tensor.
    start: Vec<u8>,
    metadata: Metadata,
    pub(super) fingerprint: String,
    pub(super) label: Label,
    token_bytes: Vec<u8>,
}

/// Reads the header and tokens of a file of the model with this fingerprint. What they say is not certain before [`Opened::content`] has read all of it.
pub(super) fn open(mut file: File, fingerprint: &str) -> Result<Opened, Fault> {
    let length = file.metadata()?.len();
    let start = read_start(&mut file, length)?;
    let metadata: Metadata = serde_json::from_slice(&start[8..]).map_err(|_| damaged("has a damaged header"))?;
    if (start.len() as u64).checked_add(metadata.data_len() as u64) != Some(length) {
        return Err(damaged("is not as long as it should be"));
    }
    let said = metadata.metadata().clone().unwrap_or_default();
    let say = |key: &str| said.get(key).map(String::as_str).unwrap_or_default();
    if say("version") != VERSION {
        return Err(damaged("was written by another version of Hearth"));
    }
    if say("fingerprint") != fingerprint {
        return Err(Fault::Foreign);
    }
    let token_bytes = read_tokens(&mut file, &metadata)?;
    let tokens: Vec<u32> =
        token_bytes.chunks_exact(4).map(|token| u32::from_le_bytes([token[0], token[1], token[2], token[3]])).collect();
    let cuts: Cuts = serde_json::from_str(say("cuts")).map_err(|_| damaged("has a damaged header"))?;
    let session = said.get("session").map(|key| u64::from_str_radix(key, 16)).transpose();
    let session = session.map_err(|_| damaged("has a damaged header"))?;
    let fingerprint = say("fingerprint").to_owned();
    Ok(Opened { file, start, metadata, fingerprint, label: Label { tokens, cuts, session }, token_bytes })
}

fn read_start(file: &mut File, file_bytes: u64) -> Result<Vec<u8>, Fault> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let header = u64::from_le_bytes(length);
    if header > MAX_HEADER.min(file_bytes.saturating_sub(8)) {
        return Err(damaged("has a damaged header"));
    }
    let mut start = vec![0; 8 + header as usize];
    start[..8].copy_from_slice(&length);
    file.read_exact(&mut start[8..])?;
    Ok(start)
}

fn read_tokens(file: &mut File, metadata: &Metadata) -> Result<Vec<u8>, Fault> {
    let first = metadata.info(TOKENS).filter(|info| info.data_offsets.0 == 0 && info.dtype == Dtype::U32);
    let info = first.ok_or_else(|| damaged("holds no tokens"))?;
    let mut bytes = vec![0; info.data_offsets.1];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Opened {
    /// The name that the file should have.
    pub(super) fn name(&self) -> FileName {
        FileName::of(&self.fingerprint, &self.label.tokens)
    }

    /// Reads the rest, and checks every byte.
    pub(super) fn content(mut self) -> Result<Content, Fault> {
        let place = checksum_place(&self.start).ok_or_else(|| damaged("has no checksum"))?;
        let checksum = self.start[place.clone()].to_vec();
        self.start[place].fill(b'0');
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.start).update(&self.token_bytes);
        let mut tensors = Vec::new();
        for name in self.metadata.offset_keys().into_iter().filter(|name| name != TOKENS) {
            let tensor = self.tensor(&name)?;
            hasher.update(&tensor.data);
            tensors.push(tensor);
        }
        if hasher.finalize().to_hex().as_bytes() != checksum {
            return Err(damaged("is damaged"));
        }
        Ok(Content { label: self.label, tensors })
    }

    fn tensor(&mut self, name: &str) -> Result<Tensor, Fault> {
        let info = self.metadata.info(name).ok_or_else(|| damaged("has a damaged header"))?;
        let mut data = vec![0; info.data_offsets.1 - info.data_offsets.0];
        self.file.read_exact(&mut data)?;
        let name = name.strip_prefix(PREFIX).ok_or_else(|| damaged("holds a tensor of nobody's"))?.to_owned();
        let dtype = info.dtype.to_string();
        Ok(Tensor { name, dtype, shape: info.shape.clone(), data })
    }
}
