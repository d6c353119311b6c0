//! What the engine is told of the library's models.

use std::time::Duration;

use hearth_core::{model::KeepAlive, sampling::SamplingOverrides};
use hearth_engine::{ModelSettings, ModelSpec};

use crate::library::Model;

/// The models that were named, as the library knows them where it does, then its others that can be used.
pub(super) fn merge(named: &[ModelSpec], models: &[Model]) -> Vec<ModelSpec> {
    let mut specs: Vec<ModelSpec> = Vec::new();
    for spec in named {
        specs.push(models.iter().find(|model| model.dir == spec.dir).map_or_else(|| spec.clone(), spec_of));
    }
    for model in models.iter().filter(|model| model.is_ready()) {
        if specs.iter().all(|spec| spec.dir != model.dir) {
            specs.push(spec_of(model));
        }
    }
    specs
}

fn spec_of(model: &Model) -> ModelSpec {
    let settings = &model.settings;
    ModelSpec {
        id: model.id.clone(),
        name: Some(model.name.clone()),
        source: model.source.clone(),
        aliases: model.aliases.clone(),
        dir: model.dir.clone(),
        weight_bytes: model.weights,
        settings: ModelSettings {
            context: settings.context_length.and_then(|tokens| usize::try_from(tokens).ok()),
            chat_template: settings.chat_template.clone().map(Into::into),
            sampling: SamplingOverrides {
                temperature: settings.temperature,
                top_p: settings.top_p,
                top_k: settings.top_k,
                min_p: settings.min_p,
                repetition_penalty: settings.repetition_penalty,
                ..SamplingOverrides::default()
            },
            keep_alive: settings.keep_alive.map(|seconds| match u64::try_from(seconds) {
                Ok(seconds) => KeepAlive::For(Duration::from_secs(seconds)),
                Err(_) => KeepAlive::Forever,
            }),
            pinned: model.pinned,
        },
    }
}
