//! The worker's loop: commands → schedule → step → postprocess, on the one thread that owns the runner.
//!
//! Commands are looked at between any two steps, so a cancelled request's slot is free by the next one. With nothing to
//! do the loop sleeps in the channel, where what happens to files arrives, too.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use hearth_core::runner::{Runner, Segment};
use hearth_core::task::{Generate, Reuse};
use hearth_core::{Error, Result};

use crate::caches::{Caches, Fetched};
use crate::disk_tier::{self, DiskTier};
use crate::memory::{Budget, Load};
use crate::prefix_cache::{Found, From, Hit};
use crate::scheduler::{Outcome, Plan, Scheduler, failed};
use crate::sequence::{Ended, Hold, filled};
use crate::worker::Progress;
use crate::worker::protocol::{CacheOptions, Command, LoadRequest, Report, RequestId, Update};

/// What arrives at a worker.
pub(crate) enum Message {
    /// An error is the last command.
    Command(Result<Command>),
    /// Nobody gives commands any more.
    Closed,
    Disk(disk_tier::Event),
}

/// Both ends of a worker's channel: the disk tier's threads report through it.
pub(crate) type Link = (Sender<Message>, Receiver<Message>);

type Tell<'a> = &'a mut dyn FnMut(Report) -> Result<()>;

/// Steps that may fail in a row. The first is the fault of a request, perhaps; the second that of the device.
const MAX_FAILURES: usize = 2;
/// How long saving the caches may take when the worker is told to end.
const SAVE: Duration = Duration::from_secs(10);
/// How long requests wait for the list of files; a disk that takes longer is no help.
const INDEX: Duration = Duration::from_secs(2);
/// How often a request waits for what another one computes.
const MOST_WAITS: usize = 4;
/// How often a load's progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// How often a worker that has something to do reports, so that it is not taken for one that hangs.
const BEAT: Duration = Duration::from_secs(10);
/// A change of memory by fewer bytes is not worth telling.
const WORTH_TELLING: u64 = 1 << 20;
/// The share of the memory for caches that may wait to be written.
const PENDING_SHARE: u64 = 4;

