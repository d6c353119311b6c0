//! The answers to a request on their way: what its choices give, and the one turn that they are of their session.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use hearth_core::Result;
use hearth_core::event::{Event, SessionUse};

use crate::choice::Choice;
use crate::fill::Fill;
use crate::model::Place;
use crate::report::Subject;
use crate::sessions::{Claim, Gathered};

/// The events of all choices, each with its choice's index, from 0. Ends after [`Event::Finished`] of each, or an error;
/// dropping it cancels the request.
///
/// The first choice's end comes last: it says whether the session goes on from this answer.
pub struct ChatStream {
    subject: Arc<Subject>,
    choices: Vec<Choice>,
    /// Which of them is asked first.
    next: usize,
    /// The first one's end, until the others have ended.
    end: Option<Event>,
    /// Behind `choices`, so that they are cancelled before their session is let go.
    session: Option<SessionTurn>,
    _place: Place,
}

/// A request's part in a session.
pub(crate) struct SessionTurn {
    pub(crate) claim: Claim,
    /// `None` where nothing is cached.
    pub(crate) fill: Option<Fill>,
}

impl ChatStream {
    pub(crate) fn new(subject: Arc<Subject>, choices: Vec<Choice>, session: Option<SessionTurn>, place: Place) -> Self {
        Self { subject, choices, next: 0, end: None, session, _place: place }
    }

    /// Tokens of the rendered prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.subject.prompt.tokens.len()
    }

    /// All of each choice's answer at once, for a client that does not stream. Adjacent pieces of the same kind are
    /// joined. As nothing leaves before the end, a worker that dies on the way costs the client only time. `see` is shown
    /// each event as it comes; those of an answer that is run again come again.
    pub async fn collect(mut self, mut see: impl FnMut(&Event)) -> Result<Vec<Vec<Event>>> {
        self.choices.iter_mut().for_each(|choice| choice.collecting = true);
        let mut answers = vec![Vec::new(); self.choices.len()];
        while let Some(event) = self.next().await {
            let (index, event) = event?;
            see(&event);
            if std::mem::take(&mut self.choices[index].restarted) {
                answers[index].clear();
            }
            join(&mut answers[index], event);
        }
        Ok(answers)
    }

    /// Asks each choice for its next event, in turn. The first one's end is put aside.
    fn poll_choices(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(usize, Event)>>> {
        let mut pending = false;
        for _ in 0..self.choices.len() {
            let index = self.next;
            self.next = (index + 1) % self.choices.len();
            match self.choices[index].poll(context) {
                Poll::Ready(Some(Ok(end @ Event::Finished { .. }))) if index == 0 => self.end = Some(end),
                Poll::Ready(Some(event)) => return Poll::Ready(Some(event.map(|event| (index, event)))),
                Poll::Ready(None) => {}
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(None) }
    }

    /// Ends the session's turn with the first choice's answer; its end, which says so.
    fn settle(&mut self, mut end: Event) -> Event {
        if let (Some(session), Event::Finished { report, .. }) = (self.session.take(), &mut end) {
            report.session = Some(session.settle(&self.subject, &mut self.choices[0].gathered));
        }
        end
    }
}

impl Stream for ChatStream {
    type Item = Result<(usize, Event)>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_choices(context).map(|event| match event {
            None => self.end.take().map(|end| Ok((0, self.settle(end)))),
            Some(Err(error)) => {
                self.choices.clear();
                self.end = None;
                self.session = None;
                Some(Err(error))
            }
            event => event,
        })
    }
}

impl SessionTurn {
    /// Stores the conversation and the answer to it, lets the session go, and prepares its next turn.
    fn settle(self, subject: &Subject, answer: &mut Gathered) -> SessionUse {
        let Self { claim, fill } = self;
        let mut messages = subject.request.messages.clone();
        messages.push(answer.message());
        let tokens: Arc<[u32]> = [subject.prompt.tokens.as_slice(), &answer.tokens].concat().into();
        let kept = claim.store(messages, tokens.clone());
        let told = SessionUse { id: claim.id.clone(), turn: claim.turn, kept: kept.is_some() };
        // Whoever sees the answer's end may go on with the session, and so may the fill.
        drop(claim);
        if let (Some(messages), Some(fill)) = (kept, fill) {
            fill.start(told.id.clone(), messages, tokens);
        }
        told
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
