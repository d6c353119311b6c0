//! How the next token is chosen from the logits.

use serde::{Deserialize, Serialize};

/// Everything a sampler needs, resolved: what the request says, else the model's defaults, else Hearth's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplingParams {
    /// 0 takes the likeliest token; else logits are divided by it.
    pub temperature: f32,
    /// Keep the likeliest tokens whose probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep tokens at least this share as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens seen in the last [`SamplingParams::REPETITION_WINDOW`]; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of each token that the answer already holds (OpenAI's definition); 0 is off.
    pub presence_penalty: f32,
    /// Subtracted times the token's count in the answer (OpenAI's definition); 0 is off.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Makes the answer repeatable, alone or in a batch; `None` draws a fresh one.
    pub seed: Option<u64>,
    /// Report the chosen token's log-probability and those of this many alternatives.
    pub logprobs: Option<u8>,
}

impl SamplingParams {
    /// How many of the last tokens, prompt included, the repetition penalty looks at.
    pub const REPETITION_WINDOW: usize = 64;
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
            logprobs: None,
        }
    }
}

/// The same fields where each may be left to someone else: a request's wishes, or a model's `generation_config.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is that of SamplingParams")]
pub struct SamplingOverrides {
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<u32>,
    pub min_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub logit_bias: Vec<(u32, f32)>,
    pub seed: Option<u64>,
    pub logprobs: Option<u8>,
}

impl SamplingOverrides {
    /// These wishes, and those of `weaker` where these are silent. Biases, seed and log-probabilities are nobody's default.
    pub fn or(self, weaker: &SamplingOverrides) -> Self {
        Self {
            temperature: self.temperature.or(weaker.temperature),
            top_p: self.top_p.or(weaker.top_p),
            top_k: self.top_k.or(weaker.top_k),
            min_p: self.min_p.or(weaker.min_p),
            repetition_penalty: self.repetition_penalty.or(weaker.repetition_penalty),
            presence_penalty: self.presence_penalty.or(weaker.presence_penalty),
            frequency_penalty: self.frequency_penalty.or(weaker.frequency_penalty),
            ..self
        }
    }

    /// These wishes, else `defaults`, else Hearth's own.
    pub fn resolve(&self, defaults: &SamplingOverrides) -> SamplingParams {
        let (all, own) = (self.clone().or(defaults), SamplingParams::default());
        SamplingParams {
            temperature: all.temperature.unwrap_or(own.temperature),
            top_p: all.top_p.unwrap_or(own.top_p),
            top_k: all.top_k.unwrap_or(own.top_k),
            min_p: all.min_p.unwrap_or(own.min_p),
            repetition_penalty: all.repetition_penalty.unwrap_or(own.repetition_penalty),
            presence_penalty: all.presence_penalty.unwrap_or(own.presence_penalty),
            frequency_penalty: all.frequency_penalty.unwrap_or(own.frequency_penalty),
            logit_bias: all.logit_bias,
            seed: all.seed,
            logprobs: all.logprobs,
        }
    }
}
