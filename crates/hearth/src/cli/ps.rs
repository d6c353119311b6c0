//! `hearth ps`: the models that are loaded.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::answers::{Loaded, Status};
use super::words::{Side, size, span, table};
use super::{client, ended, say_answer};

const AFTER_HELP: &str = "\
Examples:
  hearth ps
  hearth ps --json";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Print the API's JSON object, that of `hearth status`
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let answer = client::server()?.get("/status")?;
    say_answer(&answer, arguments.json, |answer| Ok(list(&client::read(answer)?)))
}

/// The models that are loaded, or load.
pub(super) fn list(status: &Status) -> String {
    let loaded: Vec<_> = status.models.iter().filter(|model| model.state != "unloaded").map(row).collect();
    if loaded.is_empty() {
        return "No model is loaded; the first request for one loads it.\n".to_owned();
    }
    let head = [
        ("NAME", Side::Left),
        ("STATE", Side::Left),
        ("MEMORY", Side::Right),
        ("UNLOADED", Side::Left),
        ("RUNNING", Side::Right),
        ("WAITING", Side::Right),
    ];
    table(head, &loaded)
}

fn row(model: &Loaded) -> [String; 6] {
    let (running, waiting) = (model.running.to_string(), model.queued.to_string());
    [model.id.clone(), state(model), size(memory(model)), unloads(model), running, waiting]
}

pub(super) fn state(model: &Loaded) -> String {
    match model.state.as_str() {
        "loading" => format!("loading {:.0} %", model.progress.unwrap_or(0.0) * 100.0),
        state => state.to_owned(),
    }
}

pub(super) fn memory(model: &Loaded) -> u64 {
    model.memory.weights + model.memory.kept + model.memory.running
}

/// When it will be unloaded, if nobody uses it.
pub(super) fn unloads(model: &Loaded) -> String {
    match model.unloads_in {
        _ if model.pinned => "never (pinned)".to_owned(),
        Some(seconds) => format!("in {}", span(seconds as u64)),
        None => "on demand".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn loaded_models_are_told_with_what_they_take() {
        let answer = json!({"models": [
            {"id": "ember", "state": "answering", "memory": {"weights": 5_000_000, "kept": 1_000_000, "running": 500_000},
             "running": 2, "queued": 1},
            {"id": "qwen3-4b-4bit", "state": "loading", "progress": 0.424, "pinned": true},
            {"id": "phi-4", "state": "ready", "memory": {"weights": 8_000_000_000_u64}, "unloads_in": 599.2},
            {"id": "gone", "state": "unloaded"},
        ]});
        let expected = "\
NAME           STATE         MEMORY  UNLOADED        RUNNING  WAITING
ember          answering     6.5 MB  on demand             2        1
qwen3-4b-4bit  loading 42 %  0.0 kB  never (pinned)        0        0
phi-4          ready         8.0 GB  in 9 min              0        0
";
        assert_eq!(list(&client::read(&answer).unwrap()), expected);
        assert!(list(&Status::default()).starts_with("No model is loaded"));
    }
}
