//! How many bytes a matrix takes in the format that `quantization` of a `config.json` gives it.
//!
//! One scheme for all layers, and under a layer's path another one, `true` for the common one, or `false` for none. Whether
//! MLX can compute with it is the worker's to say.

use hearth_core::Result;
use serde_json::Value;

use super::fields::{Fields, error};

/// The format of one matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scheme {
    /// Bits of a number.
    bits: u64,
    /// Neighbours in a row that share a scale.
    group: u64,
    /// Whether scale and bias are floats of the model; else there is one byte of scale.
    affine: bool,
}

impl Scheme {
    /// Whole numbers of `bits` bits with a scale and a bias for each group.
    pub(super) fn affine(bits: u64, group: u64) -> Self {
        Self { bits, group, affine: true }
    }

    /// Bytes of a row of `columns` numbers, scales included, in a model whose floats have `float` bytes.
    pub(super) fn row_bytes(self, columns: u64, float: u64) -> u64 {
        let scale = if self.affine { 2 * float } else { 1 };
        columns * self.bits / 8 + columns / self.group * scale
    }

    fn read(value: &Value) -> Result<Self> {
        let mode = value.get("mode").and_then(Value::as_str).unwrap_or("affine");
        let (group, bits) = match mode {
            "affine" => (64, 4),
            "mxfp4" => (32, 4),
            "nvfp4" => (16, 4),
            "mxfp8" => (32, 8),
            _ => return Err(error(format!("{mode:?} is no quantization that MLX knows"))),
        };
        let size = |name: &str, default: u64| match value.get(name) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .filter(|number| (1..=1024).contains(number))
                .ok_or_else(|| error(format!("quantization: {name} must be a whole number from 1 to 1024"))),
        };
        Ok(Self { bits: size("bits", bits)?.min(32), group: size("group_size", group)?, affine: mode == "affine" })
    }
}

/// The formats of all matrices.
pub(super) struct Quantization<'a> {
    common: Option<Scheme>,
    layers: &'a Value,
}

impl<'a> Quantization<'a> {
    pub(super) fn new(config: &Fields<'a>) -> Result<Self> {
        let found = config.get("quantization").or_else(|| config.get("quantization_config"));
        let Some(layers) = found else { return Ok(Self { common: None, layers: &Value::Null }) };
        if let Some(method) = layers.get("quant_method").and_then(Value::as_str) {
            return Err(error(format!(
                "weights quantized by {method} are not supported; use a version of the model that MLX quantized"
            )));
        }
        Ok(Self { common: Some(Scheme::read(layers)?), layers })
    }

    /// Bytes of a row of the matrix at `path`: as it is quantized, else in floats.
    pub(super) fn row_bytes(&self, path: &str, columns: u64, float: u64) -> Result<u64> {
        let scheme = match self.layers.get(path) {
            Some(Value::Bool(false)) => None,
            Some(own @ Value::Object(_)) => Some(Scheme::read(own)?),
            _ => self.common,
        };
        let scheme = scheme.filter(|scheme| columns.is_multiple_of(scheme.group));
        Ok(scheme.map_or(columns * float, |scheme| scheme.row_bytes(columns, float)))
    }
}
