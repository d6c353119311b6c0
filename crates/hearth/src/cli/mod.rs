//! The command line: one file per command, each from its typed arguments to an exit code.

mod answers;
mod bars;
mod cache;
mod client;
mod doctor;
mod list;
mod local;
mod ps;
mod pull;
mod rename;
mod rm;
mod run;
mod search;
mod serve;
mod show;
mod status;
mod stop;
mod ui;
mod words;
mod worker;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use serde_json::Value;

const EXAMPLES: &str = "\
Examples:
  hearth serve                                    Serve Ember, the small built-in model
  hearth serve ~/models/Qwen3-4B-4bit             Serve a model's folder
  hearth pull mlx-community/Qwen3-4B-4bit         Download a model
  hearth serve mlx-community/Qwen3-4B-4bit        Serve it
  hearth run ember \"What is the capital of France?\"

Then point any OpenAI client at http://127.0.0.1:8080/v1.";

/// As shells report a program that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Runs language models on Apple's MLX and serves them to any client that speaks OpenAI's protocol
#[derive(Parser)]
#[command(name = "hearth", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a model over HTTP
    Serve(Box<serve::Arguments>),
    /// Ask a model one question and print its answer
    Run(run::Arguments),
    /// Download a model from the Hub
    Pull(pull::Arguments),
    /// List the models on this machine
    List(list::Arguments),
    /// Show all that is known of a model
    Show(show::Arguments),
    /// Remove a model's files
    Rm(rm::Arguments),
    /// Give a model another name
    Rename(rename::Arguments),
    /// Look for models on the Hub
    Search(search::Arguments),
    /// List the models that are loaded
    Ps(ps::Arguments),
    /// Unload a model
    Stop(stop::Arguments),
    /// Show the server that runs, its models and the downloads
    Status(status::Arguments),
    /// Open Hearth's page in the browser
    Ui(ui::Arguments),
    /// Show what is kept on disk of earlier conversations, or remove it
    Cache(cache::Arguments),
    /// Look for faults: how Hearth is set up, and whether a model's cached answers are its answers
    Doctor(doctor::Arguments),
    /// The process in which a server runs its model; it speaks over its standard input and output
    #[command(hide = true)]
    Worker(worker::Arguments),
}

/// The whole program: reads the arguments, runs the command, tells how it went.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(arguments) => serve::main(*arguments),
        Command::Run(arguments) => run::main(arguments),
        Command::Pull(arguments) => pull::main(arguments),
        Command::List(arguments) => list::main(arguments),
        Command::Show(arguments) => show::main(arguments),
        Command::Rm(arguments) => rm::main(arguments),
        Command::Rename(arguments) => rename::main(arguments),
        Command::Search(arguments) => search::main(arguments),
        Command::Ps(arguments) => ps::main(arguments),
        Command::Stop(arguments) => stop::main(arguments),
        Command::Status(arguments) => status::main(arguments),
        Command::Ui(arguments) => ui::main(arguments),
        Command::Cache(arguments) => cache::main(arguments),
        Command::Doctor(arguments) => doctor::main(arguments),
        Command::Worker(arguments) => worker::main(arguments),
    }
}

/// One sentence on standard error, with its causes.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("ERROR: {error:#}");
    ExitCode::FAILURE
}

/// Text on standard output. Whoever read it may have left; nothing is wrong then.
fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// The exit code of a command that prints what it has to say.
fn ended(result: Result<()>) -> ExitCode {
    result.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

/// An answer of the API: as it is for programs, or as `text` for people.
fn say_answer(answer: &Value, json: bool, text: impl FnOnce(&Value) -> Result<String>) -> Result<()> {
    say(&if json { format!("{answer:#}\n") } else { text(answer)? })
}

/// Asks at the terminal, aside from what is printed; where there is none, the command that needs no answer is named.
fn confirmed(question: &str, command: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask at: say `{command}` to do it unasked");
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
