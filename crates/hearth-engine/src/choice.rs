//! One of the answers to a request, on its way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hearth_core::event::Event;
use hearth_core::task::Generate;
use hearth_core::{Error, ErrorKind, Result};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::answer::Answer;
use crate::pool::{Pool, Routed, next_id};
use crate::report::{Course, Subject};
use crate::sessions::Gathered;
use crate::worker::protocol::{End, RequestId};

/// The events of one answer. Ends after [`Event::Finished`] or an error; dropping it cancels it.
pub(crate) struct Choice {
    pool: Pool,
    subject: Arc<Subject>,
    answer: Answer,
    /// Gone when the answer has ended.
    running: Option<Running>,
    /// Events that are yet to be taken.
    events: VecDeque<Event>,
    /// What it takes to run it again; gone once it was, or once events were given out.
    again: Option<Generate>,
    /// Whether events that are given out stay in the house until the last.
    pub(crate) collecting: bool,
    /// Whether it was run again since this was last looked at.
    pub(crate) restarted: bool,
    course: Course,
    /// What was given out.
    pub(crate) gathered: Gathered,
}

impl Choice {
    pub(crate) fn start(pool: &Pool, subject: Arc<Subject>, task: Generate) -> Self {
        Self {
            answer: Answer::new(&subject),
            running: Some(Running::start(pool, task.clone())),
            pool: pool.clone(),
            subject,
            events: VecDeque::new(),
            again: Some(task),
            collecting: false,
            restarted: false,
            course: Course::begin(),
            gathered: Gathered::default(),
        }
    }

    /// The next event, as a stream gives it.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                if !self.collecting {
                    self.again = None;
                }
                self.gathered.add(&event);
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(running) = &mut self.running else { return Poll::Ready(None) };
            let taken = match ready!(running.updates.poll_recv(context)) {
                Some(routed) => self.take(routed),
                None => self.failed(Error::new(ErrorKind::ShuttingDown, "The server is shutting down.")),
            };
            if let Err(error) = taken {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn take(&mut self, mut routed: Routed) -> Result<()> {
        self.course.see(&mut routed);
        let update = routed.update;
        let stop_token = matches!(update.end, Some(End::Stop));
        let mut stopped = false;
        if let Some(sampled) = &update.sampled {
            self.gathered.tokens.push(sampled.token);
            match stop_token {
                true => self.answer.push_stop_token(),
                false => stopped = self.answer.push(sampled, &mut self.events),
            }
        }
        if let (Some(_), Some(running)) = (&update.end, &mut self.running) {
            running.ended = true;
        }
        match update.end {
            Some(End::Failed(error)) => return self.failed(*error),
            Some(end) => self.finish(&end, stopped),
            None if stopped => self.finish(&End::Stop, stopped),
            None => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: &End, stopped: bool) {
        self.running = None;
        let (reason, mut usage) = self.answer.finish(end, stopped, &mut self.events);
        usage.cached_tokens = self.course.cached_tokens();
        let report = Box::new(self.subject.report(&self.course));
        self.events.push_back(Event::Finished { reason, usage, report });
    }

    /// Runs it again if its worker died, nothing was given out, and it is the first time.
    fn failed(&mut self, error: Error) -> Result<()> {
        self.running = None;
        let task = self.again.take().filter(|_| error.kind == ErrorKind::WorkerDied).ok_or(error)?;
        self.answer = Answer::new(&self.subject);
        self.events.clear();
        self.gathered = Gathered::default();
        self.course = Course::begin();
        self.running = Some(Running::start(&self.pool, task));
        self.restarted = true;
        Ok(())
    }
}

/// The request on its worker; dropping it cancels it.
struct Running {
    id: RequestId,
    pool: Pool,
    updates: UnboundedReceiver<Routed>,
    ended: bool,
}

impl Running {
    fn start(pool: &Pool, task: Generate) -> Self {
        let id = next_id();
        let (sender, updates) = unbounded_channel();
        pool.generate(id, task, sender);
        Self { id, pool: pool.clone(), updates, ended: false }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.pool.cancel(self.id);
        }
    }
}
