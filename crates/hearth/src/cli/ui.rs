//! `hearth ui`: a link that opens Hearth's page once, and a browser with it where there is a desktop.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::{client, ended, say};
use crate::{browser, paths::process_env};

const AFTER_HELP: &str = "\
Examples:
  hearth ui
  hearth ui --no-open";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Only print the link
    #[arg(long)]
    no_open: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let answer = client::server()?.post("/links", &json!({}))?;
    let link = answer["url"].as_str().context("the server gives no link: it is of another version")?;
    say(&format!("{link}\n"))?;
    if !arguments.no_open && has_desktop() {
        // The link is printed in any case.
        if let Err(error) = browser::open(link) {
            tracing::debug!("{error:#}");
        }
    }
    Ok(())
}

/// Whether a window that opens here is seen by whoever typed the command.
fn has_desktop() -> bool {
    let is_set = |name: &str| process_env(name).is_some();
    !is_set("SSH_CONNECTION") && (cfg!(target_os = "macos") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"))
}
