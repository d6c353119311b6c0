//! The handle of all models: requests go in, streams of events come out.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::{Stream, stream};
use hearth_core::Result;
use hearth_core::chat::{ChatRequest, Message};
use hearth_core::model::{KeepAlive, ModelFacts};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::archive::Archive;
use crate::model::Model;
use crate::models::Models;
use crate::names;
use crate::sessions::{ForkError, SessionInfo, off_offer};
use crate::spec::{EngineOptions, ModelSpec, Placement};
use crate::stats::{Status, WorkerInfo, WorkerState};
use crate::stream::ChatStream;

/// The models that are served. Clones are handles of the same ones.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    placement: Placement,
    options: EngineOptions,
    /// The default one first.
    offered: Mutex<Vec<Arc<Model>>>,
    /// Of all names that are offered, and of others whose sessions are in use or in no file yet.
    archives: Mutex<HashMap<String, Arc<Archive>>>,
    models: Arc<Models>,
}

impl Engine {
    /// Models to be served, the default one first. Nothing is started yet.
    pub fn new(models: Vec<ModelSpec>, placement: Placement, options: EngineOptions) -> Self {
        let pool = Arc::new(Models::new(options.cache.limit));
        let (offered, archives) = Default::default();
        let engine = Self { shared: Arc::new(Shared { placement, options, offered, archives, models: pool }) };
        engine.offer(models);
        engine
    }

