//! Whether a safetensors file is as long as its header says: what an interrupted copy is not.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use safetensors::tensor::Metadata;

use super::folder::Fault;

const LENGTH_BYTES: u64 = 8;

/// The longest header that the format allows.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Headers beyond this, which no known model has, are left to whoever loads the model: a list must not take long.
const MAX_PARSED_BYTES: u64 = 16 << 20;

/// Checks the file at `path`, called `name` in the fault.
pub(super) fn check(name: &str, path: &Path) -> Result<(), Fault> {
    match promised(path) {
        Ok(Some((promised, held))) if promised > held => Err(Fault::Damaged(format!(
            "{name} is cut short: it should have {promised} bytes and has {held}; download it again"
        ))),
        Ok(Some((promised, held))) if promised < held => {
            Err(Fault::Damaged(format!("{name} has {} bytes more than it should; download it again", held - promised)))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::Damaged(format!("{name} cannot be used: {error}"))),
    }
}

/// The bytes that the file should have and has, where the header is short enough to be read.
fn promised(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let mut file = File::open(path)?;
    let held = file.metadata()?.len();
    let mut length = [0; LENGTH_BYTES as usize];
    if held < LENGTH_BYTES {
        return Ok(Some((LENGTH_BYTES, held)));
    }
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err(io::Error::other("it is no safetensors file"));
    }
    let start = LENGTH_BYTES + length;
    if start > held {
        return Ok(Some((start, held)));
    }
    if length > MAX_PARSED_BYTES {
        return Ok(None);
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header)?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| io::Error::other(format!("its header is damaged ({error})")))?;
    Ok(Some((start.saturating_add(metadata.data_len() as u64), held)))
}
