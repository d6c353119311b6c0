//! Keeps a model's worker: starts it for the first request, routes what it reports, and picks up after its death.
//!
//! One task owns all of it. Requests that were on a worker when it died are told so; whether one is run again is its
//! stream's decision, since only that knows what has left the house.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hearth_core::model::ModelFacts;
use hearth_core::task::{Generate, SessionKey};
use hearth_core::{Error, ErrorKind, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use crate::scheduler::failed;
use crate::spec::Placement;
use crate::stats::{Stats, WorkerInfo, WorkerState};
use crate::worker::Worker;
use crate::worker::protocol::{Command, LoadRequest, Report, RequestId, Update};

/// So many deaths ...
const DEATHS: usize = 3;
/// ... within this time, and no worker is started until the first of them is so long ago.
const WINDOW: Duration = Duration::from_secs(60);

/// A worker with something to do that reports nothing for so long hangs. A step takes a second, on slow machines some more.
const SILENCE: Duration = Duration::from_secs(300);

/// How long a worker may take to save its caches, ten seconds at most, and unload its model.
const STOP: Duration = Duration::from_secs(15);
/// How long one that was killed may take to be gone, with the memory that it holds.
const GONE: Duration = Duration::from_secs(5);
/// A load cannot be interrupted, and there is nothing yet that would be lost by force.
const STOP_LOADING: Duration = Duration::from_millis(200);

/// Where a request's updates go. Never more than its `max_tokens` entries of [`UPDATE_BYTES`] lie in it, so a slow
/// reader holds up nobody and costs a bounded amount of memory.
pub(crate) type Updates = UnboundedSender<Routed>;

const UPDATE_BYTES: usize = 112;
const _: () = assert!(size_of::<Routed>() <= UPDATE_BYTES);

/// An update, and when it came: its reader may be late.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) at: Instant,
    /// When a loaded worker had the request.
    pub(crate) begun: Instant,
    pub(crate) update: Update,
}

/// Fills that may be with the worker at a time, of different sessions; what comes then is not worth its place.
const MOST_FILLS: usize = 32;

/// Keys that are remembered for the next worker. Anybody may ask for any to be forgotten.
const MOST_FORGOTTEN: usize = 1 << 16;

/// Asks the pool's task.
#[derive(Clone)]
pub(crate) struct Pool {
    messages: UnboundedSender<Message>,
}

/// A pool that may have ended.
pub(crate) struct WeakPool(WeakUnboundedSender<Message>);

