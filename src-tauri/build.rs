//! Declares the app's own commands, so that capabilities can name them.

const COMMANDS: &[&str] = &[
    "shell_state",
    "start_server",
    "stop_server",
    "restart_server",
    "set_login_item",
    "pick_folder",
    "check_for_update",
    "install_update",
    "open_link",
    "sign_in",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The key that updates are signed with comes from whoever releases; without one there are no updates.
    println!("cargo:rerun-if-env-changed=HEARTH_UPDATE_KEY");
    println!("cargo:rerun-if-env-changed=HEARTH_UPDATE_URL");
    // There are no permissions but those that Tauri writes for the commands. By default it has Cargo watch them too, which then
    // takes what a build wrote for a change, and builds the app twice.
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS).permissions_path_pattern("permissions/*.toml");
    Ok(tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest))?)
}
