//! The worker's loop: commands → schedule → step → postprocess, on the one thread that owns the runner.
//!
//! Commands are looked at between any two steps, so a cancelled request's slot is free by the next one. With nothing to
//! do the loop sleeps in the channel.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use hearth_core::runner::{Runner, Segment, SlotId};
use hearth_core::{Error, Result};

use crate::scheduler::{Outcome, Plan, Scheduler, failed};
use crate::worker::protocol::{Command, LoadRequest, Report, Update};

/// What arrives at a worker; an error is its last message.
pub(crate) type Inbox = Receiver<Result<Command>>;

/// Steps that may fail in a row. The first is the fault of a request, perhaps; the second that of the device.
const MAX_FAILURES: usize = 2;

/// Loads a model and runs it until the inbox closes or says so. An error is the worker's end.
pub(crate) fn run(
    load: impl FnOnce(&LoadRequest) -> Result<Box<dyn Runner>>,
    inbox: &Inbox,
    report: &mut dyn FnMut(Report) -> Result<()>,
) -> Result<()> {
    let request = match inbox.recv() {
        Ok(command) => match command? {
            Command::Load(request) => request,
            Command::Shutdown => return Ok(()),
            other => return Err(Error::internal(format!("The worker was told to {other:?} before it had a model."))),
        },
        Err(_) => return Ok(()),
    };
    let runner = match load(&request) {
        Ok(runner) => runner,
        Err(error) => return report(Report::LoadFailed(error)),
    };
    report(Report::Loaded(runner.facts().clone()))?;
    Device { runner, scheduler: Scheduler::new(request.max_batch), failures: 0, updates: Vec::new(), ended: Vec::new() }
        .run(inbox, report)
}

struct Device {
    runner: Box<dyn Runner>,
    scheduler: Scheduler,
    /// Steps that have failed in a row.
    failures: usize,
    /// What is to be reported next.
    updates: Vec<Update>,
    /// What is to be closed after that: a runner may take a while to free a cache.
    ended: Vec<SlotId>,
}

impl Device {
    fn run(mut self, inbox: &Inbox, report: &mut dyn FnMut(Report) -> Result<()>) -> Result<()> {
        while self.take_commands(inbox)? {
            self.open_waiting();
            self.step()?;
            if !self.updates.is_empty() {
                report(Report::Step(std::mem::take(&mut self.updates)))?;
            }
            self.close_ended();
        }
        Ok(())
    }

    /// Takes what has arrived, and waits for it where there is nothing else to do. False at the end.
    fn take_commands(&mut self, inbox: &Inbox) -> Result<bool> {
        loop {
            let command = if self.scheduler.is_idle() {
                let command = inbox.recv().map_err(|_| TryRecvError::Disconnected);
                self.scheduler.resumed(Instant::now());
                command
            } else {
                inbox.try_recv()
            };
            match command {
                Ok(command) => match command? {
                    Command::Generate { id, task } => self.scheduler.add(id, task),
                    Command::Cancel(id) => self.cancel(id),
                    Command::Shutdown => return Ok(false),
                    Command::Load(_) => return Err(Error::internal("The worker was told to load a second model.")),
                },
                Err(TryRecvError::Empty) => return Ok(true),
                Err(TryRecvError::Disconnected) => return Ok(false),
            }
        }
    }

    fn cancel(&mut self, id: u64) {
        if let Some(slot) = self.scheduler.remove(id) {
            self.runner.close(slot);
        }
    }

    fn open_waiting(&mut self) {
        while let Some((id, slot, sampling)) = self.scheduler.admit() {
            if let Err(error) = self.runner.open(slot, sampling) {
                self.scheduler.remove(id);
                self.updates.push(failed(id, error));
            }
        }
    }

    fn step(&mut self) -> Result<()> {
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

    fn take(&mut self, outcome: Outcome) {
        self.updates.extend(outcome.updates);
        self.ended.extend(outcome.closed);
    }

    fn close_ended(&mut self) {
        for slot in self.ended.drain(..) {
            self.runner.close(slot);
        }
    }
}
