//! One model that may be served: its text side, its sessions, its worker. Nothing of it is started before it is used.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hearth_core::chat::{ChatRequest, ToolChoice};
use hearth_core::model::{KeepAlive, ModelCard, ModelFacts};
use hearth_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::archive::Archive;
use crate::choice::Choice;
use crate::fill::Fill;
use crate::models::Use;
use crate::pool::{Keeper, Pool, shutting_down};
use crate::report::{Expected, Subject};
use crate::residents::{Key, Needs};
use crate::sessions::{Claim, SessionInfo, Sessions};
use crate::spec::{EngineOptions, ModelSpec, Placement};
use crate::stats::{Pulse, Stats, Status, WorkerInfo};
use crate::stream::{ChatStream, SessionTurn};
use crate::text::Text;
use crate::worker::LoadRequest;
use crate::{admission, sessions};

/// See the module.
pub(crate) struct Model {
    pub(crate) key: Key,
    /// May be replaced by one that the same worker serves.
    spec: Mutex<Arc<ModelSpec>>,
    /// Whether it is no longer offered.
    retired: AtomicBool,
    options: EngineOptions,
    created: u64,
    stats: Arc<Stats>,
    archive: Arc<Archive>,
    /// `None` while it is not loaded.
    text: tokio::sync::Mutex<Option<Text>>,
    /// One permit for each request that may be in the house, running or waiting.
    places: Arc<Semaphore>,
    pool: Pool,
    /// The pool's task until the first request starts it: a handle may be made outside the runtime.
    keeper: Mutex<Option<Keeper>>,
}

/// What a request holds until its end.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _used: Use,
}

impl Model {
    pub(crate) fn new(
        spec: ModelSpec,
        placement: Placement,
        options: EngineOptions,
        pulse: Pulse,
        archive: Arc<Archive>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let stats = Arc::new(Stats::new(pulse));
        let load = LoadRequest {
            dir: spec.dir.clone(),
            context: spec.settings.context.or(options.context),
            max_batch: options.max_batch.max(1),
            cache: options.cache.clone(),
        };
        let (pool, keeper) = Pool::new(&spec.id, placement, load, stats.clone());
        archive.join(&pool);
        Self {
            key: NEXT.fetch_add(1, Relaxed),
            spec: Mutex::new(Arc::new(spec)),
            retired: AtomicBool::new(false),
            created: unix(),
            stats,
            archive,
            text: tokio::sync::Mutex::default(),
            places: Arc::new(Semaphore::new(places(&options))),
            options,
            pool,
            keeper: Mutex::new(Some(keeper)),
        }
    }

    pub(crate) fn spec(&self) -> Arc<ModelSpec> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_spec(&self, spec: ModelSpec) {
        *self.spec.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(spec);
    }

    pub(crate) fn id(&self) -> String {
        self.spec().id.clone()
    }

