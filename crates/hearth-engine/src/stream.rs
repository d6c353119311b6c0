//! An answer on its way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt};
use hearth_core::chat::Message;
use hearth_core::event::Event;
use hearth_core::task::Generate;
use hearth_core::{Error, ErrorKind, Result};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::answer::{Answer, AnswerSpec};
use crate::fill::Fill;
use crate::pool::{Pool, Routed, next_id};
use crate::report::{Course, Subject};
use crate::sessions::{Claim, Gathered};
use crate::worker::protocol::{End, RequestId};

/// The events of one answer. Ends after [`Event::Finished`] or an error; dropping it cancels the request.
pub struct ChatStream {
    pool: Pool,
    spec: AnswerSpec,
    answer: Answer,
    /// Gone when the answer has ended.
    running: Option<Running>,
    /// Events that are yet to be taken.
    events: VecDeque<Event>,
    /// What it takes to run the request again; gone once it was, or once events were given out.
    again: Option<Generate>,
    /// Whether events that are given out stay in the house until the last.
    collecting: bool,
    /// Whether the request was run again since this was last looked at.
    restarted: bool,
    course: Course,
    subject: Subject,
    /// Behind `running`, so that a request is cancelled before its session is let go.
    session: Option<SessionTurn>,
    _place: OwnedSemaphorePermit,
}

/// A request's part in a session.
pub(crate) struct SessionTurn {
    pub(crate) claim: Claim,
    pub(crate) gathered: Gathered,
    /// `None` where nothing is cached.
    pub(crate) fill: Option<Fill>,
}

impl ChatStream {
    pub(crate) fn start(
        pool: Pool,
        spec: AnswerSpec,
        task: Generate,
        subject: Subject,
        session: Option<SessionTurn>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            answer: Answer::new(&spec),
            running: Some(Running::start(&pool, task.clone())),
            pool,
            spec,
            events: VecDeque::new(),
            again: Some(task),
            collecting: false,
            restarted: false,
            course: Course::begin(),
            subject,
            session,
            _place: place,
        }
    }

    /// Tokens of the rendered prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.spec.prompt.tokens.len()
    }

    /// The whole answer at once, for a client that does not stream. Adjacent pieces of the same kind are joined. As
    /// nothing leaves before the end, a worker that dies on the way costs the client only time.
    pub async fn collect(mut self) -> Result<Vec<Event>> {
        self.collecting = true;
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            if std::mem::take(&mut self.restarted) {
                events.clear();
            }
            join(&mut events, event?);
        }
        Ok(events)
    }

    fn take(&mut self, mut routed: Routed) -> Result<()> {
        self.course.see(&mut routed);
        let update = routed.update;
        let stop_token = matches!(update.end, Some(End::Stop));
        let mut stopped = false;
        if let (Some(sampled), Some(session)) = (&update.sampled, &mut self.session) {
            session.gathered.tokens.push(sampled.token);
        }
        let known = self.events.len();
        match update.sampled {
            Some(_) if stop_token => self.answer.push_stop_token(),
            Some(sampled) => stopped = self.answer.push(&sampled, &mut self.events),
            None => {}
        }
        self.gather(known);
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
        let known = self.events.len();
        let (reason, mut usage) = self.answer.finish(end, stopped, &mut self.events);
        self.gather(known);
        usage.cached_tokens = self.course.cached_tokens();
        let session = self.session.take();
        // The claim ends with the answer: who sees its end may go on with the session.
        let report = match session {
            Some(mut session) => {
                let kept = session.store(&self.subject);
                let report = self.subject.report(&self.course, Some(&session.claim), kept.is_some());
                session.prepare(kept);
                report
            }
            None => self.subject.report(&self.course, None, false),
        };
        self.events.push_back(Event::Finished { reason, usage, report: Box::new(report) });
    }

    /// Takes the events from the one at `known` on into the session's turn.
    fn gather(&mut self, known: usize) {
        if let Some(session) = &mut self.session {
            self.events.range(known..).for_each(|event| session.gathered.add(event));
        }
    }

    /// Runs the request again if its worker died, nothing was given out, and it is the first time.
    fn failed(&mut self, error: Error) -> Result<()> {
        self.running = None;
        let task = self.again.take().filter(|_| error.kind == ErrorKind::WorkerDied).ok_or(error)?;
        self.answer = Answer::new(&self.spec);
        self.events.clear();
        if let Some(session) = &mut self.session {
            session.gathered = Gathered::default();
        }
        self.course = Course::begin();
        self.running = Some(Running::start(&self.pool, task));
        self.restarted = true;
        Ok(())
    }
}

impl Stream for ChatStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.events.pop_front() {
                if !this.collecting {
                    this.again = None;
                }
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(running) = &mut this.running else { return Poll::Ready(None) };
            let taken = match ready!(running.updates.poll_recv(context)) {
                Some(routed) => this.take(routed),
                None => this.failed(Error::new(ErrorKind::ShuttingDown, "The server is shutting down.")),
            };
            if let Err(error) = taken {
                this.events.clear();
                this.session = None;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

/// What a session holds after an answer.
struct Kept {
    messages: Arc<[Message]>,
    /// Prompt and answer.
    tokens: Arc<[u32]>,
}

impl SessionTurn {
    /// Stores the conversation and the answer to it; `None` where the session does not go on from here.
    fn store(&mut self, subject: &Subject) -> Option<Kept> {
        let mut messages = subject.request.messages.clone();
        messages.push(self.gathered.message());
        let tokens: Arc<[u32]> = [subject.prompt.tokens.as_slice(), &self.gathered.tokens].concat().into();
        let messages = self.claim.store(messages, tokens.clone())?;
        Some(Kept { messages, tokens })
    }

    /// Ends the request's part in the session, and prepares the next turn.
    fn prepare(self, kept: Option<Kept>) {
        let Self { claim, fill, .. } = self;
        let id = claim.id.clone();
        drop(claim);
        if let (Some(Kept { messages, tokens }), Some(fill)) = (kept, fill) {
            fill.start(id, messages, tokens);
        }
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

/// Adds an event to an answer that is given out whole.
fn join(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), event) {
        (Some(Event::Text { text, logprobs }), Event::Text { text: more, logprobs: others }) => {
            text.push_str(&more);
            logprobs.extend(others);
        }
        (Some(Event::Reasoning(text)), Event::Reasoning(more)) => text.push_str(&more),
        (
            Some(Event::ToolCallArguments { index, fragment }),
            Event::ToolCallArguments { index: same, fragment: more },
        ) if *index == same => fragment.push_str(&more),
        (_, event) => events.push(event),
    }
}
