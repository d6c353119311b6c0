//! Where a model folder keeps its chat template, and the one tag that minijinja does not know.

use std::path::Path;

use hearth_core::{Error, Result};
use serde_json::Value;

use super::{DEFAULT, TOOL_USE};
use crate::tokenizer::{object, read_file};

/// A template's text.
pub(super) struct Source {
    /// `default`, `tool_use`, …
    pub(super) name: String,
    pub(super) text: String,
    /// Where it was found, for messages; begins a sentence.
    pub(super) origin: String,
}

/// The templates of a model folder, none if it has none. Files of their own come before tokenizer_config.json, and that
/// before the file that models with pictures have beside it.
pub(super) fn find(dir: &Path) -> Result<Vec<Source>> {
    let files = [(DEFAULT, "chat_template.jinja"), (TOOL_USE, "additional_chat_templates/tool_use.jinja")];
    let mut sources = Vec::new();
    for (name, file) in files {
        let path = dir.join(file);
        if path.exists() {
            let origin = path.display().to_string();
            let text = String::from_utf8(read_file(&path)?)
                .map_err(|_| Error::model_load(format!("{origin} is not UTF-8 text.")))?;
            sources.push(Source { name: name.into(), text, origin });
        }
    }
    if sources.iter().any(|source| source.name == DEFAULT) {
        return Ok(sources);
    }
    for file in ["tokenizer_config.json", "chat_template.json"] {
        let found = in_json(&dir.join(file), object(dir, file)?.get("chat_template").unwrap_or(&Value::Null))?;
        if !found.is_empty() {
            sources.extend(found);
            break;
        }
    }
    Ok(sources)
}

fn in_json(path: &Path, value: &Value) -> Result<Vec<Source>> {
    let origin = format!("chat_template of {}", path.display());
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into(), origin: origin.clone() };
    let named = |item: &Value| Some(source(item.get("name")?.as_str()?, item.get("template")?.as_str()?));
    let sources = match value {
        Value::Null => Some(Vec::new()),
        Value::String(text) => Some(vec![source(DEFAULT, text)]),
        Value::Array(items) => items.iter().map(named).collect(),
        _ => None,
    };
    sources.ok_or_else(|| Error::model_load(format!("{origin} is neither a text nor a list of named texts.")))
}

/// The text as minijinja takes it: line ends as Jinja makes them, and no tag that it does not know.
///
/// transformers marks what the assistant wrote by `{% generation %}…{% endgeneration %}`; the contents stay. The tags
/// become an `if` that holds, so that white space around them is treated as around any tag.
pub(super) fn prepared(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut result = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        result.push_str(before);
        rest = tag;
        let name = tag.trim_start_matches(['-', '+']).trim_start();
        for (from, to) in [("generation", "if true"), ("endgeneration", "endif")] {
            if let Some(after) = name.strip_prefix(from).filter(|after| ends_tag(after)) {
                result.push_str(&tag[..tag.len() - name.len()]);
                result.push_str(to);
                rest = after;
            }
        }
    }
    result + rest
}

fn ends_tag(text: &str) -> bool {
    text.trim_start().trim_start_matches(['-', '+']).starts_with("%}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_tags_and_line_ends_are_replaced() {
        for (text, expected) in [
            ("{% generation %}x{% endgeneration %}", "{% if true %}x{% endif %}"),
            ("{%- generation -%} x {%-endgeneration-%}", "{%- if true -%} x {%-endif-%}"),
            (
                "{% generation_x %}{{ generation }}{% set generation = 1 %}",
                "{% generation_x %}{{ generation }}{% set generation = 1 %}",
            ),
            ("{%", "{%"),
            ("a\r\nb\rc", "a\nb\nc"),
        ] {
            assert_eq!(prepared(text), expected);
        }
    }
}
