//! The special tokens that a model folder names (`bos_token`, `eos_token`, …), as chat templates see them.

use std::path::Path;

use hearth_core::{Error, Result};
use serde_json::{Map, Value};

use super::read_file;

const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";

/// Special tokens by name (`bos_token`), in the order in which the model's files give them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpecialTokens {
    tokens: Map<String, Value>,
}

impl SpecialTokens {
    /// Reads `tokenizer_config.json`, and what it leaves out from `special_tokens_map.json`; both may be missing.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let mut tokens = Map::new();
        for name in [CONFIG, MAP] {
            for (key, value) in object(dir, name)? {
                if is_token_name(&key)
                    && let Some(text) = content(&value)
                {
                    tokens.entry(key).or_insert(Value::String(text));
                }
            }
        }
        Ok(Self { tokens })
    }

    /// The text of the token with this name, `bos_token` for instance.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.tokens.get(name)?.as_str()
    }

    /// Names the token `name`, replacing what was there.
    pub fn set(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.tokens.insert(name.into(), Value::String(text.into()));
    }

    /// All of them: name and text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.tokens.iter().map(|(name, text)| (name.as_str(), text))
    }
}

/// A JSON file of a model folder, empty where there is none.
pub(crate) fn object(dir: &Path, name: &str) -> Result<Map<String, Value>> {
    let path = dir.join(name);
    if !path.exists() {
        return Ok(Map::new());
    }
    let bytes = read_file(&path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::model_load(format!("{} is not a JSON object: {error}.", path.display())))
}

/// Settings such as `add_bos_token` end in `_token` too, but hold no text.
fn is_token_name(key: &str) -> bool {
    key.ends_with("_token")
}

/// A token is written as a string or as an object with its `content`.
fn content(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}