/// Loads a model and runs it until the channel closes or says so. An error is the worker's end.
pub(crate) fn run(
    load: impl FnOnce(&mut LoadRequest, Progress<'_>) -> Result<Box<dyn Runner>>,
    link: &Link,
    report: Tell<'_>,
) -> Result<()> {
    let mut request = match link.1.recv() {
        Ok(Message::Command(command)) => match command? {
            Command::Load(request) => request,
            Command::Shutdown => return Ok(()),
            other => return Err(Error::internal(format!("The worker was told to {other:?} before it had a model."))),
        },
        _ => return Ok(()),
    };
    let loaded = load(&mut request, &mut progress(&mut *report));
    let runner = match loaded {
        Ok(runner) => runner,
        Err(error) => return report(Report::LoadFailed(error, None)),
    };
    if let Err(error) = Budget::new(runner.facts(), &request.cache).check() {
        return report(Report::LoadFailed(error, Some(Box::new(runner.facts().clone()))));
    }
    report(Report::Loaded(runner.facts().clone()))?;
    let mut device = Device::new(runner, &request, &link.0);
    while device.turn(&link.1, report)? {}
    Ok(())
}

/// Reports how far a load is, now and then.
fn progress(report: Tell<'_>) -> impl FnMut(u64, u64) {
    let mut told = None;
    move |done, total| {
        if told.is_none_or(|told: Instant| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            // If nobody listens, the next report says so.
            let _ = report(Report::Loading { done, total });
        }
    }
}

struct Device {
    runner: Box<dyn Runner>,
    scheduler: Scheduler,
    caches: Caches,
    budget: Budget,
    options: CacheOptions,
    /// Bytes of kept caches and of running sequences, as they were last told.
    told: (u64, u64),
    /// Whether it was told that the files are known.
    told_index: bool,
    /// Steps that have failed in a row.
    failures: usize,
    /// What is to be reported next.
    updates: Vec<Update>,
    /// When updates were last reported, or that there are none.
    reported: Instant,
    /// What is to be put aside after that: a runner may take a while to do it.
    ended: Vec<Ended>,
    /// When the list of files is no longer waited for.
    index_by: Instant,
}

/// What became of a waiting request's attempt to begin.
enum Attempt {
    Begin(Found),
    Hold(Hold),
    Refuse(Error),
    /// All of a prompt that only has to be in store is in store.
    Done,
}

impl Device {
    fn new(runner: Box<dyn Runner>, request: &LoadRequest, wake: &Sender<Message>) -> Self {
        let facts = runner.facts().clone();
        let budget = Budget::new(&facts, &request.cache);
        let cap = budget.keep(&request.cache);
        let tier = disk_tier(request, &facts.cache.fingerprint, cap, wake);
        let tier_cap = request.cache.disk.as_ref().map_or(0, |disk| disk.bytes);
        Self {
            runner,
            scheduler: Scheduler::new(request.max_batch, !facts.cache.cuts_anywhere),
            caches: Caches::new(facts.cache, cap, tier, tier_cap),
            budget,
            options: request.cache.clone(),
            told: (0, 0),
            told_index: false,
            failures: 0,
            updates: Vec::new(),
            reported: Instant::now(),
            ended: Vec::new(),
            index_by: Instant::now() + INDEX,
        }
    }

    /// Once around the loop. False at the end.
    fn turn(&mut self, inbox: &Receiver<Message>, report: Tell<'_>) -> Result<bool> {
        if !self.take_messages(inbox, report)? {
            return Ok(false);
        }
        self.give_up_waiting(Instant::now());
        self.begin_waiting();
        if self.caches.has_copied() {
            self.scheduler.resumed(Instant::now());
        }
        // Not with the step: a request's prefill is timed from here.
        self.tell(report)?;
        self.step()?;
        self.tell(report)?;
        self.keep_ended();
        Ok(true)
    }

    fn tell(&mut self, report: Tell<'_>) -> Result<()> {
        let now = Instant::now();
        if self.updates.is_empty() && now - self.reported < BEAT {
            return Ok(());
        }
        self.reported = now;
        report(Report::Step(std::mem::take(&mut self.updates)))
    }

    fn tell_memory(&mut self, report: Tell<'_>) -> Result<()> {
        let memory = (self.caches.bytes(), self.budget.demand(self.scheduler.loads()));
        let differs = |old: u64, new: u64| old.abs_diff(new) >= WORTH_TELLING || (old == 0) != (new == 0);
        if differs(self.told.0, memory.0) || differs(self.told.1, memory.1) {
            self.told = memory;
            report(Report::Memory { kept: memory.0, running: memory.1 })?;
        }
        Ok(())
    }

    fn tell_index(&mut self, report: Tell<'_>) -> Result<()> {
        let is_new = self.caches.is_indexed() && !std::mem::replace(&mut self.told_index, true);
        if is_new { report(Report::Indexed) } else { Ok(()) }
    }

    /// Takes what has arrived, and waits for it where there is nothing else to do. False at the end.
    fn take_messages(&mut self, inbox: &Receiver<Message>, report: Tell<'_>) -> Result<bool> {
        loop {
            self.tell_memory(report)?;
            self.tell_index(report)?;
            // What could not wait is reported before the loop sleeps.
            let idle = self.scheduler.is_idle() && self.updates.is_empty();
            let message = if idle { self.wait(inbox) } else { inbox.try_recv() };
            match message {
                Ok(Message::Command(command)) => {
                    if !self.obey(command?)? {
                        return Ok(false);
                    }
                }
                Ok(Message::Disk(event)) => self.settle(event),
                Err(TryRecvError::Empty) => return Ok(true),
                Ok(Message::Closed) | Err(TryRecvError::Disconnected) => return Ok(false),
            }
        }
    }

    fn wait(&mut self, inbox: &Receiver<Message>) -> Result<Message, TryRecvError> {
        let by = if self.caches.is_indexing() { Some(self.index_by) } else { self.caches.read_by() };
        let message = match by {
            None => inbox.recv().map_err(|_| TryRecvError::Disconnected),
            Some(by) => inbox.recv_timeout(by.saturating_duration_since(Instant::now())).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            }),
        };
        self.scheduler.resumed(Instant::now());
        message
    }

    /// Goes on without what the disk should have given by `now`.
    fn give_up_waiting(&mut self, now: Instant) {
        if self.caches.is_indexing() && now >= self.index_by {
            self.caches.go_on_without_index();
            self.scheduler.release(|hold| hold == Hold::Index);
        }
        if self.caches.give_up_reading(now) {
            self.scheduler.release(|hold| matches!(hold, Hold::File(_)));
        }
    }

    /// False where it is the last command.
    fn obey(&mut self, command: Command) -> Result<bool> {
        match command {
            Command::Generate { id, task } => self.add(id, task),
            Command::Cancel(id) => {
                if let Some(ended) = self.scheduler.remove(id) {
                    self.caches.keep(&mut *self.runner, &ended);
                }
                self.drop_unused();
            }
            Command::Forget(session) => {
                self.scheduler.disown(session);
                self.caches.forget(&mut *self.runner, session);
            }
            Command::Limit(bytes) => self.limit(bytes),
            Command::Shutdown => {
                self.save();
                return Ok(false);
            }
            Command::Load(_) => return Err(Error::internal("The worker was told to load a second model.")),
        }
        Ok(true)
    }

    fn limit(&mut self, bytes: u64) {
        self.budget.set_limit(bytes);
        self.caches.set_cap(&mut *self.runner, self.budget.keep(&self.options));
        self.hold_to_budget();
        self.scheduler.release(|hold| hold == Hold::Memory);
    }

    fn add(&mut self, id: RequestId, task: Generate) {
        if task.max_tokens == 0 && !self.caches.keeps() {
            return self.updates.push(filled(id));
        }
        self.scheduler.add(id, task, Instant::now());
        if let Some(ended) = self.scheduler.yield_fill() {
            self.caches.keep(&mut *self.runner, &ended);
        }
    }

    fn settle(&mut self, event: disk_tier::Event) {
        let file = self.caches.handle(event);
        let indexing = self.caches.is_indexing();
        self.scheduler.release(|hold| match hold {
            Hold::Index => !indexing,
            Hold::File(name) => Some(name) == file,
            _ => false,
        });
        self.drop_unused();
    }

    /// Drops what was read for requests that are gone, or go on without it.
    fn drop_unused(&mut self) {
        self.caches.drop_unused(|name| self.scheduler.wants(name));
    }

    fn begin_waiting(&mut self) {
        while let Some((id, attempt)) = self.attempt() {
            match attempt {
                Attempt::Begin(found) => self.begin(id, found),
                Attempt::Hold(hold) => self.scheduler.hold(id, hold),
                Attempt::Refuse(error) => self.dismiss(failed(id, error)),
                Attempt::Done => self.dismiss(filled(id)),
            }
        }
        self.drop_unused();
    }

    /// Answers a waiting request without running it.
    fn dismiss(&mut self, update: Update) {
        self.scheduler.dequeue(update.id);
        self.updates.push(update);
    }

    /// Tries to let the next waiting request begin.
    fn attempt(&mut self) -> Option<(RequestId, Attempt)> {
        self.drop_unused();
        let (sequence, _) = self.scheduler.next()?;
        let (id, load, waits, prompt) = (sequence.id, sequence.load(), sequence.waits, sequence.task.prompt.len());
        if self.caches.is_indexing() {
            return Some((id, Attempt::Hold(Hold::Index)));
        }
        if let Some(error) = self.budget.refuse(load) {
            return Some((id, Attempt::Refuse(error)));
        }
        let found = self.caches.find(sequence);
        if found.hit.is_some_and(|hit| hit.len == prompt) {
            return Some((id, Attempt::Done));
        }
        if let Some((slot, len)) = found.soon.filter(|_| waits < MOST_WAITS)
            && self.scheduler.ask_mark(slot, len)
        {
            return Some((id, Attempt::Hold(Hold::Prefix(slot, len))));
        }
        let Some(hit) = self.find_memory(load, found.hit) else { return Some((id, Attempt::Hold(Hold::Memory))) };
        if let Some(Hit { from: From::File(name), .. }) = hit {
            self.scheduler.want(id, name, Instant::now());
            // What it wanted before takes a place among those that are read.
            self.drop_unused();
            match self.caches.fetch(name) {
                Fetched::Here => {}
                Fetched::Soon => return Some((id, Attempt::Hold(Hold::File(name)))),
                Fetched::Busy => return Some((id, Attempt::Hold(Hold::Reader))),
                // Nor will any other file be found now.
                Fetched::Never => return self.attempt(),
            }
        }
        Some((id, Attempt::Begin(Found { hit, ..found })))
    }

    /// Makes room for a sequence among those that run: the caches of ended ones give way. What it may begin with then;
    /// `None` where it has to wait.
    fn find_memory(&mut self, load: Load, hit: Option<Hit>) -> Option<Option<Hit>> {
        let demand = self.budget.demand(self.scheduler.loads().chain([load]));
        let spare = hit.map(|hit| hit.key);
        // What is copied stays.
        let stays = match hit {
            Some(Hit { from: From::Copy(_), key, .. }) => self.caches.whole_bytes_of(key),
            _ => 0,
        };
        let over = self.over(demand, hit);
        // Nothing is given up where even giving up everything would not be enough.
        if over > 0 && self.budget.over(demand + stays) == 0 {
            self.caches.give_back(&mut *self.runner, over, spare);
        }
        match (self.over(demand, hit), hit) {
            (0, hit) => Some(hit),
            (_, Some(Hit { from: From::Copy(id), key, len })) => {
                self.find_memory(load, Some(Hit { from: From::Take(id), key, len }))
            }
            _ => None,
        }
    }

    /// How many bytes are too many where `demand` begins with `hit`: what it takes over, or was read for it, is a part of
    /// what it needs.
    fn over(&self, demand: u64, hit: Option<Hit>) -> u64 {
        let taken = match hit {
            Some(Hit { from: From::Take(_), key, .. }) => self.caches.bytes_of(key),
            Some(Hit { from: From::File(name), .. }) => self.caches.read_bytes_of(name),
            _ => 0,
        };
        self.budget.over(demand + self.caches.bytes() + self.caches.read_bytes() - taken)
    }

    fn begin(&mut self, id: RequestId, found: Found) {
        let Some((sequence, slot)) = self.scheduler.next() else { return };
        let (arrived, reading) = (sequence.arrived, sequence.reading);
        match self.caches.open(&mut *self.runner, slot, sequence, found.hit) {
            Ok(start) => {
                let now = Instant::now();
                let restore = reading.map_or(Duration::ZERO, |(_, since)| now - since);
                let reuse = Reuse {
                    source: start.source,
                    matched: start.held,
                    shared: found.shared,
                    stored: found.stored,
                    // What turned out to be of no use was not there.
                    in_store: found.hit.filter(|hit| start.held < hit.len).map_or(found.in_store, |_| start.held),
                    queue_ms: milliseconds((now - arrived).saturating_sub(restore)),
                    restore_ms: milliseconds(restore),
                };
                self.scheduler.begin(id, start.held);
                self.updates.push(Update { id, opened: Some(Box::new(reuse)), sampled: None, end: None });
            }
            Err(error) => self.dismiss(failed(id, error)),
        }
    }

    fn step(&mut self) -> Result<()> {
        self.hold_to_budget();
        let plan = self.scheduler.schedule();
        let mut segments = self.scheduler.segments(&plan);
        if segments.is_empty() {
            return Ok(());
        }
        let stepped = self.runner.step(&mut segments);
        let sampled = segments.iter_mut().map(|segment: &mut Segment<'_>| segment.sampled.take()).collect();
        match stepped {
            Ok(()) => {
                self.failures = 0;
                tracing::trace!(prompt = plan.prompt_tokens(), segments = plan.segments(), "step");
                let outcome = self.scheduler.postprocess(&plan, sampled, Instant::now());
                self.take(outcome);
                Ok(())
            }
            Err(error) => self.step_failed(&plan, error),
        }
    }

    fn step_failed(&mut self, plan: &Plan, error: Error) -> Result<()> {
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            return Err(error);
        }
        let outcome = self.scheduler.fail(plan, &error, Instant::now());
        self.take(outcome);
        Ok(())
    }

    /// Where running sequences have grown into the limit, kept caches give way, then the sequence that came last.
    fn hold_to_budget(&mut self) {
        loop {
            let demand = self.budget.demand(self.scheduler.loads());
            let over = self.budget.over(demand + self.caches.bytes() + self.caches.read_bytes());
            if over == 0 {
                return;
            }
            if self.budget.over(demand) == 0 {
                return self.caches.give_back(&mut *self.runner, over, None);
            }
            let Some((id, load)) = self.scheduler.newest() else { return };
            self.update(failed(id, self.budget.exhausted(load)));
            if let Some(Ended { slot, .. }) = self.scheduler.remove(id) {
                self.caches.close(&mut *self.runner, slot);
            }
        }
    }

    fn take(&mut self, outcome: Outcome) {
        for slot in outcome.failed {
            self.caches.close(&mut *self.runner, slot);
        }
        for fed in &outcome.fed {
            self.caches.fed(&mut *self.runner, fed);
        }
        outcome.updates.into_iter().for_each(|update| self.update(update));
        self.ended.extend(outcome.ended);
    }

    /// Adds an update to those that are reported next: at most one for each request.
    fn update(&mut self, update: Update) {
        match self.updates.iter_mut().find(|other| other.id == update.id) {
            Some(first) => *first = Update { opened: first.opened.take(), ..update },
            None => self.updates.push(update),
        }
    }

    fn keep_ended(&mut self) {
        for ended in std::mem::take(&mut self.ended) {
            self.caches.keep(&mut *self.runner, &ended);
        }
    }

    fn save(&mut self) {
        let deadline = Instant::now() + SAVE;
        for ended in self.scheduler.end() {
            self.caches.keep(&mut *self.runner, &ended);
        }
        self.caches.save(&mut *self.runner, deadline);
    }
}

/// The files of evicted caches, where there are to be any. Without them the worker works on.
fn disk_tier(request: &LoadRequest, fingerprint: &str, cap: u64, wake: &Sender<Message>) -> Option<DiskTier> {
    let disk = request.cache.disk.as_ref().filter(|disk| cap > 0 && disk.bytes > 0)?;
    let wake = wake.clone();
    let tell = Arc::new(move |event| {
        // Nobody listens once the worker ends.
        let _ = wake.send(Message::Disk(event));
    });
    DiskTier::start(disk, fingerprint, &display_name(&request.dir), cap / PENDING_SHARE, tell)
        .inspect_err(|error| tracing::warn!("Caches are kept in memory alone: {error}."))
        .ok()
}

/// A model's name for people: its folder's, or its repository's where the folder is one of Hugging Face's cache.
fn display_name(dir: &Path) -> String {
    let mut parts = dir.iter().rev().map(|part| part.to_string_lossy());
    let folder = parts.clone().next().unwrap_or_default().into_owned();
    parts.find_map(|part| part.strip_prefix("models--").map(|name| name.replace("--", "/"))).unwrap_or(folder)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