enum Message {
    Load(oneshot::Sender<Result<Arc<ModelFacts>>>),
    Generate { id: RequestId, task: Generate, updates: Updates },
    Cancel(RequestId),
    Fill(Generate),
    Forget(SessionKey),
    Limit(u64),
    Unload(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

impl Pool {
    /// A pool without a worker, and its task, which runs until the last handle is gone.
    pub(crate) fn new(name: &str, placement: Placement, load: LoadRequest, stats: Arc<Stats>) -> (Self, Keeper) {
        let (messages, inbox) = unbounded_channel();
        let keeper = Keeper {
            name: name.to_owned(),
            placement,
            load,
            stats,
            inbox,
            worker: None,
            requests: HashMap::new(),
            fills: HashMap::new(),
            forgotten: HashSet::new(),
            indexed: false,
            patience: SILENCE,
            loads: Vec::new(),
            deaths: VecDeque::new(),
            closed: false,
        };
        (Self { messages }, keeper)
    }

    /// Waits until the model is loaded.
    pub(crate) async fn load(&self) -> Result<Arc<ModelFacts>> {
        let (reply, loaded) = oneshot::channel();
        self.tell(Message::Load(reply));
        loaded.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// Runs a task, on a fresh worker if there is none.
    pub(crate) fn generate(&self, id: RequestId, task: Generate, updates: Updates) {
        self.tell(Message::Generate { id, task, updates });
    }

    /// Forgets a task.
    pub(crate) fn cancel(&self, id: RequestId) {
        self.tell(Message::Cancel(id));
    }

    /// Runs a task that only fills the cache, if the worker is there. Nobody hears of it again.
    pub(crate) fn fill(&self, task: Generate) {
        self.tell(Message::Fill(task));
    }

    /// The worker, and those after it, may use so many bytes.
    pub(crate) fn limit(&self, bytes: u64) {
        self.tell(Message::Limit(bytes));
    }

    /// Ends the worker, after what was asked for so far.
    pub(crate) fn abandon(&self) {
        self.tell(Message::Unload(oneshot::channel().0));
    }

    /// Ends the worker, in a few seconds at most; the next request starts another.
    pub(crate) async fn unload(&self) {
        self.tell_and_wait(Message::Unload).await;
    }

    /// Ends the worker and starts no other.
    pub(crate) async fn shutdown(&self) {
        self.tell_and_wait(Message::Shutdown).await;
    }

    pub(crate) fn downgrade(&self) -> WeakPool {
        WeakPool(self.messages.downgrade())
    }

    async fn tell_and_wait(&self, message: impl FnOnce(oneshot::Sender<()>) -> Message) {
        let (reply, done) = oneshot::channel();
        self.tell(message(reply));
        // An error: the task has ended, and with it the worker.
        let _ = done.await;
    }

    fn tell(&self, message: Message) {
        // If the task has ended with its runtime, whoever waits for an answer learns it from the closed channel.
        let _ = self.messages.send(message);
    }
}

impl WeakPool {
    /// Whether a worker can be there, or come.
    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Has the worker, or the next one, forget what a session left behind; false where no other can come.
    pub(crate) fn forget(&self, session: SessionKey) -> bool {
        self.0.upgrade().is_some_and(|messages| messages.send(Message::Forget(session)).is_ok())
    }
}

/// A request on the worker.
struct Request {
    updates: Updates,
    /// When the worker had it, loaded.
    begun: Instant,
}

/// The task that owns the worker.
pub(crate) struct Keeper {
    name: String,
    placement: Placement,
    load: LoadRequest,
    stats: Arc<Stats>,
    inbox: UnboundedReceiver<Message>,
    worker: Option<Worker>,
    requests: HashMap<RequestId, Request>,
    /// Tasks that nobody waits for, and the sessions that they are for, at most one for each.
    fills: HashMap<RequestId, SessionKey>,
    /// What a worker has to forget that does not know its files yet, and the next one where it dies before.
    forgotten: HashSet<SessionKey>,
    /// Whether the worker knows its files.
    indexed: bool,
    /// How long the worker may still report nothing, while it has something to do.
    patience: Duration,
    /// Who waits for the load.
    loads: Vec<oneshot::Sender<Result<Arc<ModelFacts>>>>,
    /// When workers died, oldest first.
    deaths: VecDeque<Instant>,
    closed: bool,
}

impl Keeper {
    pub(crate) async fn run(mut self) {
        loop {
            let at_work_since = self.is_at_work().then(Instant::now);
            let hangs_at = at_work_since.map(|since| since + self.patience);
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => {
                        // Those who gave up have waited in vain, too.
                        let waited = at_work_since.map_or(Duration::ZERO, |since| since.elapsed());
                        self.patience = self.patience.saturating_sub(waited);
                        self.handle(message).await;
                    }
                    None => return self.unload(&shutting_down()).await,
                },
                report = next(&mut self.worker) => match report {
                    Ok(report) => {
                        self.patience = SILENCE;
                        self.handle_report(report).await;
                    }
                    Err(how) => self.worker_died(&how).await,
                },
                () = until(hangs_at) => {
                    self.worker_died(&format!("it has reported nothing for {} s", SILENCE.as_secs())).await;
                }
            }
        }
    }

    /// Whether a loaded worker has something to do. One on a thread does not count: it could not be ended by force.
    fn is_at_work(&self) -> bool {
        let is_idle = self.requests.is_empty() && self.fills.is_empty();
        let WorkerInfo { state, pid, .. } = *self.stats.worker();
        !is_idle && state == WorkerState::Ready && pid.is_some()
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Load(reply) => self.load(reply),
            Message::Generate { id, task, updates } => self.generate(id, task, updates),
            Message::Cancel(id) => {
                if let (Some(_), Some(worker)) = (self.requests.remove(&id), &self.worker) {
                    worker.send(Command::Cancel(id));
                }
            }
            Message::Fill(task) => self.fill(task),
            Message::Forget(session) => self.forget(session),
            Message::Limit(bytes) => {
                self.load.cache.limit = Some(bytes);
                if let Some(worker) = &self.worker {
                    worker.send(Command::Limit(bytes));
                }
            }
            Message::Unload(reply) => {
                self.unload(&unloaded(&self.name)).await;
                // Whoever asked may have gone.
                let _ = reply.send(());
            }
            Message::Shutdown(reply) => {
                self.closed = true;
                self.unload(&shutting_down()).await;
                // Whoever asked may have gone.
                let _ = reply.send(());
            }
        }
    }

