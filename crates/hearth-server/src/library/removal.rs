//! Removing a model, in steps: whoever has it loaded unloads it after it is known that it can go, and before it does. Meanwhile
//! nobody can download its repository.

use std::{io, mem, path::Path};

use hearth_hub::{
    remove::{self, RemoveError},
    scan::Installed,
};
use tokio::time::timeout;

use super::{
    Event, Library, LibraryError, Model, Result, lock,
    scanning::{PATIENCE, on_thread, silence},
};

/// A model that can be removed. Dropped, it stays.
pub struct Removal {
    library: Library,
    model: Model,
    plan: Option<remove::Removal>,
    withdrawn: bool,
}

/// What has become of a model's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It is being removed, and listed no more.
    Leaving,
    Removed,
}

impl Library {
    /// Finds out whether a model can be removed, and keeps its repository from being downloaded.
    ///
    /// # Errors
    /// When it is built in, is being downloaded or removed, or lies where nothing is removed.
    pub async fn removal(&self, model: &str) -> Result<Removal> {
        let model = self.model(model).await?;
        if model.builtin {
            return Err(LibraryError::Builtin(model.name));
        }
        if let Some(silence) = self.silence_around(&model.dir) {
            return Err(LibraryError::Silent(silence));
        }
        self.reserve(&model)?;
        let mut removal = Removal { library: self.clone(), model, plan: None, withdrawn: false };
        let dir = removal.model.dir.clone();
        let (installed, roots) = (Installed { dir: dir.clone(), ..Installed::default() }, self.open_roots().await?);
        let plan = timeout(PATIENCE, on_thread(move || remove::plan(&installed, &roots))).await;
        let plan = plan.map_err(|_| LibraryError::Silent(silence(&dir, true)))?;
        removal.plan = Some(plan.unwrap_or_else(|| Err(fault(&dir)))?);
        Ok(removal)
    }

    /// Whether a folder is that of a model that is being removed, or was.
    pub(crate) fn is_gone(&self, dir: &Path) -> bool {
        lock(&self.inner.gone).contains_key(dir)
    }

    pub(super) fn is_leaving(&self, dir: &Path) -> bool {
        lock(&self.inner.gone).get(dir) == Some(&Gone::Leaving)
    }
}

impl Removal {
    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Takes it out of the list of models, so that nobody is offered it any more.
    pub fn withdraw(&mut self) {
        self.withdrawn = true;
        // First: a scan that ends now must not list it again.
        lock(&self.library.inner.gone).insert(self.model.dir.clone(), Gone::Leaving);
        lock(&self.library.inner.found).retain(|found| found.row != self.model.row);
        self.library.tell(Event::Models);
    }

    /// Removes the model's files, forgets its names and settings, and answers how many bytes that has freed. After an error
    /// what is left of it is listed again. All of that is done also where nobody waits for it any more.
    ///
    /// # Errors
    /// When somebody downloads it by now, or the system refuses.
    pub async fn carry_out(self) -> Result<u64> {
        let dir = self.model.dir.clone();
        tokio::spawn(self.carry_out_here()).await.unwrap_or_else(|_| Err(fault(&dir).into()))
    }

    async fn carry_out_here(mut self) -> Result<u64> {
        let (library, plan, dir) = (self.library.clone(), self.plan.take(), self.model.dir.clone());
        let carry_out = move || plan.map_or(Ok(0), remove::Removal::carry_out);
        let removed = on_thread(carry_out).await.unwrap_or_else(|| Err(fault(&dir)));
        if removed.is_ok() {
            self.forget().await?;
        }
        self.let_go();
        drop(self);
        library.scan().await?;
        Ok(removed?)
    }

    async fn forget(&self) -> Result<()> {
        let Self { library, model, .. } = self;
        // A scan that has seen it would remember it again.
        let _no_scan = library.inner.scanning.lock().await;
        library.forget_downloads_of(model).await?;
        library.inner.store.forget_model(model.row).await?;
        library.unsee(&model.dir);
        lock(&library.inner.gone).insert(model.dir.clone(), Gone::Removed);
        Ok(())
    }

    /// Lets the model be listed where it is still there; whether it was not.
    fn let_go(&mut self) -> bool {
        let was_withdrawn = mem::take(&mut self.withdrawn);
        if was_withdrawn && self.library.is_leaving(&self.model.dir) {
            lock(&self.library.inner.gone).remove(&self.model.dir);
        }
        was_withdrawn
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        self.library.release(&self.model);
        if self.let_go() {
            self.library.inner.folders.notify_one();
        }
    }
}

/// The error of a thread that panicked, and has said so.
fn fault(dir: &Path) -> RemoveError {
    let source = io::Error::other("a fault of Hearth's own; the log says more");
    RemoveError::Io { path: dir.to_owned(), source }
}
