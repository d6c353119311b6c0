//! Named conversations: what was said in each, as it was said, so that a client may send its new turns alone or resend
//! a history without what the model thought.
//!
//! Nothing here knows of caches. A session is only messages; what the worker keeps of it is found by its tokens.

mod file;
mod files;
mod gather;
pub(crate) mod off_offer;
mod rules;
mod store;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hearth_core::chat::{ChatRequest, Message, SessionRef};
use hearth_core::event::Turn;
use hearth_core::task::SessionKey;
use hearth_core::{Error, ErrorKind, Result};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use files::{Files, Owner};
pub(crate) use gather::Gathered;
use store::{Session, Store, Ticket};

/// Characters of an id.
const LONGEST_ID: usize = 256;
/// Messages of a conversation, as of a request.
const MOST_MESSAGES: usize = 4096;

/// How often sessions are looked for that were not used for too long.
const EXPIRY: Duration = Duration::from_secs(60);
/// How long a request waits until the files are read.
const LOADING: Duration = Duration::from_secs(10);

/// How many sessions are kept with each model, how long, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// At most so many.
    pub count: usize,
    /// Bytes that they may take together in memory.
    pub bytes: u64,
    /// Bytes that the files of all models may take together.
    pub disk: u64,
    /// How long one is kept that is not used.
    pub idle: Duration,
    /// The folder of all models' files, one folder in it for each; `None`: they do not outlive the process.
    pub dir: Option<PathBuf>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { count: 1000, bytes: 256 << 20, disk: 512 << 20, idle: Duration::from_secs(24 * 60 * 60), dir: None }
    }
}

/// A session as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id, as the client gave it.
    pub id: String,
    /// What people call it, where they call it otherwise.
    pub title: Option<String>,
    /// The model that it is held with.
    pub model: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970.
    pub last_used: u64,
    /// Messages that it holds.
    pub messages: usize,
    /// Tokens of its last prompt and the answer to it.
    pub tokens: usize,
    /// Bytes that it takes in memory.
    pub bytes: u64,
    /// Whether a request is using it.
    pub busy: bool,
}

/// Why a session was not copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// There is no such session.
    #[error("There is no session with this id.")]
    Unknown,
    /// The copy's id is that of a session that is stored, or of one that a request has just begun.
    #[error("There is a session with the copy's id already.")]
    Taken,
    /// The copy's id is none, or there is no room for a copy.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// A moment on two clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Seconds since 1970, which may jump.
    pub(crate) unix: u64,
    /// Since some moment long before any of the sessions was used; never jumps.
    pub(crate) uptime: Duration,
}

/// Tells the time.
pub(crate) type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// Has the worker forget what a session left behind.
pub(crate) type Forget = Arc<dyn Fn(SessionKey) + Send + Sync>;

/// The machine's own clocks.
pub(crate) fn clock() -> Clock {
    let wall = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (start, began) = (Instant::now(), wall());
    Arc::new(move || Now { unix: wall().as_secs(), uptime: began + start.elapsed() })
}

/// The sessions of one model. Clones are handles of the same ones.
#[derive(Clone)]
pub(crate) struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    model: String,
    clock: Clock,
    state: Arc<State>,
    files: Option<Files>,
    forget: Forget,
}

struct State {
    /// `None` until the files are read.
    store: Mutex<Option<Store>>,
    loaded: watch::Sender<bool>,
}

impl Sessions {
    /// The sessions of the model called `model`, and those that its files hold, which are read on a thread.
    /// What is left of those that go is given to `forget`.
    pub(crate) fn new(model: &str, options: SessionOptions, clock: Clock, forget: Forget) -> Self {
        let state = Arc::new(State { store: Mutex::new(None), loaded: watch::Sender::new(false) });
        let start = |dir: PathBuf| {
            let (state, clock, forget) = (state.clone(), clock.clone(), forget.clone());
            let owner = Stored { model: model.to_owned(), state, clock, options: options.clone(), forget };
            Files::start(&dir, model, EXPIRY, owner)
        };
        let files = options.dir.clone().map(start).transpose().unwrap_or_else(|error| {
            tracing::warn!("sessions are kept in memory alone: their thread cannot be started: {error}");
            None
        });
        if files.is_none() {
            state.begin(Store::new(model, options), Vec::new(), clock());
        }
        Self { inner: Arc::new(Inner { model: model.to_owned(), clock, state, files, forget }) }
    }

