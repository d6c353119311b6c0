//! The models that Hearth recommends: a list that comes with the program, so that there is something to choose from without a
//! network.
//!
//! `catalog.json` gives of each model's `config.json` what decides how it fits. Sizes of files were looked up where they are
//! published, else they follow from the shapes, and are marked `estimated`. Architectures that this build cannot run are
//! listed too: whoever shows the list asks [`Model::runs`]. Gemma 3's files hold its table of words twice, once as the output layer.

use std::sync::LazyLock;

use hearth_core::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fit::Needs;

/// A model of the catalog, in the formats in which it can be had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in the catalog (`qwen3-8b`).
    pub id: String,
    /// Its name for people (`Qwen3 8B`).
    pub name: String,
    /// Whose relatives they are (`Qwen3`).
    pub family: String,
    /// What it is good for, in a line.
    pub description: String,
    /// The SPDX name of its licence, or the name that its makers gave it.
    pub licence: String,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// Numbers that were learned; as its makers round them where this build cannot count them.
    pub parameters: u64,
    /// As many of them as are at work for a token.
    pub active_parameters: u64,
    /// The formats, smallest first.
    pub variants: Vec<Variant>,
    /// What of its `config.json` decides how it fits.
    pub config: Value,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// It holds a conversation.
    Chat,
    /// It was made for writing code.
    Code,
    /// It can think before it answers.
    Reasoning,
    /// It calls tools.
    Tools,
    /// It sees pictures.
    Vision,
}

/// A model in one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The repository's id.
    pub repo: String,
    /// How its weights are quantized.
    pub format: Format,
    /// Bytes of its weights.
    pub bytes: u64,
    /// Whether the bytes follow from the shapes, and were not looked up.
    pub estimated: bool,
}

/// How weights are quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// 4 bits in groups of 64.
    #[serde(rename = "4bit")]
    Four,
    /// 8 bits in groups of 64.
    #[serde(rename = "8bit")]
    Eight,
    /// Experts in 4-bit floats, everything else in 8 bits.
    #[serde(rename = "mxfp4-q8")]
    Mixed,
}

/// The catalog, smallest model first.
pub fn models() -> &'static [Model] {
    static MODELS: LazyLock<Vec<Model>> =
        LazyLock::new(|| serde_json::from_str(include_str!("../catalog.json")).expect("a test reads this very text"));
    &MODELS
}

/// The model, and the variant of it, that the repository holds.
pub fn find(repo: &str) -> Option<(&'static Model, &'static Variant)> {
    let variants = models().iter().flat_map(|model| model.variants.iter().map(move |variant| (model, variant)));
    variants.into_iter().find(|(_, variant)| variant.repo.eq_ignore_ascii_case(repo))
}

impl Model {
    /// `model_type` of its `config.json`.
    pub fn model_type(&self) -> &str {
        self.config["model_type"].as_str().unwrap_or_default()
    }

    /// Whether a build that knows these architectures runs it; else it is still to come.
    pub fn runs(&self, known: &[&str]) -> bool {
        known.contains(&self.model_type())
    }

    /// What one of its variants asks of a machine. `kv_bits`: 4 or 8, for a packed cache.
    pub fn needs(&self, variant: &Variant, kv_bits: Option<u8>) -> Result<Needs> {
        let mut config = self.config.clone();
        config["quantization"] = variant.format.quantization(&config);
        let mut needs = Needs::new(&config, Some(variant.bytes), kv_bits)?;
        if needs.parameters.is_none() {
            let share = self.active_parameters as f64 / self.parameters as f64;
            needs.active = (variant.bytes as f64 * share) as u64;
        }
        Ok(needs)
    }
}

