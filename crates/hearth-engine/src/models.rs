//! The pool of models: loads them when they are asked for, within the memory that there is, and unloads them when it is
//! needed for others or nobody has asked for long. [`Residents`] decides; this waits, and has it done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hearth_core::model::{KeepAlive, ModelFacts};
use hearth_core::{Error, ErrorKind, Result};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::memory::{Budget, megabytes, too_large};
use crate::model::Model;
use crate::pool::{shutting_down, until};
use crate::residents::{Admission, Key, Needs, Resident, Residents};
use crate::stats::{Pulse, Status, WorkerState};
use crate::worker::CacheOptions;

/// How long a request waits for others to let go of the memory that it needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The models that are loaded.
pub(crate) struct Models {
    state: Mutex<State>,
    pub(crate) pulse: Pulse,
}

struct State {
    residents: Residents<Arc<Model>>,
    /// Whether somebody looks after those that are idle.
    is_tended: bool,
    closed: bool,
}

/// A request's use of a model, which stays loaded until this is dropped.
pub(crate) struct Use {
    models: Arc<Models>,
    model: Arc<Model>,
}

impl Models {
    /// A pool whose models may take `budget` bytes together; `None`: what the machine has.
    pub(crate) fn new(budget: Option<u64>) -> Self {
        let state = State { residents: Residents::new(budget), is_tended: false, closed: false };
        Self { state: Mutex::new(state), pulse: Pulse::default() }
    }

    /// Waits until the model may be loaded, if it is not, and keeps it from being unloaded.
    async fn admit(self: &Arc<Self>, model: &Arc<Model>, keep_alive: Option<KeepAlive>) -> Result<Use> {
        let (mut changes, by) = (self.pulse.listen(), Instant::now() + PATIENCE);
        let mut needs = None;
        loop {
            changes.borrow_and_update();
            // Before the folder is looked at: most requests are for a model that is there.
            if let Some(used) = self.try_admit(model, needs, keep_alive)? {
                return Ok(used);
            }
            match needs {
                None => needs = Some(model.needs().await),
                // It cannot close: the sender is ours.
                Some(needs) => match timeout_at(by, changes.changed()).await {
                    Ok(_) => {}
                    Err(_) => return Err(self.lock().held(model, needs)),
                },
            }
        }
    }

    /// Once around: admits the model if that is possible now, else has it made possible. Where its needs are not known
    /// only a model that is there is admitted.
    fn try_admit(
        self: &Arc<Self>,
        model: &Arc<Model>,
        needs: Option<Needs>,
        keep_alive: Option<KeepAlive>,
    ) -> Result<Option<Use>> {
        let (mut state, key) = (self.lock(), model.key);
        if state.closed {
            return Err(shutting_down());
        }
        state.sync();
        // Another's load may have told more than the folder.
        let needs = model.known_needs().or(needs);
        let admission = state.residents.admit(key, needs.unwrap_or_default());
        match (admission, needs) {
            (Admission::Here, _) => {}
            (_, None) => return Ok(None),
            (Admission::Fits, Some(needs)) => {
                let mut resident = Resident::new(model.clone(), needs, model.keep_alive(), Instant::now());
                resident.failures = model.worker().failures;
                state.residents.insert(key, resident);
                state.tell_limits();
                self.tend(&mut state);
            }
            (Admission::Evict(victims), _) => {
                victims.into_iter().for_each(|victim| self.start_unload(&mut state, victim));
                return Ok(None);
            }
            (Admission::Wait, _) => return Ok(None),
            (Admission::Pinned, Some(needs)) => return Err(state.held(model, needs)),
            (Admission::TooLarge, Some(Needs { weights, answers })) => {
                return Err(too_large(weights + answers, weights, state.residents.budget.unwrap_or(u64::MAX)));
            }
        }
        state.residents.enter(key, keep_alive);
        Ok(Some(Use { models: self.clone(), model: model.clone() }))
    }

    /// [`Models::admit`], and loads a model of which nothing is known yet. Where its share of the memory turns out to be less
    /// than any answer needs, it is tried once more: now others go for that, too.
    pub(crate) async fn enter(self: &Arc<Self>, model: &Arc<Model>, keep_alive: Option<KeepAlive>) -> Result<Use> {
        let is_known = || model.worker().facts.is_some();
        let was_known = is_known();
        let used = self.admit(model, keep_alive).await?;
        if was_known {
            return Ok(used);
        }
        match model.load().await {
            Ok(_) => return Ok(used),
            Err(error) if !is_known() => return Err(error),
            Err(_) => drop(used),
        }
        self.admit(model, keep_alive).await
    }

    /// Unloads the model, and waits until it is. An error where requests use it, unless they may be ended.
    pub(crate) async fn unload(self: &Arc<Self>, model: &Model, force: bool) -> Result<()> {
        let mut changes = self.pulse.listen();
        {
            let mut state = self.lock();
            state.sync();
            let using = state.residents.get(model.key).map_or(0, |resident| resident.using);
            if using > 0 && !force {
                return Err(busy(&model.id(), using));
            }
            self.start_unload(&mut state, model.key);
        }
        while self.lock().residents.get(model.key).is_some_and(|resident| resident.leaving) {
            // It cannot close: the sender is ours.
            let _ = changes.changed().await;
        }
        Ok(())
    }

