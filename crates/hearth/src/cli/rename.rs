//! `hearth rename`: gives a model another name.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::answers::Model;
use super::words::plain;
use super::{client, ended, say_answer};

const AFTER_HELP: &str = "\
Clients send the name in lower case with hyphens for spaces. A model's Hugging Face id works as before.

Examples:
  hearth rename qwen3-4b-4bit \"My Qwen\"";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Model: its name, an alias, its Hugging Face id, or its folder
    model: String,

    /// Its new name, which no other model has
    #[arg(value_name = "NEW")]
    name: String,

    /// Print the API's JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let answer = client::connect()?.patch(&client::model(&arguments.model), &json!({"name": arguments.name}))?;
    say_answer(&answer, arguments.json, text)
}

fn text(answer: &Value) -> Result<String> {
    let Model { id, name, .. } = client::read(answer)?;
    Ok(format!("It is called {} now; clients send `{}`.\n", plain(&name), plain(&id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_are_told() {
        let told = text(&json!({"id": "my-qwen", "name": "My Qwen"})).unwrap();
        assert_eq!(told, "It is called My Qwen now; clients send `my-qwen`.\n");
    }
}
