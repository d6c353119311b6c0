//! The command line: one file per command, each from its typed arguments to an exit code.

mod cache;
mod doctor;
mod run;
mod serve;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  hearth serve                                    Serve Ember, the small built-in model
  hearth serve ~/models/Qwen3-4B-4bit             Serve a model's folder
  hearth serve mlx-community/Qwen3-4B-4bit        Serve what Hugging Face's tools have downloaded
  hearth run ember \"What is the capital of France?\"

Then point any OpenAI client at http://127.0.0.1:8080/v1.";

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
