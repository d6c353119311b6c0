//! What follows when the server inside changes: the icon, the window, what the page is told, and notifications.

use std::collections::HashSet;

use hearth::Glance;
use serde::Serialize;
use tauri::{AppHandle, Emitter, Manager};
use tauri_plugin_notification::NotificationExt;
use tokio::sync::watch;

use crate::{
    login_item,
    server::{Server, State},
    tray, windows,
};

/// The event that the page listens to.
const EVENT: &str = "shell";

/// What the page shows of the shell.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ShellState {
    server: State,
    login_item: bool,
}

pub(crate) fn state(app: &AppHandle) -> ShellState {
    ShellState { server: app.state::<Server>().state(), login_item: login_item::is_on() }
}

/// Follows the server for as long as the app lives.
pub(crate) fn follow(app: &AppHandle) {
    let (app, mut states) = (app.clone(), app.state::<Server>().states());
    tauri::async_runtime::spawn(async move {
        loop {
            let server = states.borrow_and_update().clone();
            let _ = app.emit(EVENT, state(&app));
            on_main(&app, windows::follow);
            let changed = match &server {
                State::Ready { server, .. } => tokio::select! {
                    changed = states.changed() => changed,
                    // Its end is the server's, which is a change.
                    () = follow_glances(&app, server.glances.clone()) => states.changed().await,
                },
                _ => {
                    show(&app, &server, Glance::default());
                    states.changed().await
                }
            };
            if changed.is_err() {
                return;
            }
        }
    });
}

async fn follow_glances(app: &AppHandle, mut glances: watch::Receiver<Glance>) {
    // What was done before somebody looked is no news.
    let mut told: HashSet<String> = glances.borrow().finished.iter().cloned().collect();
    loop {
        let glance = glances.borrow_and_update().clone();
        for name in glance.finished.iter().filter(|name| !told.contains(*name)) {
            let shown = app.notification().builder().title("Hearth").body(format!("{name} is ready to use.")).show();
            if let Err(error) = shown {
                tracing::debug!("no notification: {error}");
            }
        }
        told = glance.finished.iter().cloned().collect();
        show(app, &app.state::<Server>().state(), glance);
        if glances.changed().await.is_err() {
            return;
        }
    }
}

fn show(app: &AppHandle, server: &State, glance: Glance) {
    let server = server.clone();
    on_main(app, move |app| tray::show(app, &server, &glance));
}

/// Icons and windows belong to the main thread.
fn on_main(app: &AppHandle, act: impl FnOnce(&AppHandle) + Send + 'static) {
    let handle = app.clone();
    let _ = app.run_on_main_thread(move || act(&handle));
}
