//! Numbers and words of a `config.json` that may come from anybody: checked before anything is reckoned with them.

use hearth_core::{Error, Result};
use serde_json::Value;

/// The largest values that are believed: no product of them overflows. The worker is as strict when it loads.
pub(super) const SIZES: &[(&str, u64)] = &[
    ("hidden_size", 1 << 17),
    ("intermediate_size", 1 << 20),
    ("moe_intermediate_size", 1 << 20),
    ("num_hidden_layers", 1 << 10),
    ("num_attention_heads", 1 << 12),
    ("num_key_value_heads", 1 << 12),
    ("head_dim", 1 << 12),
    ("vocab_size", 1 << 22),
    ("sliding_window", i32::MAX as u64),
    ("sliding_window_pattern", 1 << 10),
    ("max_position_embeddings", i32::MAX as u64),
    ("max_sequence_length", i32::MAX as u64),
    ("n_positions", i32::MAX as u64),
    ("num_experts", 1 << 10),
    ("num_local_experts", 1 << 10),
    ("n_routed_experts", 1 << 10),
    ("n_shared_experts", 1 << 5),
    ("num_experts_per_tok", 1 << 10),
    ("first_k_dense_replace", 1 << 10),
    ("num_kv_shared_layers", 1 << 10),
    ("num_global_key_value_heads", 1 << 12),
    ("global_head_dim", 1 << 12),
    ("full_attention_interval", 1 << 10),
    ("linear_num_key_heads", 1 << 10),
    ("linear_num_value_heads", 1 << 10),
    ("linear_key_head_dim", 1 << 12),
    ("linear_value_head_dim", 1 << 12),
    ("linear_conv_kernel_dim", 1 << 5),
];

/// What the 1B model of Gemma 3 has, which others' configurations leave out where it is the same.
const GEMMA3: &[(&str, u64)] = &[
    ("hidden_size", 1152),
    ("intermediate_size", 6912),
    ("num_hidden_layers", 26),
    ("num_attention_heads", 4),
    ("num_key_value_heads", 1),
    ("head_dim", 256),
    ("vocab_size", 262_144),
    ("sliding_window", 512),
    ("sliding_window_pattern", 6),
];

/// A `config.json`; of a model that also takes images, the part about text.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    whole: &'a Value,
    text: &'a Value,
    defaults: &'static [(&'static str, u64)],
}

impl<'a> Fields<'a> {
    pub(super) fn new(whole: &'a Value) -> Result<Self> {
        if !whole.is_object() {
            return Err(error("it must hold a JSON object"));
        }
        let text = whole.get("text_config").filter(|part| part.is_object()).unwrap_or(whole);
        let gemma = text.get("model_type").is_some_and(|name| name == "gemma3_text");
        let fields = Self { whole, text, defaults: if gemma { GEMMA3 } else { &[] } };
        for (name, most) in SIZES {
            fields.check(name, *most)?;
        }
        Ok(fields)
    }

    fn check(&self, name: &str, most: u64) -> Result<()> {
        match self.get(name) {
            Some(value) if value.as_u64().is_none_or(|number| number > most) => {
                Err(error(format!("{name} must be a whole number up to {most}, not {}", brief(value))))
            }
            _ => Ok(()),
        }
    }

    /// The field, unless it is missing or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.text.get(name).or_else(|| self.whole.get(name)).filter(|value| !value.is_null())
    }

    /// One of [`SIZES`]; neither 0 nor missing.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        let given = self.get(name).and_then(Value::as_u64).filter(|&number| number > 0);
        given.or_else(|| self.defaults.iter().find(|(known, _)| *known == name).map(|(_, number)| *number))
    }

    /// As [`Fields::size`], of a field that must be there.
    pub(super) fn required(&self, name: &str) -> Result<u64> {
        self.size(name).ok_or_else(|| error(format!("{name} is missing")))
    }

    /// The first of several names under which a size is known.
    pub(super) fn any_size(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.size(name))
    }

    /// Whether it is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A word.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Value::as_str)
    }

    /// `model_type`, of the whole model.
    pub(super) fn model_type(&self) -> Result<&'a str> {
        self.whole.get("model_type").and_then(Value::as_str).ok_or_else(|| error("model_type is missing"))
    }
}

/// An error that names the file.
pub(super) fn error(message: impl std::fmt::Display) -> Error {
    Error::model_load(format!("config.json: {message}"))
}

/// A value as far as it fits into a sentence.
fn brief(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}