    /// Notes that it is no longer offered.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.spec().settings.pinned && !self.is_retired()
    }

    /// How long it stays loaded where no request says.
    pub(crate) fn keep_alive(&self) -> KeepAlive {
        self.spec().settings.keep_alive.unwrap_or(self.options.keep_alive)
    }

    /// What it needs, where a worker has looked at it.
    pub(crate) fn known_needs(&self) -> Option<Needs> {
        self.worker().facts.map(|facts| Needs::of(&facts))
    }

    /// What it needs, as far as that is known.
    pub(crate) async fn needs(&self) -> Needs {
        if let Some(needs) = self.known_needs() {
            return needs;
        }
        let spec = self.spec();
        Needs { weights: spawn_blocking(move || spec.weights()).await.unwrap_or(0), answers: 0 }
    }

    pub(crate) fn worker(&self) -> WorkerInfo {
        self.stats.worker().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<WorkerInfo> {
        self.stats.watch()
    }

    pub(crate) fn card(&self) -> ModelCard {
        let (spec, facts) = (self.spec(), self.worker().facts);
        ModelCard {
            id: spec.id.clone(),
            name: spec.display_name().to_owned(),
            source: spec.source.clone(),
            created: self.created,
            context_length: facts.map(|facts| self.resolved(&facts).context_length),
        }
    }

    pub(crate) fn status(&self) -> Status {
        let free = self.places.available_permits();
        self.stats.status(self.card(), places(&self.options) - free, self.options.max_batch)
    }

    pub(crate) fn take_places(&self, count: usize) -> Result<OwnedSemaphorePermit> {
        if self.places.is_closed() {
            return Err(shutting_down());
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.places.clone().try_acquire_many_owned(count).map_err(|_| {
            let message = format!(
                "This server takes {} requests at a time for a model, running or waiting and each choice counted, and has \
                 no place for this one now. Try again later.",
                places(&self.options)
            );
            Error::new(ErrorKind::Overloaded, message)
        })
    }

    /// Loads it, or waits for the load in progress; at once where it is loaded. The caller holds a [`Use`].
    pub(crate) async fn load(&self) -> Result<ModelFacts> {
        let (text, facts) = tokio::join!(self.text(), self.pool().load());
        if text.is_err() {
            self.pool.unload().await;
        }
        text?;
        facts.map(|facts| self.resolved(&facts))
    }

    /// Queues the request for `count` answers to the same messages; it came at `asked`.
    pub(crate) async fn choices(
        &self,
        mut request: ChatRequest,
        count: usize,
        (permit, used): (OwnedSemaphorePermit, Use),
        asked: Instant,
    ) -> Result<ChatStream> {
        let (text, facts) = self.ready().await?;
        let loading = asked.elapsed();
        let claim = match request.session.take() {
            Some(session) => Some(self.sessions().begin(&session, &mut request).await?),
            None => None,
        };
        let request = Arc::new(request);
        let prompt = text.prompt(request.clone()).await?;
        let task = admission::task(&request, prompt.tokens.clone(), &facts, self.options.max_tokens)?;
        let tasks = admission::choices(task, count, claim.as_ref());
        self.stats.requests.fetch_add(1, Relaxed);
        self.stats.prompt_tokens.fetch_add(prompt.tokens.len() as u64, Relaxed);
        let subject = Arc::new(Subject {
            tokenizer: text.tokenizer.clone(),
            prompt,
            tools: !request.tools.is_empty() && request.tool_choice != ToolChoice::None,
            request: request.clone(),
            cuts_anywhere: facts.cache.cuts_anywhere,
            expected: claim.as_ref().map(Expected::of).unwrap_or_default(),
            loading,
        });
        let choices = tasks.into_iter().map(|task| Choice::start(self.pool(), subject.clone(), task)).collect();
        let session = claim.map(|claim| self.session_turn(claim, text, facts, request));
        Ok(ChatStream::new(subject, choices, session, Place { _permit: permit, _used: used }))
    }

    /// Its sessions; their files are read from here on.
    pub(crate) fn sessions(&self) -> &Sessions {
        // Its task hears what is to be forgotten.
        self.pool();
        self.archive.open(&self.id(), &self.options.sessions)
    }

    /// Its sessions, where there may be any.
    pub(crate) fn known_sessions(&self) -> Option<&Sessions> {
        let dir = self.options.sessions.dir.as_ref();
        let may_be = self.archive.get().is_some() || dir.is_some_and(|dir| sessions::has_files(dir, &self.id()));
        may_be.then(|| self.sessions())
    }

    /// The session, as it is listed.
    pub(crate) async fn session(&self, id: &str) -> Result<Option<SessionInfo>> {
        match self.known_sessions() {
            Some(sessions) => Ok(sessions.get(id).await?.map(|(info, _)| info)),
            None => Ok(None),
        }
    }

    /// The worker, and those after it, may use so many bytes.
    pub(crate) fn limit(&self, bytes: u64) {
        self.pool().limit(bytes);
    }

    /// Ends a worker that nobody wants any more.
    pub(crate) fn abandon(&self) {
        self.pool().abandon();
    }

    /// Ends the worker in order, in a few seconds at most. Requests that are on it end with `ModelUnloaded`.
    pub(crate) async fn unload(&self) {
        self.pool().unload().await;
        self.text.lock().await.take();
    }

    /// Ends the worker in order. Requests that still run end with `ShuttingDown`, and so do all that come later.
    pub(crate) async fn shutdown(&self) {
        self.places.close();
        self.pool().shutdown().await;
    }

    /// Notes that an answer has ended.
    pub(crate) fn used(&self) {
        self.stats.last_used.store(unix(), Relaxed);
    }

    /// The facts under what is set for the model and for all.
    fn resolved(&self, facts: &ModelFacts) -> ModelFacts {
        let settings = &self.spec().settings;
        let most = settings.context.or(self.options.context).unwrap_or(usize::MAX);
        let sampling = settings.sampling.clone().or(&facts.sampling);
        ModelFacts { context_length: facts.context_length.min(most), sampling, ..facts.clone() }
    }

    /// What a request needs to be rendered and admitted.
    async fn ready(&self) -> Result<(Text, ModelFacts)> {
        let known = (self.text.lock().await.clone(), self.worker().facts);
        match known {
            (Some(text), Some(facts)) => Ok((text, self.resolved(&facts))),
            _ => {
                let facts = self.load().await?;
                Ok((self.text().await?, facts))
            }
        }
    }

    fn session_turn(&self, claim: Claim, text: Text, facts: ModelFacts, request: Arc<ChatRequest>) -> SessionTurn {
        let cache = &self.options.cache;
        let fill = (cache.memory != Some(0) || cache.disk.is_some()).then(|| Fill {
            text,
            pool: self.pool.clone(),
            sessions: self.sessions().clone(),
            facts,
            request,
            runtime: Handle::current(),
        });
        SessionTurn { claim, fill }
    }

    async fn text(&self) -> Result<Text> {
        let mut text = self.text.lock().await;
        if let Some(text) = &*text {
            return Ok(text.clone());
        }
        let spec = self.spec();
        let template = spec.settings.chat_template.clone().or(self.options.chat_template.clone());
        let loaded = spawn_blocking(move || Text::load(&spec.dir, template.as_deref()))
            .await
            .unwrap_or_else(|_| Err(Error::model_load("Loading the tokenizer failed; the log says where.")))?;
        Ok(text.insert(loaded).clone())
    }

    /// The pool, its task started.
    fn pool(&self) -> &Pool {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            tokio::spawn(keeper.run());
        }
        &self.pool
    }
}

/// How many requests may be in the house.
fn places(options: &EngineOptions) -> usize {
    options.max_batch.max(1).saturating_add(options.queue).min(Semaphore::MAX_PERMITS)
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
