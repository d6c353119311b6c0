//! What the window's page may ask of the shell. The page knows them as functions of `shell.ts`.

use serde::Serialize;
use tauri::{AppHandle, State, Wry, ipc::Invoke};
use tauri_plugin_dialog::DialogExt;

use crate::{
    events::{self, ShellState},
    login_item,
    server::Server,
    updater, windows,
};

/// Why a command failed, in a sentence for the person.
#[derive(Debug, Serialize)]
pub(crate) struct Failure(String);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(format!("{:#}", error.into()))
    }
}

pub(crate) fn handler() -> impl Fn(Invoke<Wry>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        shell_state,
        start_server,
        stop_server,
        restart_server,
        set_login_item,
        pick_folder,
        sign_in,
        check_for_update,
        install_update,
        open_link
    ]
}

#[tauri::command]
fn shell_state(app: AppHandle) -> ShellState {
    events::state(&app)
}

#[tauri::command]
fn start_server(server: State<'_, Server>, port: Option<u16>) {
    server.start(port);
}

#[tauri::command]
async fn stop_server(server: State<'_, Server>) -> Result<(), Failure> {
    server.stop().await;
    Ok(())
}

#[tauri::command]
async fn restart_server(server: State<'_, Server>) -> Result<(), Failure> {
    server.stop().await;
    server.start(None);
    Ok(())
}

#[tauri::command]
fn set_login_item(app: AppHandle, on: bool) -> Result<ShellState, Failure> {
    login_item::set(on)?;
    Ok(events::state(&app))
}

/// The folder that the person picks; none where they change their mind.
#[tauri::command]
async fn pick_folder(app: AppHandle) -> Result<Option<String>, Failure> {
    let (picked, result) = tokio::sync::oneshot::channel();
    app.dialog().file().pick_folder(|folder| drop(picked.send(folder)));
    Ok(result.await?.map(|folder| folder.to_string()))
}

/// Signs the window in again.
#[tauri::command]
fn sign_in(app: AppHandle) -> Result<(), Failure> {
    Ok(windows::sign_in(&app)?)
}

#[tauri::command]
async fn check_for_update(app: AppHandle) -> Result<Option<String>, Failure> {
    Ok(updater::check(&app).await?)
}

#[tauri::command]
async fn install_update(app: AppHandle) -> Result<(), Failure> {
    Ok(updater::install(&app).await?)
}

/// Opens a page of the web in the person's browser.
#[tauri::command]
fn open_link(url: tauri::Url) -> Result<(), Failure> {
    Ok(windows::open_outside(&url)?)
}