    /// Puts the request into the conversation of `session`: its messages become those that are to be answered.
    pub(crate) async fn begin(&self, session: &SessionRef, request: &mut ChatRequest) -> Result<Claim> {
        check_session_id(&session.id, "session_id")?;
        self.loaded().await?;
        let (stored, ticket) = self.with(|store, now| (store.take_up(&session.id, now), store.claim(&session.id)));
        let id = session.id.clone();
        let claim =
            |turn, stored| Claim { sessions: self.clone(), id, explicit: session.explicit, turn, stored, ticket };
        let messages = std::mem::take(&mut request.messages);
        let (messages, turn) =
            rules::apply(stored.as_ref().map(|stored| &*stored.messages), session.explicit, messages);
        let claim = claim(turn, stored);
        if messages.len() > MOST_MESSAGES {
            let message =
                format!("With these messages the session has {}; the limit is {MOST_MESSAGES}.", messages.len());
            return Err(Error::invalid("messages", message));
        }
        request.messages = messages;
        Ok(claim)
    }

    /// Most recently used first.
    pub(crate) async fn list(&self) -> Result<Vec<SessionInfo>> {
        self.loaded().await?;
        Ok(self.with(|store, _| store.list()))
    }

    /// One of them, and what was said.
    pub(crate) async fn get(&self, id: &str) -> Result<Option<(SessionInfo, Vec<Message>)>> {
        self.loaded().await?;
        let found = self.with(|store, _| store.get(id).map(|session| (store.info(session), session.messages.clone())));
        Ok(found.map(|(info, messages)| (info, messages.to_vec())))
    }

    /// Forgets a session; false where there is none.
    pub(crate) async fn delete(&self, id: &str) -> Result<bool> {
        self.loaded().await?;
        Ok(self.with(|store, _| {
            self.drop_traces(id);
            store.remove(id)
        }))
    }

    /// Gives a session another title, or none; nothing where there is no such session.
    pub(crate) async fn rename(&self, id: &str, title: Option<String>) -> Result<Option<SessionInfo>> {
        self.loaded().await?;
        Ok(self.with(|store, _| {
            let session = store.rename(id, title)?.clone();
            let info = store.info(&session);
            if let Some(files) = &self.inner.files {
                files.write(session);
            }
            Some(info)
        }))
    }

    /// Copies a session to another id, a random one if need be.
    pub(crate) async fn fork(&self, id: &str, to: Option<String>) -> Result<SessionInfo, ForkError> {
        let to = to.unwrap_or_else(random_id);
        check_session_id(&to, "id")?;
        self.loaded().await?;
        self.with(|store, now| {
            let fork = store.get(id).ok_or(ForkError::Unknown)?.fork(to.clone());
            if store.knows(&to) {
                return Err(ForkError::Taken);
            }
            self.put(store, fork, now);
            let fork = store.get(&to).map(|fork| store.info(fork));
            Ok(fork.ok_or_else(|| Error::invalid("session_id", "This session is too large to be kept twice."))?)
        })
    }

    /// Acts, if the session still holds these very messages and nobody uses it. It cannot be deleted meanwhile: who
    /// deletes it does so before, and then this does not act, or after.
    pub(crate) fn if_unchanged(&self, id: &str, messages: &Arc<[Message]>, act: impl FnOnce()) {
        self.with(|store, _| {
            if store.get(id).is_some_and(|session| Arc::ptr_eq(&session.messages, messages)) && !store.is_busy(id) {
                act();
            }
        });
    }

