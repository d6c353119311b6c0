//! Model folders for tests, written into a temporary folder.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A model folder that goes away with the value.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The same folder with a file in it.
    pub(crate) fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(name), content).expect("a file in a temporary folder");
        self
    }
}

/// The bytes of a safetensors file with this header, whatever it says, and this data.
pub(crate) fn raw_safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), data].concat()
}

/// The bytes of a sound safetensors file; data is given for each tensor.
pub(crate) fn safetensors(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let mut header = json!({ "__metadata__": { "format": "mlx" } });
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend(bytes);
        header[*name] = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, data.len()] });
    }
    raw_safetensors(&header.to_string(), &data)
}

/// Little-endian bytes of floats.
pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A `config.json` that is in order, with some fields replaced.
pub(crate) fn config(changes: Value) -> Value {
    let mut config = json!({
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 100,
        "max_position_embeddings": 2048,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    config
}