impl Format {
    /// As `quantization` of the `config.json` of such a variant says it.
    fn quantization(self, config: &Value) -> Value {
        let common = |bits: u64| json!({"group_size": 64, "bits": bits});
        match self {
            Self::Four => common(4),
            Self::Eight => common(8),
            Self::Mixed => {
                let mut mixed = common(8);
                for layer in 0..config["num_hidden_layers"].as_u64().unwrap_or(0) {
                    for name in ["gate_proj", "up_proj", "down_proj"] {
                        mixed[format!("model.layers.{layer}.mlp.experts.{name}")] = json!({"mode": "mxfp4"});
                    }
                }
                mixed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::fit::{Machine, Verdict, fit};

    fn off(one: u64, other: u64) -> f64 {
        one.abs_diff(other) as f64 / other as f64
    }

    fn variants() -> impl Iterator<Item = (&'static Model, &'static Variant)> {
        models().iter().flat_map(|model| model.variants.iter().map(move |variant| (model, variant)))
    }

    /// What follows from the shapes alone.
    fn implied(model: &Model, variant: &Variant) -> Option<Needs> {
        let mut config = model.config.clone();
        config["quantization"] = variant.format.quantization(&config);
        Needs::new(&config, None, None).ok()
    }

    #[test]
    fn there_are_models_of_every_size() {
        assert!((40..=50).contains(&models().len()), "{}", models().len());
        assert!(models().is_sorted_by_key(|model| model.parameters));
        assert!(models().first().unwrap().parameters < 600_000_000);
        assert!(models().last().unwrap().parameters > 110_000_000_000);
    }

    #[test]
    fn names_are_there_once() {
        let (mut ids, mut names, mut repos) = (HashSet::new(), HashSet::new(), HashSet::new());
        for model in models() {
            assert!(ids.insert(&model.id), "{}", model.id);
            assert!(names.insert(model.name.to_lowercase()), "{}", model.name);
        }
        for (_, variant) in variants() {
            assert!(repos.insert(variant.repo.to_lowercase()), "{}", variant.repo);
        }
    }

    #[test]
    fn fields_are_filled_and_in_range() {
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        for model in models() {
            let id = &model.id;
            assert!(plain(id) && id.chars().all(|c| !c.is_uppercase()), "{id}");
            assert!(!model.name.is_empty() && !model.family.is_empty() && !model.licence.is_empty(), "{id}");
            assert!(model.description.ends_with('.') && model.description.len() < 100, "{id}");
            assert!(model.capabilities.contains(&Capability::Chat), "{id}");
            assert!((1..=model.parameters).contains(&model.active_parameters), "{id}");
            assert!(model.variants.is_sorted_by_key(|variant| variant.bytes) && !model.variants.is_empty(), "{id}");
        }
        for (model, variant) in variants() {
            let (owner, name) = variant.repo.split_once('/').unwrap();
            assert!(plain(owner) && plain(name), "{}", variant.repo);
            let bits = (variant.bytes - second_table(model, variant)) as f64 * 8.0 / model.parameters as f64;
            let expected = if variant.format == Format::Eight { 8.0..9.5 } else { 4.0..5.4 };
            assert!(expected.contains(&bits), "{}: {bits} bits a number", variant.repo);
        }
    }

    #[test]
    fn figures_agree_with_the_shapes() {
        let mut counted = 0;
        for (model, variant) in variants() {
            let Some(implied) = implied(model, variant) else {
                assert!(!variant.estimated, "{}: nobody can estimate it", variant.repo);
                continue;
            };
            counted += 1;
            let weights = implied.weights + second_table(model, variant);
            assert!(off(variant.bytes, weights) < 0.02, "{}: {weights}", variant.repo);
            let (parameters, active) = implied.parameters.unwrap();
            assert!(off(model.parameters, parameters) < 0.001, "{}: {parameters}", model.id);
            assert!(off(model.active_parameters, active) < 0.001, "{}: {active}", model.id);
        }
        assert!(counted > 70, "{counted}");
    }

    /// Bytes of the output layer where it is written down though it is the table of words.
    fn second_table(model: &Model, variant: &Variant) -> u64 {
        if model.model_type() != "gemma3_text" {
            return 0;
        }
        let size = |name: &str| model.config[name].as_u64().unwrap();
        let (numbers, bits) =
            (size("vocab_size") * size("hidden_size"), if variant.format == Format::Four { 9 } else { 17 });
        // A scale and a bias of 16 bits for each 64 numbers: half a bit each.
        numbers * bits / 16
    }

    #[test]
    fn who_is_promised_that_a_model_fits_has_room_for_its_smallest_variant() {
        let mut promised = 0;
        for model in models() {
            let Some((before, _)) = model.description.split_once(" GB") else { continue };
            let memory: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
            let system = format!("machdep.cpu.brand_string: Apple M4\nhw.memsize: {}\n", memory << 30);
            let machine = Machine::from_sysctl(&system).unwrap();
            let needs = model.needs(&model.variants[0], None).unwrap();
            let fit = fit(&needs, &machine);
            assert_ne!(fit.verdict, Verdict::WillNotFit, "{}: {}", model.id, fit.sentence);
            promised += 1;
        }
        assert!(promised > 10, "{promised}");
    }

    #[test]
    fn every_variant_fits_some_machine_and_is_of_its_speed() {
        let largest = Machine { chip: None, limit: 400 << 30, bandwidth: Some(819e9), gpu: true };
        for (model, variant) in variants() {
            let needs = model.needs(variant, None).unwrap();
            let fit = fit(&needs, &largest);
            assert_eq!((fit.largest_context, fit.weights), (needs.context, variant.bytes), "{}", variant.repo);
            assert!(needs.active < needs.weights || model.active_parameters == model.parameters, "{}", variant.repo);
            assert!(fit.tokens_per_second.unwrap() > 5.0, "{}", variant.repo);
        }
    }

    #[test]
    fn a_variant_is_found_by_its_repository() {
        let (model, variant) = find("MLX-Community/qwen3-8b-8bit").unwrap();
        assert_eq!((model.id.as_str(), variant.format), ("qwen3-8b", Format::Eight));
        assert!(find("mlx-community/nothing").is_none());
    }

    #[test]
    fn what_runs_depends_on_the_build() {
        let (model, _) = find("mlx-community/Qwen3-8B-4bit").unwrap();
        assert!(model.runs(&["llama", "qwen3"]) && !model.runs(&["llama"]));
    }
}