    /// The session as the worker knows it: the same after a restart.
    pub(crate) fn key(&self, id: &str) -> SessionKey {
        key(&self.inner.model, id)
    }

    /// Waits until all is written; false where that takes longer than `limit`.
    pub(crate) async fn flush(&self, limit: Duration) -> bool {
        let inner = self.inner.clone();
        spawn_blocking(move || inner.files.as_ref().is_none_or(|files| files.flush(limit))).await.unwrap_or(false)
    }

    /// Whether all of them are in files.
    pub(crate) fn is_stored(&self) -> bool {
        self.inner.files.as_ref().is_some_and(|files| files.flush(Duration::ZERO))
    }

    fn put(&self, store: &mut Store, session: Session, now: Now) {
        let id = session.id.clone();
        store.put(session, now);
        self.trim(store, now);
        if let (Some(files), Some(session)) = (&self.inner.files, store.get(&id)) {
            files.write(session.clone());
        }
    }

    fn trim(&self, store: &mut Store, now: Now) {
        store.trim(now).iter().for_each(|id| self.drop_traces(id));
    }

    /// Removes the file and the caches of a session that goes.
    fn drop_traces(&self, id: &str) {
        if let Some(files) = &self.inner.files {
            files.remove(id);
        }
        (self.inner.forget)(self.key(id));
    }

    /// Waits for the files.
    async fn loaded(&self) -> Result<()> {
        if *self.inner.state.loaded.borrow() {
            return Ok(());
        }
        let mut loaded = self.inner.state.loaded.subscribe();
        let still_reading = |_| {
            let message = format!("The stored sessions are still being read after {} s.", LOADING.as_secs());
            Error::new(ErrorKind::Overloaded, message + " Try again later.")
        };
        // It cannot close: its sender is in the state.
        timeout(LOADING, loaded.wait_for(|loaded| *loaded)).await.map(drop).map_err(still_reading)
    }

    /// The store, without what is over its bounds by now. The files have been waited for.
    fn with<T>(&self, act: impl FnOnce(&mut Store, Now) -> T) -> T {
        let now = (self.inner.clock)();
        let mut state = self.inner.state.lock();
        let store = state.as_mut().expect("it was waited for");
        self.trim(store, now);
        act(store, now)
    }
}

/// What the files' thread knows of the sessions.
struct Stored {
    model: String,
    state: Arc<State>,
    clock: Clock,
    options: SessionOptions,
    forget: Forget,
}

impl Owner for Stored {
    fn options(&self) -> &SessionOptions {
        &self.options
    }

    fn loaded(&self, sessions: Vec<Session>) {
        self.state.begin(Store::new(&self.model, self.options.clone()), sessions, (self.clock)());
    }

    fn expired(&self) -> Vec<String> {
        let now = (self.clock)();
        let mut state = self.state.lock();
        let gone = state.as_mut().map_or_else(Vec::new, |store| store.trim(now));
        gone.iter().for_each(|id| (self.forget)(key(&self.model, id)));
        gone
    }

    fn removed(&self, session: SessionKey) {
        (self.forget)(session);
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Option<Store>> {
        // A panic cannot happen while it is held, unless memory is gone, and with it the process.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, mut store: Store, sessions: Vec<Session>, now: Now) {
        for session in sessions {
            store.restore(session, now);
        }
        *self.lock() = Some(store);
        self.loaded.send_replace(true);
    }
}

/// A request's part in a session, until it is dropped.
pub(crate) struct Claim {
    sessions: Sessions,
    pub(crate) id: String,
    explicit: bool,
    pub(crate) turn: Turn,
    /// The session as it was at the request's start.
    stored: Option<Session>,
    /// `None`: another request is using the session.
    ticket: Option<Ticket>,
}

impl Claim {
    pub(crate) fn key(&self) -> SessionKey {
        self.sessions.key(&self.id)
    }

