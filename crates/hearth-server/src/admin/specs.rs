//! What the engine is told of the library's models.

use std::path::Path;

use hearth_core::sampling::SamplingOverrides;
use hearth_engine::{ModelSettings, ModelSpec};

use super::keep_alive;
use crate::library::Model;

/// The models that were named, as the library knows them where it does, then its others that can be used. A named one that
/// is gone, as `is_gone` says of its folder, is left out.
pub(super) fn merge(named: &[ModelSpec], models: &[Model], is_gone: impl Fn(&Path) -> bool) -> Vec<ModelSpec> {
    let mut specs: Vec<ModelSpec> = Vec::new();
    for spec in named {
        match models.iter().find(|model| model.dir == spec.dir) {
            Some(model) => specs.push(spec_of(model)),
            None if is_gone(&spec.dir) => {}
            None => specs.push(spec.clone()),
        }
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
            keep_alive: settings.keep_alive.map(keep_alive),
            pinned: model.pinned,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_was_named_is_offered_until_it_is_gone() {
        let named = ["/here", "/gone"].map(|dir| ModelSpec { dir: dir.into(), ..ModelSpec::default() });
        assert_eq!(merge(&named, &[], |dir| dir == Path::new("/gone")), named[..1]);
    }
}