    /// Admits nobody any more. The models that are loaded.
    pub(crate) fn close(&self) -> Vec<Arc<Model>> {
        let mut state = self.lock();
        state.closed = true;
        self.pulse.beat();
        state.residents.iter().map(|resident| resident.model.clone()).collect()
    }

    /// A model's status, with what is known here.
    pub(crate) fn status(&self, model: &Model) -> Status {
        let state = self.lock();
        let deadline = state.residents.get(model.key).and_then(Resident::deadline);
        let unloads_in = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        Status { unloads_in, pinned: model.is_pinned(), ..model.status() }
    }

    /// Unloads a model in a task of its own: whoever wanted it may go.
    fn start_unload(self: &Arc<Self>, state: &mut State, key: Key) {
        let Some(resident) = state.residents.get_mut(key).filter(|resident| !resident.leaving) else { return };
        resident.leaving = true;
        let (models, model) = (self.clone(), resident.model.clone());
        tokio::spawn(async move {
            model.unload().await;
            models.unloaded(key);
        });
    }

    fn unloaded(&self, key: Key) {
        if let Some(resident) = self.lock().residents.get_mut(key) {
            // A request that was not on the worker yet starts another, for which the memory is still set aside.
            resident.leaving = false;
        }
        self.pulse.beat();
    }

    /// Starts the task that looks after idle models, where there is none.
    fn tend(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.is_tended, true) {
            tokio::spawn(tend(Arc::downgrade(self), self.pulse.listen()));
        }
    }

    /// Unloads those that have been idle for long enough; when to look again.
    fn unload_idle(self: &Arc<Self>) -> Option<Instant> {
        let mut state = self.lock();
        state.sync();
        state.tell_limits();
        for key in state.residents.due(Instant::now()) {
            self.start_unload(&mut state, key);
        }
        state.residents.next_deadline()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of the lock leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sleeps until the next model has been idle for long enough, or something has changed.
async fn tend(models: Weak<Models>, mut changes: watch::Receiver<()>) {
    loop {
        changes.borrow_and_update();
        let Some(next) = models.upgrade().map(|models| models.unload_idle()) else { return };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = until(next) => {}
        }
    }
}

impl Needs {
    /// What a model needs whose worker has looked at it.
    pub(crate) fn of(facts: &ModelFacts) -> Self {
        let answers = Budget::new(facts, &CacheOptions::default()).least();
        Self { weights: facts.weight_bytes, answers }
    }
}

impl State {
    /// Takes over what the workers have told, and lets go of models whose worker is gone.
    fn sync(&mut self) {
        let mut machine = None;
        for resident in self.residents.iter_mut() {
            let worker = resident.model.worker();
            resident.pinned = resident.model.is_pinned();
            resident.failed = worker.failures > resident.failures && worker.state != WorkerState::Ready;
            resident.set_keep_alive(resident.model.keep_alive());
            if resident.model.is_retired() {
                // Whatever was asked before: nobody can ask for it any more.
                resident.keep_alive = KeepAlive::For(Duration::ZERO);
            }
            if let Some(facts) = worker.facts {
                resident.needs = Needs::of(&facts);
                machine = Some(facts.cache.memory_limit);
            }
            // What the last answer has needed is told a moment after its end.
            let running = if resident.using > 0 { worker.running } else { 0 };
            resident.needs.answers = resident.needs.answers.max(running);
        }
        let known = |bytes| if bytes > 0 { bytes } else { u64::MAX };
        self.residents.budget = self.residents.budget.or(machine.map(known));
        self.residents.retain(|resident| {
            let is_there = || resident.model.worker().state != WorkerState::Stopped;
            let stays = resident.using > 0 || resident.leaving || is_there();
            if !stays {
                // Whoever wanted it may have asked for a worker that is yet to be started.
                resident.model.abandon();
            }
            stays
        });
    }

    fn tell_limits(&mut self) {
        for (model, bytes) in self.residents.new_limits() {
            model.limit(bytes);
        }
    }

    /// The error of a model for whose weights others hold the memory.
    fn held(&self, model: &Model, needs: Needs) -> Error {
        let holder = |resident: &Resident<Arc<Model>>| {
            let why = match (resident.pinned, resident.using) {
                (true, _) => "pinned",
                (false, 0) => "idle",
                (false, _) => "in use",
            };
            format!("{} ({}, {why})", resident.model.id(), megabytes(resident.needs.weights))
        };
        let holders: Vec<String> = self.residents.iter().map(holder).collect();
        let budget = self.residents.budget.filter(|budget| *budget < u64::MAX);
        let message = format!(
            "There is no memory for {}, which needs {} for its weights. All models may take {}, and loaded are {}. Try \
             again later, or unload one.",
            model.id(),
            megabytes(needs.weights),
            budget.map_or("what the machine allows".to_owned(), megabytes),
            holders.join(", ")
        );
        Error::new(ErrorKind::OutOfMemory, message)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.model.used();
        if self.models.lock().residents.leave(self.model.key, Instant::now()) {
            self.models.pulse.beat();
        }
    }
}

fn busy(id: &str, using: usize) -> Error {
    let requests = if using == 1 { "1 request".to_owned() } else { format!("{using} requests") };
    let message = format!("{id} is in use by {requests}: wait for the end, or unload it with \"force\": true.");
    Error::new(ErrorKind::ModelBusy, message)
}
