//! The library of this machine's models: where Hearth looks for them, which kinds it runs, what they have to fit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hearth_hub::download::DownloadOptions;
use hearth_hub::fit::Machine;
use hearth_hub::registry::HubOptions;
use hearth_hub::scan::{Layout, Root};
use hearth_server::library::{Builtin, Library, LibraryOptions};

use crate::ember;
use crate::paths::{self, process_env};

/// Opens the library as the environment says. Of `named` those that are folders are looked into as well.
///
/// # Errors
/// When Ember cannot be unpacked, the database not be opened, or the environment's settings for the Hub not be used.
pub async fn open(named: &[String]) -> Result<Library> {
    let data = paths::data_dir(process_env)?;
    let dir = ember::unpack(&data)
        .with_context(|| format!("cannot write the built-in model into {} (HEARTH_HOME)", data.display()))?;
    let hub = HubOptions::from_env(process_env)?;
    let folders = named.iter().map(Path::new).filter(|path| path.is_dir() && !dir.starts_with(path));
    let folders = folders.filter_map(|path| Some(Root::new(path.canonicalize().ok()?, Layout::Any)));
    let options = LibraryOptions {
        roots: roots(&data, &hub).into_iter().chain(folders).collect(),
        data_dir: data,
        hub,
        builtin: Builtin { source: ember::NAME.into(), name: "Ember".into(), dir },
        known: hearth_mlx::models::names().map(str::to_owned).collect(),
        machine: Machine::detect(hearth_mlx::memory::limit),
        downloads: DownloadOptions::default(),
    };
    Ok(Library::open(options).await?)
}

/// Hearth's own folder, Hugging Face's cache, and LM Studio's folders.
fn roots(data: &Path, hub: &HubOptions) -> Vec<Root> {
    let own = Root::new(data.join("models"), Layout::Repositories);
    let cache = Root::new(&hub.cache_dir, Layout::HubCache);
    let home = process_env("HOME").map(PathBuf::from);
    [own, cache].into_iter().chain(home.iter().flat_map(|home| Root::lm_studio(home))).collect()
}
