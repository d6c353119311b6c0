//! Updates: looked for and installed only when a person asks. Each is signed; a build without the key that they are signed with
//! has none.

use anyhow::{Context, Result, bail};
use tauri::{AppHandle, Manager};
use tauri_plugin_updater::{Update, UpdaterExt};

use crate::server::Server;

const KEY: Option<&str> = option_env!("HEARTH_UPDATE_KEY");
const URL: Option<&str> = option_env!("HEARTH_UPDATE_URL");

/// The version that could be installed, if there is a newer one.
pub(crate) async fn check(app: &AppHandle) -> Result<Option<String>> {
    Ok(find(app).await?.map(|update| update.version))
}

/// Installs the newest version and starts it. The server runs until the new version is here and its signature right.
pub(crate) async fn install(app: &AppHandle) -> Result<()> {
    let update = find(app).await?.context("this is the newest version")?;
    let program = update.download(|_, _| {}, || {}).await.context("the update cannot be downloaded")?;
    app.state::<Server>().stop().await;
    if let Err(error) = update.install(program) {
        app.state::<Server>().start(None);
        return Err(error).context("the update cannot be installed");
    }
    app.restart()
}

async fn find(app: &AppHandle) -> Result<Option<Update>> {
    // A release without secrets has empty ones.
    let given = |value: Option<&'static str>| value.filter(|value| !value.is_empty());
    let (Some(key), Some(url)) = (given(KEY), given(URL)) else {
        bail!("this build does not update itself; whoever built it can build a newer one")
    };
    let updater = app.updater_builder().pubkey(key).endpoints(vec![url.parse()?])?.build()?;
    updater.check().await.context("cannot look for updates")
}
