//! `hearth rm`: removes a model's files.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::answers::{Model, Removed};
use super::words::{plain, size};
use super::{client, confirmed, ended, say, say_answer};

const AFTER_HELP: &str = "\
Files that another model or another revision uses stay, so what is freed may be less than the model's size.

Examples:
  hearth rm qwen3-4b-4bit
  hearth rm mlx-community/Qwen3-4B-4bit --yes";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Model to remove: its name, an alias, its Hugging Face id, or its folder
    model: String,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Remove it also while it answers; those answers end with an error
    #[arg(long)]
    force: bool,

    /// Print the API's JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let (client, path) = (client::connect()?, client::model(&arguments.model));
    if !arguments.yes {
        let model: Model = client::read(&client.get(&path)?)?;
        if !confirmed(&question(&model), &format!("hearth rm {} --yes", arguments.model))? {
            return say("Nothing was removed.\n");
        }
    }
    let force = if arguments.force { "?force=true" } else { "" };
    say_answer(&client.delete(&(path + force))?, arguments.json, text)
}

fn question(model: &Model) -> String {
    format!("Remove {} ({}) from {}?", plain(&model.id), size(model.bytes), plain(&model.dir.to_string_lossy()))
}

fn text(answer: &Value) -> Result<String> {
    let Removed { id, freed_bytes } = client::read(answer)?;
    Ok(format!("Removed {}, {} freed.\n", plain(&id), size(freed_bytes)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_says_what_goes_and_what_is_freed() {
        let model = Model { id: "phi-4".into(), bytes: 8_000_000_000, dir: "/models/phi-4".into(), ..Model::default() };
        assert_eq!(question(&model), "Remove phi-4 (8.0 GB) from /models/phi-4?");
        let answer = json!({"id": "phi-4", "freed_bytes": 7_990_000_000_u64});
        assert_eq!(text(&answer).unwrap(), "Removed phi-4, 8.0 GB freed.\n");
    }
}
