//! Starting Hearth at login: off until somebody switches it on.

use tauri::{AppHandle, Runtime, plugin::TauriPlugin};
use tauri_plugin_autostart::{MacosLauncher, ManagerExt};

use crate::HIDDEN;

pub(crate) fn plugin<R: Runtime>() -> TauriPlugin<R> {
    tauri_plugin_autostart::init(MacosLauncher::LaunchAgent, Some(vec![HIDDEN]))
}

/// Whether it is on; where the system does not say, it is off.
pub(crate) fn is_on(app: &AppHandle) -> bool {
    app.autolaunch().is_enabled().unwrap_or(false)
}

pub(crate) fn set(app: &AppHandle, on: bool) -> Result<(), tauri_plugin_autostart::Error> {
    let login = app.autolaunch();
    match (on, is_on(app)) {
        (true, false) => login.enable(),
        (false, true) => login.disable(),
        _ => Ok(()),
    }
}
