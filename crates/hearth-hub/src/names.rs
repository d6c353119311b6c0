//! What models are called, and which one a name means.
//!
//! A model has a *source* (a repository's id, or a folder's path), a *display name* for people, and an *API name* for
//! clients. Nothing here remembers anything: that API names are unique, and stay what they are, is the store's matter.

use std::fmt;

use hearth_core::model::DEFAULT_NAMES;

/// The longest name that a person can give, in characters.
const MAX_CHARS: usize = 96;

/// As many names as an error lists.
const MAX_LISTED: usize = 8;

/// How alike two names are that may be meant for each other, from 0 to 1.
const ALIKE: f64 = 0.85;

/// The name by which clients call a model: its display name in lower case, spaces as hyphens, nothing else changed.
pub fn api_name(display: &str) -> String {
    display.to_lowercase().replace(' ', "-")
}

/// What people see until they choose a name: the last segment of the source. Its hyphens stay, so that the API name is
/// the segment that clients of other servers send.
pub fn display_name(source: &str) -> &str {
    let source = source.trim_end_matches('/');
    source.rsplit('/').next().unwrap_or(source)
}

/// A name that a person may give, trimmed; or why not, in one sentence. Whether it is free is the store's matter.
pub fn check(name: &str) -> Result<&str, BadName> {
    let name = name.trim();
    let reason = match name {
        _ if DEFAULT_NAMES.iter().any(|default| default.eq_ignore_ascii_case(name)) => {
            "clients mean the default model by it"
        }
        _ if name.chars().count() > MAX_CHARS => "it is longer than 96 characters",
        _ if name.contains('/') => "a slash stands between a repository's owner and name only",
        _ if name.chars().any(char::is_control) => "it holds a character that cannot be seen",
        _ => return Ok(name),
    };
    Err(BadName { name: name.escape_debug().take(MAX_CHARS).collect(), reason })
}

/// Why a model cannot be called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a model cannot be called `{name}`: {reason}; choose another name")]
pub struct BadName {
    name: String,
    reason: &'static str,
}

/// The names of one installed model.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Its API name.
    pub api_name: &'a str,
    /// A repository's id, or a folder's path.
    pub source: &'a str,
    /// What it answers to besides.
    pub aliases: &'a [String],
}

/// The position in `models` of the one that `name` means, in any case: by API name or alias, else by source, else by the
/// source's last segment.
pub fn resolve(name: &str, models: &[Names<'_>]) -> Result<usize, Unresolved> {
    let name = name.trim_end_matches('/').to_lowercase();
    let same = |other: &str| other.trim_end_matches('/').to_lowercase() == name;
    let find = |matches: &dyn Fn(&Names<'_>) -> bool| -> Vec<usize> {
        (0..models.len()).filter(|&position| matches(&models[position])).collect()
    };
    let found = [
        find(&|model| same(model.api_name) || model.aliases.iter().any(|alias| same(alias))),
        find(&|model| same(model.source)),
        find(&|model| same(display_name(model.source))),
    ];
    match found.iter().find(|found| !found.is_empty()).map(Vec::as_slice) {
        Some([one]) => Ok(*one),
        Some(several) => Err(Unresolved::ambiguous(&name, several, models)),
        None => Err(Unresolved::unknown(&name, models)),
    }
}

/// A name that means no model, or not just one. It displays as one sentence that lists what was perhaps meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// What was asked for, in lower case.
    pub name: String,
    /// API names: those that it could mean where it is ambiguous, else those that are like it, else any that there are.
    pub listed: Vec<String>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ambiguous,
    Misspelt,
    Unknown,
}

impl Unresolved {
    /// Whether there is no such model, rather than several.
    pub fn is_unknown(&self) -> bool {
        self.kind != Kind::Ambiguous
    }

    fn ambiguous(name: &str, positions: &[usize], models: &[Names<'_>]) -> Self {
        let listed = positions.iter().map(|&position| models[position].api_name.to_owned()).collect();
        Self { name: name.to_owned(), listed, kind: Kind::Ambiguous }
    }

    fn unknown(name: &str, models: &[Names<'_>]) -> Self {
        let mut close: Vec<(f64, &str)> = models.iter().map(|model| (likeness(name, model), model.api_name)).collect();
        close.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
        let alike = close.iter().take_while(|(likeness, _)| *likeness >= ALIKE).count();
        let (kind, listed) = if alike > 0 { (Kind::Misspelt, alike) } else { (Kind::Unknown, close.len()) };
        let listed = close[..listed.min(MAX_LISTED)].iter().map(|(_, name)| (*name).to_owned()).collect();
        Self { name: name.to_owned(), listed, kind }
    }
}

/// How alike `name`, in lower case, is to the model's likest name; one that holds the other is as alike as need be.
fn likeness(name: &str, model: &Names<'_>) -> f64 {
    let last = display_name(name);
    let of = |other: &str| {
        let other = other.to_lowercase();
        let within = last.len() >= 3 && (other.contains(last) || last.contains(&other));
        if within { 1.0 } else { strsim::jaro_winkler(last, &other) }
    };
    let names = [model.api_name, display_name(model.source)].into_iter();
    names.chain(model.aliases.iter().map(String::as_str)).map(of).fold(0.0, f64::max)
}

impl fmt::Display for Unresolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = self.listed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let shown: String = self.name.escape_debug().take(MAX_CHARS).collect();
        match self.kind {
            Kind::Ambiguous => write!(formatter, "`{shown}` could be any of {listed}; ask for one of these"),
            Kind::Misspelt => write!(formatter, "there is no model `{shown}`; perhaps you mean {listed}"),
            Kind::Unknown if listed.is_empty() => {
                write!(formatter, "there is no model `{shown}`, and none is installed")
            }
            Kind::Unknown => write!(formatter, "there is no model `{shown}`; there are {listed}"),
        }
    }
}

