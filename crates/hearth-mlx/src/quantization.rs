//! How a checkpoint's weights are quantized, as mlx-lm writes it into `config.json`.
//!
//! `quantization` (or `quantization_config`, the same again for other tools) gives one scheme for all layers, and under
//! a layer's path another scheme for that layer, `true` for the common one, or `false` for none.

use std::collections::HashMap;

use hearth_core::Result;
use serde_json::Value;

use crate::json::Fields;

/// What the bits of a quantized number mean, by MLX's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whole numbers with a scale and a bias for each group.
    Affine,
    /// 4-bit floats in groups of 32 that share a power of two (OCP microscaling).
    Mxfp4,
    /// 4-bit floats in groups of 16 that share an 8-bit float.
    Nvfp4,
    /// 8-bit floats in groups of 32 that share a power of two (OCP microscaling).
    Mxfp8,
}

impl Mode {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "affine" => Some(Self::Affine),
            "mxfp4" => Some(Self::Mxfp4),
            "nvfp4" => Some(Self::Nvfp4),
            "mxfp8" => Some(Self::Mxfp8),
            _ => None,
        }
    }
}

/// How one layer is quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// What the bits mean.
    pub mode: Mode,
    /// Bits of one number.
    pub bits: usize,
    /// Neighbours in a row that share a scale.
    pub group_size: usize,
}

/// The schemes of a checkpoint's layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantization {
    common: Scheme,
    layers: HashMap<String, Option<Scheme>>,
}

impl Quantization {
    /// What `config` (the whole of `config.json`) says; `None` where it says nothing.
    pub(crate) fn from_config(config: &Value) -> Result<Option<Self>> {
        let fields = Fields::new("config.json", config)?;
        let found =
            ["quantization", "quantization_config"].into_iter().find_map(|name| Some((name, fields.get(name)?)));
        found.map(|(name, value)| Self::new(&format!("config.json: {name}"), value)).transpose()
    }

    fn new(place: &str, value: &Value) -> Result<Self> {
        let fields = Fields::new(place, value)?;
        if let Some(method) = fields.text("quant_method")? {
            return Err(fields.error(format!(
                "weights quantized by {method} are not supported; use a version of the model that MLX quantized"
            )));
        }
        let common = scheme(&fields)?;
        let mut layers = HashMap::new();
        for (path, value) in value.as_object().into_iter().flatten() {
            let scheme = match value {
                Value::Bool(quantized) => quantized.then_some(common),
                Value::Object(_) => Some(scheme(&Fields::new(&format!("{place}: {path}"), value)?)?),
                _ => continue,
            };
            layers.insert(path.clone(), scheme);
        }
        Ok(Self { common, layers })
    }

    /// The scheme of the layer at `path` (`model.layers.0.mlp.up_proj`); `None` where it is not quantized.
    pub(crate) fn scheme(&self, path: &str) -> Option<Scheme> {
        self.layers.get(path).copied().unwrap_or(Some(self.common))
    }
}

/// Reads `mode`, `group_size` and `bits`; the latter two have the defaults that MLX has for the mode.
fn scheme(fields: &Fields<'_>) -> Result<Scheme> {
    let name = fields.text("mode")?.unwrap_or("affine");
    let mode = Mode::from_name(name).ok_or_else(|| {
        fields.error(format!("unknown quantization mode {name:?}; known are affine, mxfp4, mxfp8 and nvfp4"))
    })?;
    let (group_size, bits) = defaults(mode);
    let group_size = fields.size("group_size", 1 << 10)?.unwrap_or(group_size);
    let bits = fields.size("bits", 64)?.unwrap_or(bits);
    if is_supported(mode, group_size, bits) {
        return Ok(Scheme { mode, bits, group_size });
    }
    Err(fields.error(format!("MLX has no {name} format of {bits} bits in groups of {group_size}")))
}

/// Group size and bits.
fn defaults(mode: Mode) -> (usize, usize) {
    match mode {
        Mode::Affine => (64, 4),
        Mode::Mxfp4 => (32, 4),
        Mode::Nvfp4 => (16, 4),
        Mode::Mxfp8 => (32, 8),
    }
}