    fn load(&mut self, reply: oneshot::Sender<Result<Arc<ModelFacts>>>) {
        if reply.is_closed() {
            return; // Nobody would use the worker.
        }
        let started = self.start().map(drop);
        let WorkerInfo { state, facts, .. } = self.stats.worker().clone();
        let answer = match (started, facts) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(facts)) if state == WorkerState::Ready => Ok(facts),
            _ => return self.loads.push(reply),
        };
        // Whoever asked may have gone.
        let _ = reply.send(answer);
    }

    fn generate(&mut self, id: RequestId, task: Generate, updates: Updates) {
        if updates.is_closed() {
            return;
        }
        if let Some(session) = task.session.filter(|_| task.takes_over) {
            // It goes on from what the fill has done so far.
            self.cancel_fill(session);
        }
        match self.start() {
            // A worker that still loads reads it afterwards.
            Ok(worker) => {
                worker.send(Command::Generate { id, task });
                self.requests.insert(id, Request { updates, begun: Instant::now() });
            }
            Err(error) => Request { updates, begun: Instant::now() }.tell(failed(id, error)),
        }
    }

    fn fill(&mut self, task: Generate) {
        let Some(session) = task.session else { return };
        self.cancel_fill(session);
        let ready = self.stats.worker().state == WorkerState::Ready && self.fills.len() < MOST_FILLS;
        if let Some(worker) = self.worker.as_ref().filter(|_| ready) {
            let id = next_id();
            worker.send(Command::Generate { id, task });
            self.fills.insert(id, session);
        }
    }

    fn cancel_fill(&mut self, session: SessionKey) {
        let Some((&id, _)) = self.fills.iter().find(|(_, of)| **of == session) else { return };
        self.fills.remove(&id);
        if let Some(worker) = &self.worker {
            worker.send(Command::Cancel(id));
        }
    }

    fn forget(&mut self, session: SessionKey) {
        self.cancel_fill(session);
        if let Some(worker) = &self.worker {
            worker.send(Command::Forget(session));
        }
        if !self.indexed && self.forgotten.len() < MOST_FORGOTTEN {
            self.forgotten.insert(session);
        }
    }

    /// The worker, started if need be.
    fn start(&mut self) -> Result<&Worker> {
        if self.closed {
            return Err(shutting_down());
        }
        if self.worker.is_none() {
            self.back_off()?;
            tracing::info!(model = self.name, "loading");
            let worker = Worker::start(&self.placement)?;
            worker.send(Command::Load(self.load.clone()));
            self.forgotten.iter().for_each(|session| worker.send(Command::Forget(*session)));
            self.show(WorkerState::Loading, worker.pid());
            self.worker = Some(worker);
        }
        self.worker.as_ref().ok_or_else(|| Error::internal("The worker was started but is not there."))
    }

    /// An error while workers die faster than they are of use.
    fn back_off(&mut self) -> Result<()> {
        let now = Instant::now();
        while self.deaths.front().is_some_and(|death| now - *death >= WINDOW) {
            self.deaths.pop_front();
        }
        let Some(oldest) = self.deaths.front().filter(|_| self.deaths.len() >= DEATHS) else { return Ok(()) };
        let wait = (WINDOW - (now - *oldest)).as_secs() + 1;
        let message = format!(
            "The worker of {} died {} times within a minute, so it is not started again for {wait} s. The log says \
             why it died; a model that does not fit into memory is the usual reason.",
            self.name,
            self.deaths.len()
        );
        Err(Error::new(ErrorKind::WorkerDied, message))
    }

    async fn handle_report(&mut self, report: Report) {
        match report {
            Report::Step(updates) => updates.into_iter().for_each(|update| self.route(update)),
            Report::Loaded(facts) => self.loaded(Arc::new(facts)),
            Report::Loading { done, total } => {
                self.stats.change(|worker| worker.progress = done as f32 / total.max(1) as f32);
            }
            Report::Memory { kept, running } => {
                self.stats.change(|worker| (worker.kept, worker.running) = (kept, running));
            }
            Report::Indexed => {
                self.indexed = true;
                self.forgotten.clear();
            }
            Report::LoadFailed(error, facts) => {
                if let Some(facts) = facts {
                    self.stats.change(|worker| {
                        worker.facts = Some(Arc::new(*facts));
                        worker.failures += 1;
                    });
                }
                // Whoever waits for the load gets the error and tells it.
                tracing::info!(model = self.name, "not loaded: {error}");
                self.unload(&error).await;
            }
        }
    }

    fn loaded(&mut self, facts: Arc<ModelFacts>) {
        tracing::info!(model = self.name, r#type = facts.model_type, context = facts.context_length, "loaded");
        self.stats.change(|worker| {
            worker.state = WorkerState::Ready;
            worker.facts = Some(facts.clone());
        });
        self.requests.values_mut().for_each(|request| request.begun = Instant::now());
        for reply in self.loads.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(Ok(facts.clone()));
        }
    }

    /// Updates of requests that were cancelled meanwhile find nobody.
    fn route(&mut self, update: Update) {
        if self.fills.contains_key(&update.id) {
            if update.end.is_some() {
                self.fills.remove(&update.id);
            }
            return;
        }
        if update.sampled.is_some() {
            self.stats.completion_tokens.fetch_add(1, Relaxed);
        }
        let id = update.id;
        let ended = update.end.is_some();
        if let Some(request) = self.requests.get(&id) {
            request.tell(update);
        }
        if ended {
            self.requests.remove(&id);
        }
    }

    async fn worker_died(&mut self, how: &str) {
        tracing::error!(model = self.name, "the worker died: {how}");
        if let Some(worker) = self.worker.take() {
            // One that hangs holds its weights until it is gone. One that not even force ends is left behind.
            let _ = timeout(GONE, worker.stop(Duration::ZERO)).await;
        }
        self.stats.deaths.fetch_add(1, Relaxed);
        self.deaths.push_back(Instant::now());
        self.show(WorkerState::Stopped, None);
        let message = format!("The worker of {} died: {how}. The log may say more.", self.name);
        self.fail_all(&Error::new(ErrorKind::WorkerDied, message));
    }

    /// Ends the worker in order; whoever waits for it is told why.
    async fn unload(&mut self, why: &Error) {
        let loading = self.stats.worker().state == WorkerState::Loading;
        if let Some(worker) = self.worker.take() {
            let in_order = worker.stop(if loading { STOP_LOADING } else { STOP }).await;
            if !in_order && !loading {
                tracing::warn!(model = self.name, "the worker did not end in time");
            }
        }
        self.show(WorkerState::Stopped, None);
        self.fail_all(why);
    }

    fn fail_all(&mut self, error: &Error) {
        self.fills.clear();
        for (id, request) in self.requests.drain() {
            request.tell(failed(id, error.clone()));
        }
        for reply in self.loads.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// There is another worker now, or none.
    fn show(&mut self, state: WorkerState, pid: Option<u32>) {
        (self.indexed, self.patience) = (false, SILENCE);
        self.stats.change(|old| {
            let (facts, failures) = (old.facts.take(), old.failures);
            *old = WorkerInfo { state, pid, facts, failures, ..WorkerInfo::default() };
        });
    }
}

/// Waits for that moment; for ever where there is none.
pub(crate) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn next(worker: &mut Option<Worker>) -> Result<Report, String> {
    match worker {
        Some(worker) => worker.next().await,
        None => std::future::pending().await,
    }
}

impl Request {
    fn tell(&self, update: Update) {
        // A stream that was dropped has sent its cancellation.
        let _ = self.updates.send(Routed { at: Instant::now(), begun: self.begun, update });
    }
}

/// Ids are never used twice, so nothing that was reported late can reach the wrong request.
pub(crate) fn next_id() -> RequestId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}

fn unloaded(name: &str) -> Error {
    Error::new(
        ErrorKind::ModelUnloaded,
        format!("{name} was unloaded while it answered. The next request loads it again."),
    )
}

pub(crate) fn shutting_down() -> Error {
    Error::new(ErrorKind::ShuttingDown, "The server is shutting down.")
}
