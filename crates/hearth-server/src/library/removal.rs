//! Removing a model, in steps: whoever has it loaded unloads it after it is known that it can go, and before it does. Meanwhile
//! nobody can download its repository.

use std::{io, path::Path};

use hearth_hub::{
    remove::{self, RemoveError},
    scan::Installed,
};
use tokio::{sync::OwnedMutexGuard, time::timeout};

use super::{
    Event, Library, LibraryError, Model, Result, lock,
    scanning::{PATIENCE, on_thread, silence},
};

/// A model that can be removed. Dropped, it stays.
pub struct Removal {
    library: Library,
    model: Model,
    plan: Option<remove::Removal>,
    /// Once it is out of the list: nobody puts it back there.
    no_scan: Option<OwnedMutexGuard<()>>,
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
        self.reserve(&model)?;
        let mut removal = Removal { library: self.clone(), model, plan: None, no_scan: None };
        let dir = removal.model.dir.clone();
        let (installed, roots) = (Installed { dir: dir.clone(), ..Installed::default() }, self.open_roots().await?);
        let plan = timeout(PATIENCE, on_thread(move || remove::plan(&installed, &roots))).await;
        let plan = plan.map_err(|_| LibraryError::Silent(silence(&dir, true)))?;
        removal.plan = Some(plan.unwrap_or_else(|| Err(fault(&dir)))?);
        Ok(removal)
    }
}

impl Removal {
    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Takes it out of the list of models, so that nobody is offered it any more.
    pub async fn withdraw(&mut self) {
        self.no_scan = Some(self.library.inner.scanning.clone().lock_owned().await);
        lock(&self.library.inner.found).retain(|found| found.row != self.model.row);
        self.library.tell(Event::Models);
    }

    /// Removes the model's files, forgets its names and settings, and answers how many bytes that has freed. After an error
    /// what is left of it is listed again.
    ///
    /// # Errors
    /// When somebody downloads it by now, or the system refuses.
    pub async fn carry_out(mut self) -> Result<u64> {
        let (library, plan, dir) = (self.library.clone(), self.plan.take(), self.model.dir.clone());
        let carry_out = move || plan.map_or(Ok(0), remove::Removal::carry_out);
        let removed = on_thread(carry_out).await.unwrap_or_else(|| Err(fault(&dir)));
        if removed.is_ok() {
            library.forget_downloads_of(&self.model).await?;
            library.inner.store.forget_model(self.model.row).await?;
        }
        self.no_scan = None;
        drop(self);
        library.scan().await?;
        Ok(removed?)
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        self.library.release(&self.model);
        if self.no_scan.take().is_some() {
            self.library.inner.folders.notify_one();
        }
    }
}

/// The error of a thread that panicked, and has said so.
fn fault(dir: &Path) -> RemoveError {
    let source = io::Error::other("a fault of Hearth's own; the log says more");
    RemoveError::Io { path: dir.to_owned(), source }
}