/// Whether MLX has kernels for the combination.
fn is_supported(mode: Mode, group_size: usize, bits: usize) -> bool {
    match mode {
        Mode::Affine => matches!(group_size, 32 | 64 | 128) && matches!(bits, 2 | 3 | 4 | 5 | 6 | 8),
        _ => (group_size, bits) == defaults(mode),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: Value) -> Result<Option<Quantization>, String> {
        Quantization::from_config(&config).map_err(|error| error.message)
    }

    const G64: Scheme = Scheme { mode: Mode::Affine, bits: 4, group_size: 64 };

    #[test]
    fn a_config_may_say_nothing() {
        assert_eq!(read(json!({})), Ok(None));
        assert_eq!(read(json!({"quantization": null, "quantization_config": null})), Ok(None));
    }

    #[test]
    fn one_scheme_for_all_and_others_by_path() {
        let config = json!({"quantization": {
            "group_size": 64, "bits": 4, "mode": "affine",
            "lm_head": {"group_size": 32, "bits": 8},
            "model.layers.0.mlp.gate": false,
            "model.layers.1.mlp.gate": true,
            "model.layers.2.mlp.gate": {"mode": "mxfp8"},
        }});
        let quantization = read(config).unwrap().unwrap();
        let cases = [
            ("model.layers.0.mlp.up_proj", Some(G64)),
            ("lm_head", Some(Scheme { bits: 8, group_size: 32, ..G64 })),
            ("model.layers.0.mlp.gate", None),
            ("model.layers.1.mlp.gate", Some(G64)),
            ("model.layers.2.mlp.gate", Some(Scheme { mode: Mode::Mxfp8, bits: 8, group_size: 32 })),
        ];
        for (path, expected) in cases {
            assert_eq!(quantization.scheme(path), expected, "{path}");
        }
    }

    #[test]
    fn every_mode_has_its_sizes() {
        let cases = [
            (json!({}), Some(G64)),
            (json!({"bits": 3, "group_size": 128}), Some(Scheme { bits: 3, group_size: 128, ..G64 })),
            (json!({"mode": "mxfp4"}), Some(Scheme { mode: Mode::Mxfp4, bits: 4, group_size: 32 })),
            (
                json!({"mode": "nvfp4", "bits": 4, "group_size": 16}),
                Some(Scheme { mode: Mode::Nvfp4, bits: 4, group_size: 16 }),
            ),
            (json!({"mode": "mxfp8"}), Some(Scheme { mode: Mode::Mxfp8, bits: 8, group_size: 32 })),
        ];
        for (value, expected) in cases {
            let found = read(json!({"quantization_config": value.clone()})).unwrap().unwrap();
            assert_eq!(found.scheme("any"), expected, "{value}");
        }
    }

    #[test]
    fn what_mlx_cannot_compute_is_refused() {
        let cases = [
            (json!({"bits": 7}), "MLX has no affine format of 7 bits in groups of 64"),
            (json!({"bits": 4, "group_size": 48}), "MLX has no affine format of 4 bits in groups of 48"),
            (json!({"mode": "mxfp4", "group_size": 64}), "MLX has no mxfp4 format of 4 bits in groups of 64"),
            (json!({"bits": 0}), "bits must be a whole number from 1 to 64, not 0"),
            (json!({"group_size": "big"}), "group_size must be a whole number from 1 to 1024, not \"big\""),
            (json!({"mode": "gguf"}), "unknown quantization mode \"gguf\"; known are affine, mxfp4, mxfp8 and nvfp4"),
            (
                json!({"quant_method": "gptq", "bits": 4}),
                "weights quantized by gptq are not supported; use a version of the model that MLX quantized",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(read(json!({"quantization": value})), Err(format!("config.json: quantization: {expected}")));
        }
        let layer = json!({"quantization": {"lm_head": {"bits": 9}}});
        assert_eq!(
            read(layer),
            Err("config.json: quantization: lm_head: MLX has no affine format of 9 bits in groups of 64".to_owned())
        );
        assert_eq!(
            read(json!({"quantization": 4})),
            Err("config.json: quantization must hold a JSON object".to_owned())
        );
    }
}
