//! What lies on disk: found by a scan, again whenever something there has changed. Each root has a thread of its own, which is
//! waited for only so long: a disk that does not answer holds up no other, and its models stay as they were.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use futures_util::future::join_all;
use hearth_hub::{
    fit::{Fit, Machine, Needs, fit, tensor_bytes},
    names,
    scan::{self, Installed, Layout, Root, State},
    watch::Watch,
};
use serde::Serialize;
use serde_json::Value;
use tokio::{sync::oneshot, time::timeout};

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

/// What is below each root, as it was last seen.
pub(super) type Seen = HashMap<Root, Below>;

#[derive(Default)]
pub(super) struct Below {
    found: Vec<Found>,
    look: Look,
}

/// The thread that looks below a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Look {
    #[default]
    Over,
    UnderWay,
    /// It was waited for in vain; there is no other before it is back.
    Stuck {
        /// Whether there was to be another since.
        missed: bool,
    },
}

impl Below {
    fn is_stuck(&self) -> bool {
        matches!(self.look, Look::Stuck { .. })
    }

    /// What it means that this root does not answer; `None` where it does.
    fn silence(&self, root: &Root) -> Option<String> {
        self.is_stuck().then(|| silence(&root.path, !self.found.is_empty()))
    }
}

/// A folder that does not answer.
#[derive(Debug, Clone, Serialize)]
pub struct SilentFolder {
    /// The folder.
    pub path: String,
    /// What that means, in a sentence.
    pub reason: String,
}