    /// Serves these models from now on, the first of them as the default. One that runs and is no longer among them
    /// finishes its requests and is unloaded; one whose names or settings have changed goes on running where it can.
    pub fn offer(&self, models: Vec<ModelSpec>) {
        let Shared { placement, options, offered, archives, models: pool } = &*self.shared;
        let mut offered = offered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut archives = archives.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *offered);
        let find = |spec: ModelSpec| match old.iter().position(|model| model.spec().same_worker(&spec)) {
            Some(place) => {
                let model = old.remove(place);
                model.set_spec(spec);
                model
            }
            None => {
                let archive = archives.entry(spec.id.clone()).or_default().clone();
                Arc::new(Model::new(spec, placement.clone(), options.clone(), pool.pulse.clone(), archive))
            }
        };
        *offered = models.into_iter().map(find).collect();
        old.iter().for_each(|model| model.retire());
        drop(old);
        let is_unused = |archive: &Arc<Archive>| Arc::strong_count(archive) == 1 && archive.is_stored();
        archives.retain(|_, archive| !is_unused(archive));
        pool.pulse.beat();
    }

    /// Loads the model that answers to `name`, or waits for the load in progress; at once where it is loaded.
    pub async fn load(&self, name: &str, keep_alive: Option<KeepAlive>) -> Result<ModelFacts> {
        let model = self.named(name)?;
        let _used = self.shared.models.enter(&model, keep_alive).await?;
        model.load().await
    }

    /// How far loads of the model come from now on, from 0 to 1.
    pub fn progress(&self, name: &str) -> Result<impl Stream<Item = f32> + Send + use<>> {
        let worker = self.named(name)?.watch();
        Ok(stream::unfold(worker, |mut worker| async move {
            let loading = |worker: &WorkerInfo| worker.state == WorkerState::Loading;
            worker.changed().await.ok()?;
            let progress = worker.wait_for(loading).await.ok()?.progress;
            Some((progress, worker))
        }))
    }

    /// Unloads the model that answers to `name`, once its caches are on disk; fine where it is not loaded.
    ///
    /// An error (`ModelBusy`) where requests use it; with `force` they end with `ModelUnloaded`.
    pub async fn unload(&self, name: &str, force: bool) -> Result<()> {
        self.shared.models.unload(&*self.named(name)?, force).await
    }

    /// The model that answers to `name`. Wakes nothing.
    pub fn find(&self, name: &str) -> Result<Status> {
        self.named(name).map(|model| self.shared.models.status(&model))
    }

    /// Queues the request for one answer; see [`Engine::choices`].
    pub async fn chat(&self, request: ChatRequest) -> Result<ChatStream> {
        self.choices(request, 1).await
    }

    /// Queues the request for `count` answers to the same messages, after loading the model where that is needed.
    ///
    /// Where others hold the memory for that, it waits for two minutes at most.
    /// In a session the messages are what the client sends of a conversation, and the first answer becomes part of it
    /// once all have ended well. Where one fails, or nobody reads them to their end, the session stays as it was.
    pub async fn choices(&self, request: ChatRequest, count: usize) -> Result<ChatStream> {
        let model = self.named(&request.model)?;
        let places = model.take_places(count)?;
        let asked = Instant::now();
        let used = self.shared.models.enter(&model, request.keep_alive).await?;
        model.choices(request, count, (places, used), asked).await
    }

    /// The stored sessions of all models, most recently used first.
    ///
    /// At the start this waits for their files to be read, as all that has to do with sessions; where that takes many
    /// seconds, it is an error (`Overloaded`).
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>> {
        let mut all = Vec::new();
        for model in self.offered() {
            if let Some(sessions) = model.known_sessions() {
                all.extend(sessions.list().await?);
            }
        }
        all.sort_by_key(|session| std::cmp::Reverse(session.last_used));
        Ok(all)
    }

    /// A session and its messages, as they were said: the one with the model that answers to `model`, else the one last
    /// used of those with this id.
    pub async fn session(&self, id: &str, model: Option<&str>) -> Result<Option<(SessionInfo, Vec<Message>)>> {
        match self.holder(id, model).await? {
            Some(model) => model.sessions().get(id).await,
            None => Ok(None),
        }
    }

    /// Forgets a session, its file and its cache, with one model or with all, also those that are off offer; false where there
    /// is none, and then a cache that may be left of it is forgotten all the same. A request that is using it goes on, and
    /// leaves nothing behind.
    pub async fn delete_session(&self, id: &str, model: Option<&str>) -> Result<bool> {
        let mut deleted = false;
        for model in self.among(model)? {
            if let Some(sessions) = model.known_sessions() {
                deleted |= sessions.delete(id).await?;
            }
        }
        Ok(match model {
            Some(_) => deleted,
            None => deleted | self.delete_off_offer(id).await?,
        })
    }

    /// Forgets all sessions with the model of this name, once it is gone for good and no longer offered.
    ///
    /// An error (`Overloaded`) where its sessions are still being read.
    pub async fn forget_sessions(&self, model: &str) -> Result<()> {
        if self.offered().iter().any(|offered| offered.id() == model) {
            return Ok(());
        }
        let archive = self.archives().get(model).cloned();
        if let Some(sessions) = archive.as_ref().and_then(|archive| archive.get()) {
            for session in sessions.list().await? {
                sessions.delete(&session.id).await?;
            }
        }
        let model = model.to_owned();
        self.beside_files(move |dir| off_offer::delete_all(dir, &model)).await;
        Ok(())
    }

    async fn delete_off_offer(&self, id: &str) -> Result<bool> {
        let (mut deleted, archives) = (false, self.archives());
        let offered: Vec<String> = self.offered().iter().map(|model| model.id()).collect();
        for (_, archive) in archives.iter().filter(|(model, _)| !offered.contains(model)) {
            if let Some(sessions) = archive.get() {
                deleted |= sessions.delete(id).await?;
            }
        }
        let opened = archives.into_iter().filter(|(_, archive)| archive.get().is_some());
        let (id, known) = (id.to_owned(), opened.map(|(model, _)| model).collect::<Vec<_>>());
        Ok(deleted | self.beside_files(move |dir| off_offer::delete(dir, &id, &known)).await.unwrap_or(false))
    }

    /// Does what is to be done to the sessions' files, where there are any.
    async fn beside_files<T: Send + 'static>(&self, act: impl FnOnce(&Path) -> T + Send + 'static) -> Option<T> {
        let dir = self.shared.options.sessions.dir.clone()?;
        spawn_blocking(move || act(&dir)).await.ok()
    }

    /// Gives a session, chosen as [`Engine::session`] does, another title for people, or none; `None` where there is none.
    pub async fn rename_session(
        &self,
        id: &str,
        model: Option<&str>,
        title: Option<String>,
    ) -> Result<Option<SessionInfo>> {
        match self.holder(id, model).await? {
            Some(model) => model.sessions().rename(id, title).await,
            None => Ok(None),
        }
    }

    /// Copies a session, chosen as [`Engine::session`] does, to the id `to`, or to a random one.
    pub async fn fork_session(
        &self,
        id: &str,
        model: Option<&str>,
        to: Option<String>,
    ) -> Result<SessionInfo, ForkError> {
        let model = self.holder(id, model).await?.ok_or(ForkError::Unknown)?;
        model.sessions().fork(id, to).await
    }

    /// The models on offer, their workers and the load on them, the default one first. Wakes nothing.
    pub fn status(&self) -> Vec<Status> {
        self.offered().iter().map(|model| self.shared.models.status(model)).collect()
    }

    /// Says when [`Engine::status`] has changed in what matters: a worker's state, whether a model is in use, what is on offer.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.models.pulse.listen()
    }

    /// Ends all workers in order, in a few seconds at most. Requests that still run end with `ShuttingDown`, and so do
    /// all that come later.
    pub async fn shutdown(&self) {
        let mut models = self.shared.models.close();
        models.retain(|model| model.is_retired());
        models.extend(self.offered());
        join_all(models.iter().map(|model| model.shutdown())).await;
        join_all(self.archives().iter().map(|(model, archive)| archive.flush(model))).await;
    }

    fn archives(&self) -> HashMap<String, Arc<Archive>> {
        self.shared.archives.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn offered(&self) -> Vec<Arc<Model>> {
        self.shared.offered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn named(&self, name: &str) -> Result<Arc<Model>> {
        let offered = self.offered();
        let found = match names::is_default(name) {
            true => offered.first(),
            false => {
                let ranked = offered.iter().filter_map(|model| Some((names::rank(&model.spec(), name)?, model)));
                ranked.min_by_key(|(rank, _)| *rank).map(|(_, model)| model)
            }
        };
        let ids = || offered.iter().map(|model| model.id()).collect::<Vec<_>>();
        found.cloned().ok_or_else(|| names::unknown(name, &ids()))
    }

    /// The model that answers to `name`, or all.
    fn among(&self, name: Option<&str>) -> Result<Vec<Arc<Model>>> {
        name.map_or_else(|| Ok(self.offered()), |name| Ok(vec![self.named(name)?]))
    }

    /// Of these models the one that has a session `id`, and used it last.
    async fn holder(&self, id: &str, model: Option<&str>) -> Result<Option<Arc<Model>>> {
        let mut newest: Option<(u64, Arc<Model>)> = None;
        for model in self.among(model)? {
            let used = model.session(id).await?.map(|session| session.last_used);
            if let Some(used) = used.filter(|used| newest.as_ref().is_none_or(|(newest, _)| used > newest)) {
                newest = Some((used, model));
            }
        }
        Ok(newest.map(|(_, model)| model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::SessionOptions;

    #[tokio::test]
    async fn sessions_of_names_that_are_gone_are_let_go_of_once_they_are_in_files() {
        let dir = tempfile::tempdir().unwrap();
        for (dir, expected) in [(Some(dir.path().to_owned()), 1), (None, 3)] {
            let sessions = SessionOptions { dir, ..SessionOptions::default() };
            let options = EngineOptions { sessions, ..EngineOptions::default() };
            let placement = Placement::Process { executable: "/none".into(), args: Vec::new() };
            let engine = Engine::new(Vec::new(), placement, options);
            for id in ["a", "b", "unused", "c"] {
                engine.offer(vec![ModelSpec { id: id.into(), ..ModelSpec::default() }]);
                if id != "unused" {
                    engine.named(id).unwrap().sessions();
                }
            }
            assert_eq!(engine.shared.archives.lock().unwrap().len(), expected);
        }
    }
}
