//! The handle of a model: requests go in, streams of events come out.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hearth_core::chat::{ChatRequest, Message, ToolChoice};
use hearth_core::model::{ModelCard, ModelFacts};
use hearth_core::runner::Runner;
use hearth_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::choice::Choice;
use crate::fill::Fill;
use crate::pool::{Keeper, Pool};
use crate::report::{Expected, Subject};
use crate::sessions::{Claim, ForkError, SessionInfo, SessionOptions, Sessions};
use crate::stats::{Stats, Status};
use crate::stream::{ChatStream, SessionTurn};
use crate::text::Text;
use crate::worker::LoadRequest;
use crate::worker::protocol::CacheOptions;
use crate::{admission, names, sessions};

/// Characters of an unknown model's name that an error repeats.
const LONGEST_NAME_SHOWN: usize = 128;

/// How long the end waits for sessions to be written.
const FLUSH: Duration = Duration::from_secs(5);

/// What a server operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Sequences that run at a time.
    pub max_batch: usize,
    /// Requests that may wait beyond them; more are refused as overloaded.
    pub queue: usize,
    /// `max_tokens` of requests that do not say; `None`: up to the context's end.
    pub max_tokens: Option<usize>,
    /// Tokens that prompt and answer may hold together, where that is to be less than the model allows.
    pub context: Option<usize>,
    /// A chat template that takes the place of the model's own.
    pub chat_template: Option<PathBuf>,
    /// What the worker keeps of the caches of answers that have ended.
    pub cache: CacheOptions,
    /// What is kept of conversations.
    pub sessions: SessionOptions,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_batch: 32,
            queue: 256,
            max_tokens: None,
            context: None,
            chat_template: None,
            cache: CacheOptions::default(),
            sessions: SessionOptions::default(),
        }
    }
}

/// The model to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// The API name, which clients send.
    pub id: String,
    /// The repository id or folder, as given.
    pub source: String,
    /// Where its files lie.
    pub dir: PathBuf,
}

/// Makes a runner of a model folder, on the thread that will own it.
pub type Loader = Arc<dyn Fn(&LoadRequest) -> Result<Box<dyn Runner>> + Send + Sync>;

/// Where a model's worker runs.
#[derive(Clone)]
pub enum Placement {
    /// In a child process, which has to call [`worker::run_on_stdio`](crate::worker::run_on_stdio).
    Process {
        /// The program, as a rule this one.
        executable: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
    /// On a thread of this process, for tests and for programs that embed the library.
    Thread(Loader),
}

/// A model that is served. Clones are handles of the same one.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    spec: ModelSpec,
    options: EngineOptions,
    created: u64,
    stats: Arc<Stats>,
    sessions: Sessions,
    text: OnceCell<Text>,
    /// One permit for each request that may be in the house, running or waiting.
    places: Arc<Semaphore>,
    pool: Pool,
    /// The pool's task until the first request starts it: a handle may be made outside the runtime.
    keeper: Mutex<Option<Keeper>>,
}

impl Engine {
    /// A model to be served. Nothing is started yet.
    pub fn new(spec: ModelSpec, placement: Placement, options: EngineOptions) -> Self {
        let stats = Arc::new(Stats::default());
        let load = LoadRequest {
            dir: spec.dir.clone(),
            context: options.context,
            max_batch: options.max_batch.max(1),
            cache: options.cache.clone(),
        };
        let (pool, keeper) = Pool::new(&spec, placement, load, stats.clone());
        let forget = {
            let pool = pool.clone();
            Arc::new(move |session| pool.forget(session))
        };
        let sessions = Sessions::new(&spec.id, options.sessions.clone(), sessions::clock(), forget);
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let places = Arc::new(Semaphore::new(places(&options)));
        let keeper = Mutex::new(Some(keeper));
        let shared = Shared { spec, options, created, stats, sessions, text: OnceCell::new(), places, pool, keeper };
        Self { shared: Arc::new(shared) }
    }

    /// Loads the model, or waits for the load in progress; at once where it is loaded.
    pub async fn load(&self) -> Result<ModelFacts> {
        let shared = &self.shared;
        let (text, facts) = tokio::join!(shared.text(), shared.pool().load());
        if text.is_err() {
            shared.pool.unload();
        }
        text?;
        facts.map(|facts| shared.limited(&facts))
    }

    /// The models on offer, the default one first.
    pub fn models(&self) -> Vec<ModelCard> {
        vec![self.shared.card()]
    }

    /// The model that answers to `name`.
    pub fn find(&self, name: &str) -> Result<ModelCard> {
        let card = self.shared.card();
        if names::is_default(name) || names::answers_to(&card, name) {
            return Ok(card);
        }
        let shown: String = name.chars().take(LONGEST_NAME_SHOWN).collect();
        let message = format!("There is no model `{shown}` here; installed is `{}`.", card.id);
        Err(Error { kind: ErrorKind::ModelNotFound, message, param: Some("model".into()) })
    }

    /// Queues the request for one answer; see [`Engine::choices`].
    pub async fn chat(&self, request: ChatRequest) -> Result<ChatStream> {
        self.choices(request, 1).await
    }

