//! The names under which a model is found.

use hearth_core::model::DEFAULT_NAMES;
use hearth_core::{Error, ErrorKind};

use crate::spec::ModelSpec;

/// Characters of an unknown model's name that an error repeats, and names of models that it tells.
const LONGEST_NAME_SHOWN: usize = 128;
const MOST_NAMES_SHOWN: usize = 20;

/// How well the model answers to `name`, 0 the best: it is its API name, an alias, its source, or the last segment of
/// that, in any case; `None`: not at all.
pub(crate) fn rank(spec: &ModelSpec, name: &str) -> Option<usize> {
    let source = spec.source.trim_end_matches('/');
    let segment = source.rsplit('/').next().unwrap_or(source);
    let name = name.to_lowercase();
    let is = |known: &str| known.to_lowercase() == name;
    let is_alias = spec.aliases.iter().any(|alias| is(alias));
    [is(&spec.id), is_alias, is(&spec.source), is(segment)].iter().position(|found| *found)
}

/// Whether `name` stands for the default model.
pub(crate) fn is_default(name: &str) -> bool {
    DEFAULT_NAMES.iter().any(|default| default.eq_ignore_ascii_case(name))
}

/// The error of a name that none of the models with these ids answers to.
pub(crate) fn unknown(name: &str, ids: &[String]) -> Error {
    let shown: String = name.chars().take(LONGEST_NAME_SHOWN).collect();
    let named: Vec<String> = ids.iter().take(MOST_NAMES_SHOWN).map(|id| format!("`{id}`")).collect();
    let installed = match (ids.len(), ids.len() - named.len()) {
        (0, _) => "no model is installed".to_owned(),
        (1, _) => format!("installed is {}", named[0]),
        (_, 0) => format!("installed are {}", named.join(", ")),
        (_, more) => format!("installed are {} and {more} more", named.join(", ")),
    };
    let message = format!("There is no model `{shown}` here; {installed}.");
    Error { kind: ErrorKind::ModelNotFound, message, param: Some("model".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_answers_to_its_names_in_any_case() {
        let spec = |source: &str| ModelSpec {
            id: "llama-3.2-3b-instruct".into(),
            source: source.into(),
            aliases: vec!["Small One".into()],
            ..ModelSpec::default()
        };
        let repo = spec("mlx-community/Llama-3.2-3B-Instruct-4bit");
        let folder = spec("/models/Llama 3.2 3B Instruct/");
        for (spec, name, expected) in [
            (&repo, "llama-3.2-3b-instruct", Some(0)),
            (&repo, "LLAMA-3.2-3B-INSTRUCT", Some(0)),
            (&repo, "small one", Some(1)),
            (&repo, "mlx-community/llama-3.2-3b-instruct-4bit", Some(2)),
            (&repo, "Llama-3.2-3B-Instruct-4bit", Some(3)),
            (&repo, "mlx-community", None),
            (&repo, "llama", None),
            (&repo, "", None),
            (&folder, "Llama 3.2 3B Instruct", Some(3)),
            (&folder, "/models/Llama 3.2 3B Instruct/", Some(2)),
        ] {
            assert_eq!(rank(spec, name), expected, "{name}");
        }
        for (name, expected) in [("", true), ("EMPTY", true), ("Default", true), ("gpt-4o", false)] {
            assert_eq!(is_default(name), expected, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_some_of_those_there_are() {
        let said = |count: usize| unknown("x", &(0..count).map(|n| format!("m{n}")).collect::<Vec<_>>()).message;
        assert_eq!(said(0), "There is no model `x` here; no model is installed.");
        assert_eq!(said(1), "There is no model `x` here; installed is `m0`.");
        assert_eq!(said(2), "There is no model `x` here; installed are `m0`, `m1`.");
        assert!(said(25).ends_with("`m19` and 5 more."), "{}", said(25));
        assert!(unknown(&"ü".repeat(1000), &[]).message.len() < 400);
    }
}
