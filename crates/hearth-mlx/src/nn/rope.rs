//! Rotary position embedding (Su et al., <https://arxiv.org/abs/2104.09864>), with the scalings of long-context models.

use std::f64::consts::TAU;

use hearth_core::{Error, Result};
use serde::Deserialize;

use crate::ops::{self, Array, Frequencies, Rotation};

/// Turns pairs of a head's numbers by an angle that grows with the token's position.
#[derive(Debug)]
pub struct Rope(Rotation);

/// What config.json says about rotary embedding.
#[derive(Debug, Deserialize)]
pub struct RopeArgs {
    rope_theta: Option<f32>,
    rope_traditional: Option<bool>,
    rope_scaling: Option<RopeScaling>,
    /// Where transformers 5 puts `rope_theta` and `rope_scaling`.
    rope_parameters: Option<RopeScaling>,
}

/// `rope_scaling` of config.json.
#[derive(Debug, Deserialize)]
pub struct RopeScaling {
    rope_theta: Option<f32>,
    rope_type: Option<String>,
    /// The older name of `rope_type`; some files have both.
    #[serde(rename = "type")]
    older_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

impl RopeArgs {
    /// The embedding of heads of `dims` numbers; `theta` is what the architecture takes where nothing is said.
    pub fn rope(&self, dims: usize, theta: f32) -> Result<Rope> {
        let nested = self.rope_parameters.as_ref();
        let base = self.rope_theta.or(nested.and_then(|nested| nested.rope_theta)).unwrap_or(theta);
        Rope::new(dims, base, self.rope_traditional.unwrap_or(false), self.rope_scaling.as_ref().or(nested))
    }
}

impl Rope {
    /// Angles of `base^(-2i/dims)` for each position, scaled as the model's config.json says.
    pub fn new(dims: usize, base: f32, traditional: bool, scaling: Option<&RopeScaling>) -> Result<Self> {
        if dims == 0 || !dims.is_multiple_of(2) || base.is_nan() || base <= 0.0 {
            return Err(Error::model_load(format!(
                "config.json: rotary embedding needs an even head_dim and a rope_theta above 0, not {dims} and {base}"
            )));
        }
        let (frequencies, scale) = match scaling.map(|scaling| (scaling, scaling.kind())) {
            None | Some((_, "default")) => (Frequencies::Base(base), 1.0),
            Some((scaling, "linear")) => (Frequencies::Base(base), 1.0 / scaling.factor()? as f32),
            Some((scaling, "llama3")) => (scaling.llama3(dims, base.into())?, 1.0),
            Some((_, other)) => {
                return Err(Error::model_load(format!(
                    "config.json: rope_scaling of type {other:?} is not supported; known are default, linear, llama3"
                )));
            }
        };
        Ok(Self(Rotation { dims: dims as i32, traditional, frequencies, scale }))
    }

    /// `[1, heads, tokens, dims]` whose first token stands at `offset`.
    pub fn forward(&self, x: &Array, offset: i32) -> Result<Array> {
        ops::rope(x, &self.0, offset)
    }

    /// `[rows, heads, 1, dims]`, each row at its own offset.
    pub fn forward_rows(&self, x: &Array, offsets: &Array) -> Result<Array> {
        ops::rope_rows(x, &self.0, offsets)
    }
}

impl RopeScaling {
    fn kind(&self) -> &str {
        self.older_type.as_deref().or(self.rope_type.as_deref()).unwrap_or("default")
    }

    fn factor(&self) -> Result<f64> {
        let factor = self.factor.filter(|factor| *factor > 0.0);
        factor.ok_or_else(|| Error::model_load("config.json: rope_scaling.factor must be a number above 0"))
    }

    /// Wavelengths as Llama 3.1 has them: long ones stretched by the factor, short ones as they are, and those between
    /// blended (Llama 3's reference code, `apply_scaling`). MLX takes wavelengths without the factor of 2π.
    fn llama3(&self, dims: usize, base: f64) -> Result<Frequencies> {
        let factor = self.factor()?;
        let low = self.low_freq_factor.unwrap_or(1.0);
        let high = self.high_freq_factor.unwrap_or(4.0);
        let context = self.original_max_position_embeddings.unwrap_or(8192.0);
        if low <= 0.0 || high <= low {
            return Err(Error::model_load(format!(
                "config.json: rope_scaling needs 0 < low_freq_factor < high_freq_factor, not {low} and {high}"
            )));
        }
        let stretch = |plain: f64| {
            let wavelength = TAU * plain;
            if wavelength > context / low {
                plain * factor
            } else if wavelength > context / high {
                let smooth = (context / wavelength - low) / (high - low);
                plain / ((1.0 - smooth) / factor + smooth)
            } else {
                plain
            }
        };
        let plain = (0..dims / 2).map(|pair| base.powf((2 * pair) as f64 / dims as f64));
        let wavelengths: Vec<f32> = plain.map(|plain| stretch(plain) as f32).collect();
        Ok(Frequencies::Given(Array::from_slice(&wavelengths, &[wavelengths.len() as i32])))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rope(dims: usize, config: Value) -> Result<Rope> {
        serde_json::from_value::<RopeArgs>(config).expect("fields of the right type").rope(dims, 10_000.0)
    }

    fn wavelengths(rope: Rope) -> Vec<f32> {
        match rope.0.frequencies {
            Frequencies::Given(array) => ops::to_vec(&array).expect("numbers"),
            Frequencies::Base(base) => panic!("a base of {base}, no wavelengths"),
        }
    }

    #[test]
    fn theta_and_scaling_are_found_wherever_they_are_written() {
        let scaled = json!({ "rope_type": "llama3", "factor": 8.0, "rope_theta": 500_000.0 });
        let flat = json!({ "rope_theta": 500_000.0, "rope_scaling": { "type": "llama3", "factor": 8.0 } });
        let both = json!({ "rope_theta": 500_000.0, "rope_scaling": { "type": "llama3", "rope_type": "llama3", "factor": 8.0 } });
        let expected = wavelengths(rope(64, flat).expect("a rope"));
        assert_eq!(expected[0], 1.0);
        assert!((expected[31] / (8.0 * 500_000_f32.powf(62.0 / 64.0)) - 1.0).abs() < 1e-5);
        for config in [json!({ "rope_parameters": scaled }), both] {
            assert_eq!(wavelengths(rope(64, config).expect("a rope")), expected);
        }
    }

    #[test]
    fn what_cannot_be_turned_is_refused() {
        let cases = [
            (15, json!({}), "head_dim"),
            (0, json!({}), "head_dim"),
            (16, json!({ "rope_theta": 0.0 }), "rope_theta"),
            (16, json!({ "rope_scaling": { "rope_type": "yarn" } }), "\"yarn\""),
            (16, json!({ "rope_scaling": { "type": "linear" } }), "factor"),
            (16, json!({ "rope_scaling": { "type": "llama3", "factor": -1.0 } }), "factor"),
            (
                16,
                json!({ "rope_scaling": { "type": "llama3", "factor": 8.0, "high_freq_factor": 1.0 } }),
                "high_freq_factor",
            ),
        ];
        for (dims, config, culprit) in cases {
            let message = rope(dims, config.clone()).expect_err("a refusal").message;
            assert!(message.starts_with("config.json: ") && message.contains(culprit), "{config}: {message}");
        }
    }
}