    /// Queues the request for `count` answers to the same messages, after loading the model where that is needed.
    ///
    /// In a session the messages are what the client sends of a conversation, and the first answer becomes part of it
    /// once all have ended well. Where one fails, or nobody reads them to their end, the session stays as it was.
    pub async fn choices(&self, mut request: ChatRequest, count: usize) -> Result<ChatStream> {
        let shared = &self.shared;
        self.find(&request.model)?;
        let places = shared.take_places(count)?;
        let asked = Instant::now();
        let (text, facts) = shared.ready(self).await?;
        let loading = asked.elapsed();
        let claim = match request.session.take() {
            Some(session) => Some(shared.sessions.begin(&session, &mut request).await?),
            None => None,
        };
        let request = Arc::new(request);
        let prompt = text.prompt(request.clone()).await?;
        let task = admission::task(&request, prompt.tokens.clone(), &facts, shared.options.max_tokens)?;
        let tasks = admission::choices(task, count, claim.as_ref());
        shared.stats.requests.fetch_add(1, Relaxed);
        shared.stats.prompt_tokens.fetch_add(prompt.tokens.len() as u64, Relaxed);
        let subject = Arc::new(Subject {
            tokenizer: text.tokenizer.clone(),
            prompt,
            tools: !request.tools.is_empty() && request.tool_choice != ToolChoice::None,
            request: request.clone(),
            cuts_anywhere: facts.cache.cuts_anywhere,
            expected: claim.as_ref().map(Expected::of).unwrap_or_default(),
            loading,
        });
        let choices = tasks.into_iter().map(|task| Choice::start(shared.pool(), subject.clone(), task)).collect();
        let session = claim.map(|claim| shared.session_turn(claim, text, facts, request));
        Ok(ChatStream::new(subject, choices, session, places))
    }

    /// The stored sessions, most recently used first.
    ///
    /// At the start this waits for their files to be read, as all that has to do with sessions; where that takes many
    /// seconds, it is an error (`Overloaded`).
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>> {
        self.shared.sessions.list().await
    }

    /// A session and its messages, as they were said.
    pub async fn session(&self, id: &str) -> Result<Option<(SessionInfo, Vec<Message>)>> {
        self.shared.sessions.get(id).await
    }

    /// Forgets a session, its file and its cache; false where there is none, and then a cache that may be left of it is
    /// forgotten all the same. A request that is using it goes on, and leaves nothing behind.
    pub async fn delete_session(&self, id: &str) -> Result<bool> {
        // Runs the task that is told, so that it keeps a bounded number of keys, and not the channel any number.
        self.shared.pool();
        self.shared.sessions.delete(id).await
    }

    /// Copies a session to the id `to`, or to a random one.
    pub async fn fork_session(&self, id: &str, to: Option<String>) -> Result<SessionInfo, ForkError> {
        self.shared.sessions.fork(id, to).await
    }

    /// The worker's state and the load on it. Wakes nothing.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let free = shared.places.available_permits();
        shared.stats.status(places(&shared.options) - free, shared.options.max_batch)
    }

    /// Ends the worker in order, in a few seconds at most. Requests that still run end with `ShuttingDown`, and so do
    /// all that come later.
    pub async fn shutdown(&self) {
        self.shared.places.close();
        self.shared.pool().shutdown().await;
        if !self.shared.sessions.flush(FLUSH).await {
            tracing::warn!("some sessions were not saved in time");
        }
    }
}

/// How many requests may be in the house.
fn places(options: &EngineOptions) -> usize {
    options.max_batch.max(1).saturating_add(options.queue).min(Semaphore::MAX_PERMITS)
}

impl Shared {
    fn card(&self) -> ModelCard {
        let facts = self.stats.worker().facts.clone();
        ModelCard {
            id: self.spec.id.clone(),
            source: self.spec.source.clone(),
            created: self.created,
            context_length: facts.map(|facts| self.limited(&facts).context_length),
        }
    }

    /// The facts under the operator's limit, which a worker may or may not have known.
    fn limited(&self, facts: &ModelFacts) -> ModelFacts {
        let context_length = facts.context_length.min(self.options.context.unwrap_or(usize::MAX));
        ModelFacts { context_length, ..facts.clone() }
    }

    fn take_places(&self, count: usize) -> Result<OwnedSemaphorePermit> {
        if self.places.is_closed() {
            return Err(Error::new(ErrorKind::ShuttingDown, "The server is shutting down."));
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.places.clone().try_acquire_many_owned(count).map_err(|_| {
            let message = format!(
                "This server takes {} requests at a time, running or waiting and each choice counted, and has no place \
                 for this one now. Try again later.",
                places(&self.options)
            );
            Error::new(ErrorKind::Overloaded, message)
        })
    }

    /// What a request needs to be rendered and admitted. A model that was loaded once is known even without a worker.
    async fn ready(&self, engine: &Engine) -> Result<(&Text, ModelFacts)> {
        let facts = self.stats.worker().facts.clone();
        let facts = match (self.text.get(), facts) {
            (Some(_), Some(facts)) => self.limited(&facts),
            _ => engine.load().await?,
        };
        Ok((self.text().await?, facts))
    }

    fn session_turn(&self, claim: Claim, text: &Text, facts: ModelFacts, request: Arc<ChatRequest>) -> SessionTurn {
        let cache = &self.options.cache;
        let fill = (cache.memory != Some(0) || cache.disk.is_some()).then(|| Fill {
            text: text.clone(),
            pool: self.pool.clone(),
            sessions: self.sessions.clone(),
            facts,
            request,
            runtime: Handle::current(),
        });
        SessionTurn { claim, fill }
    }

    async fn text(&self) -> Result<&Text> {
        let load = || async {
            let (dir, template) = (self.spec.dir.clone(), self.options.chat_template.clone());
            spawn_blocking(move || Text::load(&dir, template.as_deref()))
                .await
                .unwrap_or_else(|_| Err(Error::model_load("Loading the tokenizer failed; the log says where.")))
        };
        self.text.get_or_try_init(load).await
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
