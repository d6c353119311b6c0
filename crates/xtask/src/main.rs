//! `cargo xtask`: everything this repository needs done that is neither building nor running the product itself.
//!
//! One file per command. Each command is a function that takes plain values and returns `anyhow::Result<()>`.

mod bench;
mod bundle;
mod check_macos;
mod cmd;
mod node;
mod run;
mod setup;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use workspace::Workspace;

const HELP: &str = "\
usage: cargo xtask COMMAND

  start [ARGS]  set up, build and run `hearth serve ARGS`
  app [ARGS]    the same, and the menu-bar app instead
  test [ARGS]   set up, build and run all tests; ARGS go to `cargo test`
  bench [ARGS]  measure beside mlx-lm; ARGS go to tests/bench/bench.py (`--only tiny`, `--pairs 3`)
  setup         prepare this machine: packages, the web UI, and on Linux MLX's library (seconds when there is nothing to do)
  bundle        what is given to people: Hearth.app and a .dmg on a Mac, a .deb on Linux
  check-macos   type-check every crate for a Mac, on any machine
  tidy          check the rules that a program can check: who depends on whom, file sizes and the like
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let workspace = Workspace::find()?;
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map(String::as_str) {
        Some("start") => run::start(&workspace, rest),
        Some("app") => run::app(&workspace, rest),
        Some("test") => run::test(&workspace, rest),
        Some("bench") => bench::run(&workspace, rest),
        Some("setup") => setup::tests(&workspace),
        Some("bundle") => bundle::run(&workspace, rest),
        Some("check-macos") => check_macos::run(&workspace),
        Some("tidy") => tidy::run(&workspace),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("there is no command `{other}`; `cargo xtask help` lists them"),
    }
}
