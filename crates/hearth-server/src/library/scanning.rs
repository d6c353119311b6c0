//! What lies on disk: found by a scan on a thread of its own, again whenever something there has changed.

use std::{fs, path::Path};

use hearth_hub::{
    fit::{Fit, Machine, Needs, fit, tensor_bytes},
    names,
    scan::{Installed, Layout, Root, State, scan},
    watch::Watch,
};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Builtin, Event, Library, LibraryOptions, Result, lock};

/// A model on disk, with what its files say of its needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// The row that remembers it.
    pub(super) row: i64,
    pub(super) installed: Installed,
    /// Bytes of its weights.
    pub(super) weights: Option<u64>,
    pub(super) fit: Option<Fit>,
}

impl Library {
    /// Looks through all folders. Models that were never seen get their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn scan(&self) -> Result<()> {
        let _one_at_a_time = self.inner.scanning.lock().await;
        let (options, roots, machine) = (self.inner.options.clone(), self.roots().await?, self.machine().await);
        let Some(looked) = on_thread(move || look(&options, &roots, &machine)).await else { return Ok(()) };
        let rows = self.inner.store.models().await?;
        let mut found = Vec::with_capacity(looked.len());
        for model in looked {
            let row = match rows.iter().find(|row| row.source == model.installed.source) {
                Some(row) => row.id,
                None => self.remember(&model.installed).await?,
            };
            found.push(Found { row, ..model });
        }
        let before = std::mem::replace(&mut *lock(&self.inner.found), found.clone());
        if before != found {
            self.tell(Event::Models);
        }
        Ok(())
    }

    async fn remember(&self, model: &Installed) -> Result<i64> {
        let api_name = names::api_name(&model.display);
        Ok(self.inner.store.add_model(&model.source, &model.display, &api_name).await?.id)
    }

    /// Scans now and whenever something changes.
    pub(super) async fn watch(&self) {
        loop {
            let roots = self.roots().await.unwrap_or_else(|error| {
                tracing::warn!("folders that were added are not watched: {error}");
                self.inner.options.roots.clone()
            });
            let mut watch = Watch::start(roots.into_iter().map(|root| root.path).collect());
            while self.next_change(&mut watch).await {
                if let Err(error) = self.scan().await {
                    tracing::warn!("models cannot be listed anew: {error}");
                }
            }
        }
    }

    /// Waits for the next change; `false` where there are other folders to watch.
    async fn next_change(&self, watch: &mut Watch) -> bool {
        tokio::select! {
            () = watch.changed() => true,
            () = self.inner.folders.notified() => false,
        }
    }

    /// Where models lie, with the folders that a person has added last.
    pub(super) async fn roots(&self) -> Result<Vec<Root>> {
        let added = self.settings().await?.model_folders;
        let added = added.into_iter().map(|folder| Root::new(folder, Layout::Any));
        Ok(self.inner.options.roots.iter().cloned().chain(added).collect())
    }
}

/// The built-in model, then all others.
fn look(options: &LibraryOptions, roots: &[Root], machine: &Machine) -> Vec<Found> {
    let known = |name: &str| options.known.iter().any(|known| known == name);
    let Builtin { source, name, dir } = &options.builtin;
    let mut models = scan(&[Root::new(dir, Layout::Any)], &known);
    models.truncate(1);
    if models.is_empty() {
        models.push(Installed { dir: dir.clone(), ..Installed::default() });
    }
    for model in &mut models {
        (model.source, model.display) = (source.clone(), name.clone());
    }
    let others = scan(roots, &known).into_iter().filter(|model| !is_builtin(&model.dir, &options.builtin));
    models.into_iter().chain(others).map(|installed| weigh(installed, machine)).collect()
}

/// Whether a folder is where the built-in model was unpacked, by this version or an earlier one: they lie side by side,
/// called alike up to a hash.
fn is_builtin(dir: &Path, builtin: &Builtin) -> bool {
    let own = builtin.dir.canonicalize().unwrap_or_else(|_| builtin.dir.clone());
    let stem = |dir: &Path| dir.file_name()?.to_str()?.rsplit_once('-').map(|(stem, _)| stem.to_owned());
    dir == own || (dir.parent() == own.parent() && stem(dir).is_some() && stem(dir) == stem(&own))
}

fn weigh(installed: Installed, machine: &Machine) -> Found {
    let needs = (installed.state == State::Ready).then(|| needs(&installed.dir)).flatten();
    let fit = needs.as_ref().map(|needs| fit(needs, machine));
    Found { row: 0, installed, weights: needs.map(|needs| needs.weights), fit }
}

/// The scan has read the same files, and found them small enough and sound.
fn needs(dir: &Path) -> Option<Needs> {
    let config: Value = serde_json::from_slice(&fs::read(dir.join("config.json")).ok()?).ok()?;
    Needs::new(&config, Some(tensor_bytes(dir).ok()?), None).ok()
}

/// Does what blocks on a thread of its own, which the end of the program does not wait for. `None`: it panicked, and has
/// said so.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        // Whoever asked may have gone.
        let _ = done.send(work());
    });
    result.await.ok()
}