    /// Whether the request may take over the cache that the session left behind, cutting off what it has no use for. Not
    /// beside another request; nor in place of another conversation where the client's id may be that of many: an
    /// agent's and its helpers', say, which would spoil each other's caches in turn.
    pub(crate) fn takes_over(&self) -> bool {
        let another = self.turn == Turn::Replaced && !self.explicit;
        self.ticket.is_some() && !another
    }

    /// How many of the messages that are answered were stored.
    pub(crate) fn known_messages(&self) -> usize {
        let stored = self.stored.as_ref().map_or(0, |stored| stored.messages.len());
        if matches!(self.turn, Turn::Continued | Turn::Delta) { stored } else { 0 }
    }

    /// The tokens that the session's last turn left in the worker's cache, as far as they are known here.
    pub(crate) fn cached(&self) -> Option<Arc<[u32]>> {
        self.stored.as_ref()?.cached.clone()
    }

    /// How many tokens its last turn had; known after a restart too.
    pub(crate) fn tokens(&self) -> usize {
        self.stored.as_ref().map_or(0, |stored| stored.tokens)
    }

    /// The session goes on from these messages, whose last is the answer; `cached` is the prompt and the answer as
    /// tokens. They come back as they are stored; `None` where another request has that right, the session was deleted,
    /// or it is too large to be kept.
    pub(crate) fn store(&self, messages: Vec<Message>, cached: Arc<[u32]>) -> Option<Arc<[Message]>> {
        let ticket = self.ticket?;
        let mut session = Session::new(self.id.clone(), messages, cached.len(), Some(cached));
        session.created = self.stored.as_ref().map_or(0, |stored| stored.created);
        self.sessions.with(|store, now| {
            if !store.holds(&self.id, ticket) {
                return None;
            }
            session.title = store.get(&self.id).and_then(|stored| stored.title.clone());
            self.sessions.put(store, session, now);
            store.get(&self.id).map(|session| session.messages.clone())
        })
    }
}

impl Drop for Claim {
    /// Lets the session go. One that was deleted meanwhile may have got something to leave behind after that.
    fn drop(&mut self) {
        self.sessions.with(|store, _| {
            let is_there = match self.ticket {
                Some(ticket) => store.release(&self.id, ticket),
                None => store.knows(&self.id),
            };
            if !is_there {
                (self.sessions.inner.forget)(self.key());
            }
        });
    }
}

/// Whether `id`, which stands at `param`, may name a session.
pub fn check_session_id(id: &str, param: &str) -> Result<()> {
    match id.chars().count() {
        1..=LONGEST_ID => Ok(()),
        length => Err(Error::invalid(param, format!("{param} must have 1 to {LONGEST_ID} characters, not {length}."))),
    }
}

/// Whether files in `dir` may hold sessions of the model called `model`.
pub(crate) fn has_files(dir: &Path, model: &str) -> bool {
    dir.join(folder_name(model)).is_dir()
}

fn hash(model: &str, id: &str) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    // The length keeps the two apart.
    hasher.update(&(model.len() as u64).to_le_bytes()).update(model.as_bytes()).update(id.as_bytes());
    hasher.finalize()
}

fn key(model: &str, id: &str) -> SessionKey {
    hash(model, id).as_bytes().iter().take(8).fold(0, |key, &byte| key << 8 | SessionKey::from(byte))
}

/// The key of the session whose file has this name.
fn key_in(name: &str) -> Option<SessionKey> {
    SessionKey::from_str_radix(name.get(..16)?, 16).ok()
}

/// The name of the folder of a model's files.
fn folder_name(model: &str) -> String {
    blake3::hash(model.as_bytes()).to_hex()[..16].to_owned()
}

/// The name of a session's file, without its extension.
fn file_name(model: &str, id: &str) -> String {
    hash(model, id).to_hex().as_str().to_owned()
}

/// Nobody guesses it: the standard library seeds its hasher from the system's entropy.
fn random_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let half = || RandomState::new().hash_one(0);
    format!("session_{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests;
