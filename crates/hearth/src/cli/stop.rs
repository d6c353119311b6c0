//! `hearth stop`: unloads a model. The next request for it loads it again.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{client, ended, say_answer};

const AFTER_HELP: &str = "\
Examples:
  hearth stop mlx-community/Qwen3-4B-4bit
  hearth stop qwen3-4b-4bit --force";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Model that gives its memory back
    model: String,

    /// Also where it is answering: its requests end with an error
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
    let body = json!({"model": arguments.model, "force": arguments.force});
    let answer = client::server()?.post("/unload", &body)?;
    say_answer(&answer, arguments.json, |answer| {
        let id = answer["model"].as_str().unwrap_or(&arguments.model);
        Ok(format!("{id} is unloaded; the next request for it loads it again.\n"))
    })
}
