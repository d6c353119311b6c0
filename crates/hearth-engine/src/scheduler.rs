//! Who runs in the next step. Pure: no device, no channel, and the time is passed in.
//!
//! Invariants:
//! - Whoever decodes is in every step.
//! - Beside them a step holds one bounded budget of prompt tokens, so that nobody waits longer than one chunk.
//! - Within the budget the prompt with the fewest tokens left goes first, since a short prompt must not wait for a long
//!   one; but a quarter of it belongs to the oldest prompt, so that the long one never starves.
//! - At most as many sequences run as there are slots; the others wait in the order in which they came.

use std::collections::VecDeque;
use std::time::Instant;

use hearth_core::Error;
use hearth_core::runner::{Feed, Sampled, Segment, SlotId};
use hearth_core::sampling::SamplingParams;
use hearth_core::task::Generate;

use crate::pace::{Pace, Work};
use crate::sequence::Sequence;
use crate::worker::protocol::{End, RequestId, Update};

/// The share of the prompt budget that the oldest prompt always gets: one in so many.
const OLDEST_SHARE: usize = 4;

/// The sequences of one device.
pub(crate) struct Scheduler {
    waiting: VecDeque<Sequence>,
    /// Oldest first.
    running: Vec<Sequence>,
    free: Vec<SlotId>,
    pace: Pace,
}

/// What one step feeds.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    parts: Vec<Part>,
    work: Work,
}

impl Plan {
    /// Prompt tokens that it feeds.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.parts.iter().map(|part| part.take).sum()
    }

    /// How many sequences take part.
    pub(crate) fn segments(&self) -> usize {
        self.parts.len()
    }
}

/// One segment of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// Position in `running`.
    index: usize,
    /// Prompt tokens to feed; 0 decodes.
    take: usize,
}

/// What a step came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// For the requests' owners.
    pub(crate) updates: Vec<Update>,
    /// Slots to close.
    pub(crate) closed: Vec<SlotId>,
}

impl Scheduler {
    /// A scheduler of `slots` slots.
    pub(crate) fn new(slots: usize) -> Self {
        let slots = SlotId::try_from(slots.max(1)).unwrap_or(SlotId::MAX);
        Self { waiting: VecDeque::new(), running: Vec::new(), free: (0..slots).rev().collect(), pace: Pace::default() }
    }

    /// Queues a request.
    pub(crate) fn add(&mut self, id: RequestId, task: Generate) {
        self.waiting.push_back(Sequence::new(id, task));
    }

    /// Moves the next waiting request to a slot, to be opened with these parameters.
    pub(crate) fn admit(&mut self) -> Option<(RequestId, SlotId, &SamplingParams)> {
        if self.free.is_empty() {
            return None;
        }
        let mut sequence = self.waiting.pop_front()?;
        sequence.slot = self.free.pop()?;
        self.running.push(sequence);
        let sequence = self.running.last()?;
        Some((sequence.id, sequence.slot, &sequence.task.sampling))
    }

    /// Forgets a request; the slot to close, if it had one.
    pub(crate) fn remove(&mut self, id: RequestId) -> Option<SlotId> {
        self.waiting.retain(|sequence| sequence.id != id);
        let index = self.running.iter().position(|sequence| sequence.id == id)?;
        let slot = self.running.remove(index).slot;
        self.free.push(slot);
        Some(slot)
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// The device had nothing to do until `now`.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.pace.resumed(now);
    }

    /// Chooses the next step.
    pub(crate) fn schedule(&self) -> Plan {
        let mut plan = Plan::default();
        let mut prompts = Vec::new();
        for (index, sequence) in self.running.iter().enumerate() {
            if sequence.to_prefill() > 0 {
                prompts.push(Prompt { index, left: sequence.to_prefill(), take: 0 });
            } else {
                plan.parts.push(Part { index, take: 0 });
                if sequence.feed(0) == Feed::Sampled {
                    plan.work.add_decode();
                }
            }
        }
        self.add_prompts(&mut plan, prompts);
        plan
    }

    fn add_prompts(&self, plan: &mut Plan, mut prompts: Vec<Prompt>) {
        let Some(position) = prompts.iter().map(|prompt| self.running[prompt.index].prefilled()).max() else { return };
        let budget = self.pace.chunk(position, plan.work != Work::default());
        share(&mut prompts, budget);
        for prompt in prompts.iter().filter(|prompt| prompt.take > 0) {
            plan.work.add_chunk(self.running[prompt.index].prefilled(), prompt.take);
            plan.parts.push(Part { index: prompt.index, take: prompt.take });
        }
    }

    /// The plan as the runner wants it.
    pub(crate) fn segments(&self, plan: &Plan) -> Vec<Segment<'_>> {
        let segment = |part: &Part| {
            let sequence = &self.running[part.index];
            Segment { slot: sequence.slot, feed: sequence.feed(part.take), sampled: None }
        };
        plan.parts.iter().map(segment).collect()
    }

    /// The step has returned at `now` with these tokens, one place for each segment.
    pub(crate) fn postprocess(&mut self, plan: &Plan, sampled: Vec<Option<Sampled>>, now: Instant) -> Outcome {
        self.pace.returned(now, plan.work);
        let mut outcome = Outcome::default();
        for (part, sampled) in plan.parts.iter().zip(sampled) {
            let sequence = &mut self.running[part.index];
            let update = match sampled {
                None if part.take == 0 => Some(failed(sequence.id, no_token())),
                sampled => sequence.advance(part.take, sampled),
            };
            outcome.updates.extend(update);
        }
        self.close_ended(&mut outcome);
        outcome
    }

    /// The step has failed: so have all who took part in it.
    pub(crate) fn fail(&mut self, plan: &Plan, error: &Error, now: Instant) -> Outcome {
        self.pace.resumed(now);
        let ids = plan.parts.iter().map(|part| self.running[part.index].id);
        let updates = ids.map(|id| failed(id, error.clone())).collect();
        let mut outcome = Outcome { updates, closed: Vec::new() };
        self.close_ended(&mut outcome);
        outcome
    }

    fn close_ended(&mut self, outcome: &mut Outcome) {
        let ended = outcome.updates.iter().filter(|update| update.end.is_some());
        outcome.closed = ended.filter_map(|update| self.remove(update.id)).collect();
    }
}

/// The answer to a request that cannot go on.
pub(crate) fn failed(id: RequestId, error: Error) -> Update {
    Update { id, sampled: None, end: Some(End::Failed(Box::new(error))) }
}

fn no_token() -> Error {
    Error::internal("The model's runner returned no token where one was due; this is a fault of Hearth's.")
}

/// A prompt that is being fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prompt {
    index: usize,
    left: usize,
    take: usize,
}

/// Splits `budget` tokens between prompts, oldest first.
fn share(prompts: &mut [Prompt], budget: usize) {
    if let [only] = prompts {
        // A small rest goes along: by itself it would cost a whole pass over the weights.
        only.take = if only.left <= budget + budget / 4 { only.left } else { budget };
        return;
    }
    let Some(oldest) = prompts.first_mut() else { return };
    oldest.take = oldest.left.min(budget / OLDEST_SHARE);
    let mut rest = budget - oldest.take;
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&at| prompts[at].left);
    for at in order {
        let more = (prompts[at].left - prompts[at].take).min(rest);
        prompts[at].take += more;
        rest -= more;
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
