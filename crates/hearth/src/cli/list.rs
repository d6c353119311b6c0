//! `hearth list`: the models on this machine.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::answers::{Model, Models};
use super::words::{Side, ago, plain, size, table};
use super::{client, ended, say_answer};
use crate::cache_dir::now;

const AFTER_HELP: &str = "\
It shows what `hearth pull` and Hugging Face's tools have downloaded, LM Studio's models, and the folders
that were added in the settings; also what is not whole. `hearth show MODEL` says why.

Examples:
  hearth list
  hearth list --json";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Print the API's JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let answer = client::connect_to_read()?.get("/models")?;
    say_answer(&answer, arguments.json, text)
}

fn text(answer: &Value) -> Result<String> {
    let Models { models, silent_folders } = client::read(answer)?;
    let silent: String = silent_folders.iter().map(|folder| format!("\n{}.\n", plain(&folder.reason))).collect();
    if models.is_empty() {
        let none = "No models yet: `hearth search WORDS` finds some, `hearth pull REPO` downloads one.\n";
        return Ok(none.to_owned() + &silent);
    }
    let head = [
        ("NAME", Side::Left),
        ("SIZE", Side::Right),
        ("BITS", Side::Right),
        ("STATE", Side::Left),
        ("USED", Side::Left),
    ];
    let now = now();
    Ok(table(head, &models.iter().map(|model| row(model, now)).collect::<Vec<_>>()) + &silent)
}

fn row(model: &Model, now: u64) -> [String; 5] {
    let bits = model.bits.map_or_else(String::new, |bits| bits.to_string());
    let state = if model.loaded.is_some() { "loaded" } else { &model.state.value };
    [model.id.clone(), size(model.bytes), bits, state.to_owned(), ago(model.last_used, now)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_model_is_one_line() {
        let answer = json!({"models": [
            {"id": "ember", "bytes": 1_300_000, "state": {"value": "ready"}, "loaded": {"state": "ready"}, "last_used": now()},
            {"id": "qwen3-4b-4bit", "bytes": 2_260_000_000_u64, "bits": 4, "state": {"value": "partial", "reason": "x"},
             "loaded": null, "last_used": null},
        ]});
        let expected = "\
NAME             SIZE  BITS  STATE    USED
ember          1.3 MB        loaded   0 s ago
qwen3-4b-4bit  2.3 GB     4  partial  never
";
        assert_eq!(text(&answer).unwrap(), expected);
        let none = json!({"models": [], "silent_folders": [{"path": "/away", "reason": "/away has not answered"}]});
        let said = text(&none).unwrap();
        assert!(said.contains("hearth pull REPO") && said.ends_with("\n\n/away has not answered.\n"), "{said}");
        assert!(text(&json!({"data": []})).is_err());
    }
}
