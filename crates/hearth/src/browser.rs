//! The person's web browser.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Opens a page in it, and does not wait for it.
///
/// # Errors
/// Where this system has no program that opens pages.
pub fn open(url: &str) -> Result<()> {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(opener);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut opening = command.spawn().with_context(|| format!("{opener}, which opens {url}, does not run"))?;
    // A process whose end nobody asks for stays in the system's list.
    std::thread::spawn(move || opening.wait());
    Ok(())
}