impl Library {
    /// Looks through all folders. Models that were never seen get their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn scan(&self) -> Result<()> {
        let library = self.clone();
        // In a task of its own: whoever asked may go, and then a folder that hangs would not be given up.
        let scan = tokio::spawn(async move { library.scan_within(PATIENCE).await });
        // A panic has been said already.
        scan.await.unwrap_or(Ok(()))
    }

    /// Waits so long for each folder.
    pub(super) async fn scan_within(&self, patience: Duration) -> Result<()> {
        let _one_at_a_time = self.inner.scanning.lock().await;
        let (roots, machine) = (self.roots().await?, self.machine().await);
        join_all(roots.iter().map(|root| self.look(root, &machine, patience))).await;
        self.list(&roots, machine).await
    }

    /// Makes what was last seen the list of models. The caller holds the lock on scanning.
    async fn list(&self, roots: &[Root], machine: Machine) -> Result<()> {
        let options = self.inner.options.clone();
        let Some(builtin) = on_thread(move || builtin(&options, &machine)).await else { return Ok(()) };
        let looked = [builtin].into_iter().chain(self.merged(roots));
        let rows = self.inner.store.models().await?;
        let mut found = Vec::new();
        for model in looked {
            let row = match rows.iter().find(|row| row.source == model.installed.source) {
                Some(row) => row.id,
                None => self.remember(&model.installed).await?,
            };
            found.push(Found { row, ..model });
        }
        let mut listed = lock(&self.inner.found);
        found.retain(|found| !self.is_leaving(&found.installed.dir));
        if *listed != found {
            *listed = found;
            self.tell(Event::Models);
        }
        Ok(())
    }

    /// Looks below a root, unless somebody still does.
    pub(super) async fn look(&self, root: &Root, machine: &Machine, patience: Duration) {
        match &mut lock(&self.inner.seen).entry(root.clone()).or_default().look {
            look @ Look::Over => *look = Look::UnderWay,
            Look::UnderWay => return,
            Look::Stuck { missed } => {
                *missed = true;
                return;
            }
        }
        let (library, place) = (self.clone(), root.clone());
        let (options, below, machine) = (self.inner.options.clone(), root.clone(), machine.clone());
        let looked = tokio::spawn(async move {
            let found = on_thread(move || below_root(&options, &below, &machine)).await;
            library.looked(&place, found);
        });
        if timeout(patience, looked).await.is_err() {
            self.give_up(root);
        }
    }

    /// Takes note of what was found, and has it listed where nobody waits for it any more.
    fn looked(&self, root: &Root, found: Option<Vec<Found>>) {
        let mut seen = lock(&self.inner.seen);
        let below = seen.entry(root.clone()).or_default();
        below.found = found.unwrap_or_else(|| std::mem::take(&mut below.found));
        if let Look::Stuck { missed } = std::mem::take(&mut below.look) {
            self.tell(Event::Models);
            let (library, root) = (self.clone(), root.clone());
            tokio::spawn(async move {
                if let Err(error) = library.catch_up(&root, missed).await {
                    tracing::warn!("models cannot be listed anew: {error}");
                }
            });
        }
    }

    /// Lists what a root has answered late. Only where another look was `missed` meanwhile it is looked into again, and no
    /// other is: those that are slow would be looked into for ever.
    async fn catch_up(&self, root: &Root, missed: bool) -> Result<()> {
        let _one_at_a_time = self.inner.scanning.lock().await;
        let (roots, machine) = (self.roots().await?, self.machine().await);
        if missed {
            self.look(root, &machine, PATIENCE).await;
        }
        self.list(&roots, machine).await
    }

    fn give_up(&self, root: &Root) {
        let mut seen = lock(&self.inner.seen);
        // It may have come back just now.
        if let Some(below) = seen.get_mut(root).filter(|below| below.look == Look::UnderWay) {
            below.look = Look::Stuck { missed: false };
            tracing::warn!("{}", below.silence(root).unwrap_or_default());
            self.tell(Event::Models);
        }
    }

    /// What was last seen below these roots, with sources.
    fn merged(&self, roots: &[Root]) -> Vec<Found> {
        let seen = lock(&self.inner.seen);
        let all: Vec<&Found> = roots.iter().filter_map(|root| seen.get(root)).flat_map(|below| &below.found).collect();
        let merged = scan::merge(all.iter().map(|found| found.installed.clone()));
        let weighed = |installed: Installed| {
            let found = all.iter().find(|found| found.installed.dir == installed.dir)?;
            Some(Found { installed, ..(*found).clone() })
        };
        merged.into_iter().filter_map(weighed).collect()
    }

    /// The folders that have not answered since they were last looked through.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn silent_folders(&self) -> Result<Vec<SilentFolder>> {
        let roots = self.roots().await?;
        let seen = lock(&self.inner.seen);
        let silent = |root: &Root| {
            let reason = seen.get(root)?.silence(root)?;
            Some(SilentFolder { path: root.path.display().to_string(), reason })
        };
        Ok(roots.iter().filter_map(silent).collect())
    }

    /// What it means that the root of this model does not answer; `None` where it does.
    pub(super) fn silence_around(&self, dir: &Path) -> Option<String> {
        let seen = lock(&self.inner.seen);
        let mut holders = seen.iter().filter(|(_, below)| below.found.iter().any(|found| found.installed.dir == dir));
        holders.find_map(|(root, below)| below.silence(root))
    }

    /// Forgets that a model was seen.
    pub(super) fn unsee(&self, dir: &Path) {
        let mut seen = lock(&self.inner.seen);
        seen.values_mut().for_each(|below| below.found.retain(|found| found.installed.dir != dir));
    }

    /// The roots that can be looked into.
    pub(super) async fn open_roots(&self) -> Result<Vec<Root>> {
        let mut roots = self.roots().await?;
        let seen = lock(&self.inner.seen);
        roots.retain(|root| !seen.get(root).is_some_and(Below::is_stuck));
        Ok(roots)
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

/// How long a folder is waited for. Disks that sleep wake up in this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What it means that a folder does not answer; `known`: whether some of its models are.
pub(super) fn silence(folder: &Path, known: bool) -> String {
    let (folder, seconds) = (folder.display(), PATIENCE.as_secs());
    let models = if known { "its models are shown as they last were" } else { "none of its models is known" };
    format!("{folder} has not answered for {seconds} s, and {models}: see whether its disk is still there")
}

/// The built-in model, which is listed whatever became of its files.
fn builtin(options: &LibraryOptions, machine: &Machine) -> Found {
    let Builtin { source, name, dir } = &options.builtin;
    let found = models(options, &Root::new(dir, Layout::Any)).into_iter().next();
    let found = found.unwrap_or_else(|| Installed { dir: dir.clone(), ..Installed::default() });
    weigh(Installed { source: source.clone(), display: name.clone(), ..found }, machine)
}

/// All others below a root.
fn below_root(options: &LibraryOptions, root: &Root, machine: &Machine) -> Vec<Found> {
    let others = models(options, root).into_iter().filter(|model| !is_builtin(&model.dir, &options.builtin));
    others.map(|installed| weigh(installed, machine)).collect()
}

fn models(options: &LibraryOptions, root: &Root) -> Vec<Installed> {
    scan::models(root, &|name| options.known.iter().any(|known| known == name))
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
pub(crate) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        // Whoever asked may have gone.
        let _ = done.send(work());
    });
    result.await.ok()
}