impl std::error::Error for Unresolved {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_names_are_lower_case_with_hyphens_and_otherwise_unchanged() {
        let vectors = [
            ("Llama 3.2 3B Instruct", "llama-3.2-3b-instruct"),
            ("Llama 3.2 1B Instruct", "llama-3.2-1b-instruct"),
            ("Qwen 2.5 7B Instruct", "qwen-2.5-7b-instruct"),
            ("Qwen 2.5 3B Instruct", "qwen-2.5-3b-instruct"),
            ("Gemma 2 9B Instruct", "gemma-2-9b-instruct"),
            ("Gemma 2 2B Instruct", "gemma-2-2b-instruct"),
            ("DeepSeek-R1 Distill 1.5B", "deepseek-r1-distill-1.5b"),
            ("OpenELM 3B (GPT-style)", "openelm-3b-(gpt-style)"),
        ];
        for (display, name) in vectors {
            assert_eq!(api_name(display), name);
        }
    }

    #[test]
    fn a_model_is_shown_by_its_sources_last_segment() {
        for (source, display, api) in [
            ("mlx-community/Llama-3.2-3B-Instruct-4bit", "Llama-3.2-3B-Instruct-4bit", "llama-3.2-3b-instruct-4bit"),
            ("/models/Tiny Llama 1B/", "Tiny Llama 1B", "tiny-llama-1b"),
            ("gpt2", "gpt2", "gpt2"),
            ("ember", "ember", "ember"),
        ] {
            assert_eq!((display_name(source), api_name(display_name(source)).as_str()), (display, api));
        }
    }

    #[test]
    fn a_name_of_ones_own_can_be_sent_as_one() {
        for good in ["My Model", "gpt-4o", "ein süßes Modell", "a:b", "llama(2)"] {
            assert_eq!(check(&format!(" {good} ")), Ok(good));
        }
        let long = "x".repeat(97);
        for bad in ["", "  ", "Default", "empty", "owner/name", "a\nb", "a\0b", long.as_str()] {
            let message = check(bad).unwrap_err().to_string();
            assert!(message.starts_with("a model cannot be called `") && !message.contains('\n'), "{message}");
        }
    }

    fn models<'a>(aliases: &'a [String]) -> [Names<'a>; 5] {
        let names = |api_name, source, aliases| Names { api_name, source, aliases };
        [
            names("llama-3.2-3b-instruct-4bit", "mlx-community/Llama-3.2-3B-Instruct-4bit", &[]),
            names("qwen3-4b", "mlx-community/Qwen3-4B", aliases),
            names("qwen3-4b-2", "other/Qwen3-4B", &[]),
            names("notes", "mlx-community/Phi-4", &[]),
            names("notes-2", "/models/Phi-4", &[]),
        ]
    }

    #[test]
    fn a_name_means_one_model_in_any_case() {
        let aliases = ["gpt-4o".to_owned(), "phi-4-mini".to_owned()];
        for (name, position) in [
            ("llama-3.2-3b-instruct-4bit", 0),
            ("LLAMA-3.2-3B-Instruct-4bit", 0),
            ("MLX-community/llama-3.2-3b-instruct-4BIT", 0),
            ("GPT-4o", 1),
            ("Qwen3-4B", 1),
            ("other/qwen3-4b", 2),
            ("qwen3-4b-2", 2),
            ("mlx-community/phi-4", 3),
            ("/models/Phi-4/", 4),
            ("notes-2", 4),
        ] {
            assert_eq!(resolve(name, &models(&aliases)), Ok(position), "{name}");
        }
    }

    #[test]
    fn what_is_unclear_is_answered_with_names() {
        let models = models(&[]);
        for (name, message) in [
            ("Phi-4", "`phi-4` could be any of `notes`, `notes-2`; ask for one of these"),
            ("qwen-3-4b", "there is no model `qwen-3-4b`; perhaps you mean `qwen3-4b`, `qwen3-4b-2`"),
            ("llama", "there is no model `llama`; perhaps you mean `llama-3.2-3b-instruct-4bit`"),
            (
                "someone/lama-3.2-3b-instruct-4bit",
                "there is no model `someone/lama-3.2-3b-instruct-4bit`; perhaps you mean `llama-3.2-3b-instruct-4bit`",
            ),
            (
                "a\nb",
                "there is no model `a\\nb`; there are `llama-3.2-3b-instruct-4bit`, `notes`, `notes-2`, `qwen3-4b`, `qwen3-4b-2`",
            ),
        ] {
            assert_eq!(resolve(name, &models).unwrap_err().to_string(), message);
        }
        assert_eq!(resolve("x", &[]).unwrap_err().to_string(), "there is no model `x`, and none is installed");
    }
}
