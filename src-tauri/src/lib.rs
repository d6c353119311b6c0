//! The menu-bar app: an icon that shows how the server is, a window with its pages, and the server inside. It holds nothing
//! that the command line could want: that is crate `hearth`.

mod commands;
mod events;
mod login_item;
mod server;
mod tray;
mod updater;
mod windows;

use std::process::ExitCode;

use tauri::{App, Manager, RunEvent};
use tokio::signal::unix::{SignalKind, signal};

use server::Server;

/// The argument with which the system starts the app at login: no window opens.
pub const HIDDEN: &str = "--hidden";

/// Runs the app until somebody quits it. `show`: its window opens at once.
pub fn run(show: bool) -> ExitCode {
    hearth::logging::init(&hearth::logging::Logging::default());
    let builder = tauri::Builder::default();
    // Nobody who logs in wants the keyboard taken away.
    #[cfg(target_os = "macos")]
    let builder = builder.activate_ignoring_other_apps(show);
    let built = builder
        .plugin(tauri_plugin_single_instance::init(|app, _, _| windows::open(app)))
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_updater::Builder::new().build())
        .manage(Server::default())
        .manage(tray::Clipboard::default())
        .invoke_handler(commands::handler())
        .setup(move |app| Ok(set_up(app, show)?))
        .build(tauri::generate_context!());
    match built {
        #[cfg_attr(not(target_os = "macos"), expect(unused_mut, reason = "only macOS has a Dock"))]
        Ok(mut app) => {
            // No icon in the Dock, not even while it starts.
            #[cfg(target_os = "macos")]
            app.set_activation_policy(tauri::ActivationPolicy::Accessory);
            app.run(on_event);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hearth: the app cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn set_up(app: &mut App, show: bool) -> anyhow::Result<()> {
    if let Err(error) = tray::add(app.handle()) {
        tracing::warn!("there is no place for Hearth's icon: {error}");
    }
    events::follow(app.handle());
    quit_at_sigterm(app.handle());
    app.state::<Server>().start(None);
    if show {
        windows::open_soon(app.handle());
    }
    Ok(())
}

/// Who ends the app from outside lets it end in order too.
fn quit_at_sigterm(app: &tauri::AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Ok(mut signals) = signal(SignalKind::terminate()) {
            signals.recv().await;
            windows::quit(&app);
        }
    });
}

fn on_event(app: &tauri::AppHandle, event: RunEvent) {
    match event {
        // The last window was closed: the app stays in the menu bar.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        // Also when the person logs out.
        RunEvent::Exit => app.state::<Server>().stop_at_exit(),
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => windows::open(app),
        _ => {}
    }
}
