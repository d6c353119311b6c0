//! All token state of one request, from the queue to its last token.
//!
//! Decoding runs one step ahead (see [`hearth_core::runner`]): a sequence whose prompt is fed has one token sampled that
//! is not known yet; each further step makes that one known and samples another.

use hearth_core::runner::{Feed, Sampled, SlotId};
use hearth_core::task::Generate;

use crate::worker::protocol::{End, RequestId, Update};

/// One request on the device side.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: RequestId,
    /// Where it runs; meaningless while it waits.
    pub(crate) slot: SlotId,
    pub(crate) task: Generate,
    /// How much of the prompt has been fed.
    fed: usize,
    /// How many new tokens are known.
    known: usize,
}

impl Sequence {
    pub(crate) fn new(id: RequestId, task: Generate) -> Self {
        Self { id, slot: 0, task, fed: 0, known: 0 }
    }

    /// Prompt tokens that are still to be fed; 0 while it decodes.
    pub(crate) fn to_prefill(&self) -> usize {
        self.task.prompt.len() - self.fed
    }

    /// How much of the prompt has been fed.
    pub(crate) fn prefilled(&self) -> usize {
        self.fed
    }

    /// What the next step feeds: `take` tokens of the prompt, or the token that was sampled last.
    pub(crate) fn feed(&self, take: usize) -> Feed<'_> {
        match self.task.prompt.get(self.fed..self.fed + take) {
            Some(tokens) if take > 0 => Feed::Prompt { tokens, last: take == self.to_prefill() },
            _ if self.known + 1 >= self.task.max_tokens => Feed::Last,
            _ => Feed::Sampled,
        }
    }

    /// Takes over what the step brought; an update if it became known.
    pub(crate) fn advance(&mut self, take: usize, sampled: Option<Sampled>) -> Option<Update> {
        self.fed += take;
        let sampled = sampled.filter(|_| take == 0)?;
        self.known += 1;
        let end = if self.task.stop_tokens.contains(&sampled.token) {
            Some(End::Stop)
        } else if self.known >= self.task.max_tokens {
            Some(End::Length)
        } else {
            None
        };
        Some(Update { id: self.id, sampled: Some(sampled), end })
    }
}
