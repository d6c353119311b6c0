//! The names under which a model is found.

use hearth_core::model::ModelCard;

/// Names that mean the default model, as clients send them that have to send something.
const DEFAULTS: [&str; 3] = ["", "EMPTY", "default"];

/// Whether the model answers to `name`: its API name, its source, or the last segment of that, in any case.
pub(crate) fn answers_to(card: &ModelCard, name: &str) -> bool {
    let source = card.source.trim_end_matches('/');
    let segment = source.rsplit('/').next().unwrap_or(source);
    let name = name.to_lowercase();
    [card.id.as_str(), card.source.as_str(), segment].iter().any(|known| known.to_lowercase() == name)
}

/// Whether `name` stands for the default model.
pub(crate) fn is_default(name: &str) -> bool {
    DEFAULTS.iter().any(|default| default.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_answers_to_its_names_in_any_case() {
        let card = |source: &str| ModelCard {
            id: "llama-3.2-3b-instruct".into(),
            source: source.into(),
            created: 0,
            context_length: None,
        };
        let repo = card("mlx-community/Llama-3.2-3B-Instruct-4bit");
        let folder = card("/models/Llama 3.2 3B Instruct/");
        for (card, name, expected) in [
            (&repo, "llama-3.2-3b-instruct", true),
            (&repo, "LLAMA-3.2-3B-INSTRUCT", true),
            (&repo, "mlx-community/llama-3.2-3b-instruct-4bit", true),
            (&repo, "Llama-3.2-3B-Instruct-4bit", true),
            (&repo, "mlx-community", false),
            (&repo, "llama", false),
            (&repo, "", false),
            (&folder, "Llama 3.2 3B Instruct", true),
            (&folder, "/models/Llama 3.2 3B Instruct/", true),
        ] {
            assert_eq!(answers_to(card, name), expected, "{name}");
        }
        for (name, expected) in [("", true), ("EMPTY", true), ("Default", true), ("gpt-4o", false)] {
            assert_eq!(is_default(name), expected, "{name}");
        }
    }
}
