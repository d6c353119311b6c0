//! Starting Hearth at login: off until somebody switches it on.

use std::env;

use anyhow::{Context, Result};
use auto_launch::{AutoLaunch, AutoLaunchBuilder};

use crate::HIDDEN;

/// What macOS calls the app in its own list of login items.
#[cfg(target_os = "macos")]
const BUNDLE: &str = "io.github.hearth";

/// Otherwise macOS gives it less of the processor and the disk, as it does to whatever works in the background.
#[cfg(target_os = "macos")]
const NOT_IN_THE_BACKGROUND: &str = "<key>ProcessType</key><string>Interactive</string>";

/// Whether it is on; where the system does not say, it is off.
pub(crate) fn is_on() -> bool {
    entry().is_ok_and(|entry| entry.is_enabled().unwrap_or(false))
}

pub(crate) fn set(on: bool) -> Result<()> {
    let entry = entry()?;
    let set = if on { entry.enable() } else { entry.disable() };
    set.context("the system does not let Hearth change what starts at login")
}

fn entry() -> Result<AutoLaunch> {
    // An AppImage runs from a folder that goes with it.
    let program = env::var_os("APPIMAGE").map_or_else(env::current_exe, |image| Ok(image.into()))?;
    let program = program.to_str().context("Hearth's own path is no text")?;
    let mut entry = AutoLaunchBuilder::new();
    entry.set_app_name("Hearth").set_app_path(program).set_args(&[HIDDEN]);
    #[cfg(target_os = "macos")]
    entry
        .set_macos_launch_mode(auto_launch::MacOSLaunchMode::LaunchAgent)
        .set_bundle_identifiers(&[BUNDLE])
        .set_agent_extra_config(NOT_IN_THE_BACKGROUND);
    Ok(entry.build()?)
}
