//! `hearth show`: everything that is known of one model.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::answers::{Fit, Loaded, Model};
use super::words::{Side, ago, count, fields, size, table};
use super::{client, ended, ps, say_answer};
use crate::cache_dir::now;

const AFTER_HELP: &str = "\
Examples:
  hearth show ember
  hearth show mlx-community/Qwen3-4B-4bit --json";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Model: its name, an alias, its Hugging Face id, or its folder
    model: String,

    /// Print the API's JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let answer = client::connect_to_read()?.get(&client::model(&arguments.model))?;
    say_answer(&answer, arguments.json, text)
}

fn text(answer: &Value) -> Result<String> {
    let model: Model = client::read(answer)?;
    let files = files(&model.dir);
    let head = [("FILE", Side::Left), ("SIZE", Side::Right)];
    let list = if files.is_empty() { String::new() } else { format!("\n{}", table(head, &files)) };
    Ok(details(&model, now()) + &list)
}

fn details(model: &Model, now: u64) -> String {
    let yes = |is: bool| if is { "yes".to_owned() } else { String::new() };
    let used = match model.uses {
        0 => "never".to_owned(),
        uses => format!("{}, last {}", count(uses, "time"), ago(model.last_used, now)),
    };
    fields(&[
        ("Name", model.id.clone()),
        ("Shown as", Some(&model.name).filter(|name| **name != model.id).cloned().unwrap_or_default()),
        ("Aliases", model.aliases.join(", ")),
        ("Repository", model.repo.clone().unwrap_or_default()),
        ("Folder", model.dir.display().to_string()),
        ("Size", size(model.bytes)),
        ("Architecture", architecture(model)),
        ("State", state(model)),
        ("Loaded", model.loaded.as_ref().map(loaded).unwrap_or_default()),
        ("Default", yes(model.is_default)),
        ("Pinned", yes(model.pinned)),
        ("Used", used),
        ("Settings", settings(model)),
        ("Fit", model.fit.as_ref().map(fit).unwrap_or_default()),
    ])
}

fn architecture(model: &Model) -> String {
    let bits = model.bits.map(|bits| format!("{bits} bits"));
    [model.model_type.clone(), bits].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn state(model: &Model) -> String {
    let reason = model.state.reason.as_ref().map(|reason| format!(": {reason}"));
    model.state.value.clone() + &reason.unwrap_or_default()
}

fn loaded(loaded: &Loaded) -> String {
    let unloads = ps::unloads(loaded);
    format!("{}, {}, unloaded {unloads}", ps::state(loaded), size(ps::memory(loaded)))
}

/// What a person has set; the rest is the model's own.
fn settings(model: &Model) -> String {
    let set = model.settings.iter().filter(|(_, value)| !value.is_null());
    set.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

fn fit(fit: &Fit) -> String {
    let speed = fit.tokens_per_second.map(|speed| format!(" About {speed:.0} tokens a second."));
    fit.sentence.clone() + &speed.unwrap_or_default()
}

/// Names and sizes of the folder's files; none where it cannot be read.
fn files(dir: &Path) -> Vec<[String; 2]> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    // Files of Hugging Face's cache are links.
    let mut files: Vec<[String; 2]> = entries
        .filter_map(|entry| Some((entry.file_name(), fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file)?)))
        .map(|(name, file)| [name.to_string_lossy().into_owned(), size(file.len())])
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_is_told_with_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        let answer = json!({
            "id": "my-model", "name": "My Model", "source": "a/b", "repo": "a/b", "dir": dir.path(), "bytes": 2_260_000_000_u64,
            "model_type": "qwen3", "bits": 4, "state": {"value": "damaged", "reason": "a shard is cut."},
            "loaded": {"id": "my-model", "state": "ready", "memory": {"weights": 2_000_000_000_u64, "kept": 400_000_000},
                       "unloads_in": 540.5},
            "default": true, "pinned": false, "settings": {"temperature": 0.3, "top_p": null}, "aliases": ["gpt-4o", "x"],
            "uses": 3, "last_used": 0, "fit": {"sentence": "It fits well.", "tokens_per_second": 61.7}, "builtin": false,
        });
        let expected = format!(
            "\
Name          my-model
Shown as      My Model
Aliases       gpt-4o, x
Repository    a/b
Folder        {}
Size          2.3 GB
Architecture  qwen3, 4 bits
State         damaged: a shard is cut.
Loaded        ready, 2.4 GB, unloaded in 9 min
Default       yes
Used          3 times, last {} ago
Settings      temperature 0.3
Fit           It fits well. About 62 tokens a second.

FILE           SIZE
config.json  0.0 kB
",
            dir.path().display(),
            crate::cli::words::span(now())
        );
        assert_eq!(text(&answer).unwrap(), expected);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let told =
            text(&json!({"id": "ember", "name": "ember", "dir": "/no/such", "state": {"value": "ready"}})).unwrap();
        assert_eq!(
            told,
            "Name          ember\nFolder        /no/such\nSize          0.0 kB\nState         ready\nUsed          never\n"
        );
    }
}
