//! Who runs in the next step. Pure: no device, no channel, and the time is passed in.
//!
//! Invariants:
//! - Whoever decodes is in every step.
//! - Beside them a step holds one bounded budget of prompt tokens, so that nobody waits longer than one chunk.
//! - Within the budget the prompt with the fewest tokens left goes first, since a short prompt must not wait for a long
//!   one; but a quarter of it belongs to the oldest prompt, so that the long one never starves.
//! - At most as many sequences run as there are slots; the others wait in the order in which they came. Who waits for a
//!   file or for another's prefix is passed by those behind it, and has its place again when that is there.
//! - What only fills caches runs while nobody else does, one at a time.

use std::collections::VecDeque;
use std::time::Instant;

use hearth_core::Error;
use hearth_core::runner::{Feed, Sampled, Segment, SlotId};
use hearth_core::task::{Generate, SessionKey};

use crate::disk_tier::FileName;
use crate::memory::Load;
use crate::pace::{Pace, Work};
use crate::sequence::{Ended, Hold, Sequence};
use crate::worker::protocol::{End, RequestId, Update};

/// The share of the prompt budget that the oldest prompt always gets: one in so many.
const OLDEST_SHARE: usize = 4;

/// The sequences of one device.
pub(crate) struct Scheduler {
    waiting: VecDeque<Sequence>,
    /// What is done in idle time, one after the other.
    fills: VecDeque<Sequence>,
    /// Oldest first.
    running: Vec<Sequence>,
    free: Vec<SlotId>,
    pace: Pace,
    /// Whether caches can only be cut back where they were marked.
    marking: bool,
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
    /// Sequences that are done; their caches are worth keeping.
    pub(crate) ended: Vec<Ended>,
    /// Slots to close: nobody knows what their caches hold.
    pub(crate) failed: Vec<SlotId>,
    /// Sequences that have fed more of their prompt.
    pub(crate) fed: Vec<Fed>,
}

/// How far a prompt has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fed {
    pub(crate) slot: SlotId,
    /// Tokens that its cache holds.
    pub(crate) held: usize,
    /// Whether the cache is to be marked there.
    pub(crate) mark: bool,
}

impl Scheduler {
    /// A scheduler of `slots` slots; `marking` where caches can only be cut back to marks.
    pub(crate) fn new(slots: usize, marking: bool) -> Self {
        let slots = SlotId::try_from(slots.max(1)).unwrap_or(SlotId::MAX);
        Self {
            waiting: VecDeque::new(),
            fills: VecDeque::new(),
            running: Vec::new(),
            free: (0..slots).rev().collect(),
            pace: Pace::default(),
            marking,
        }
    }

    /// Queues a request that came at `now`.
    pub(crate) fn add(&mut self, id: RequestId, task: Generate, now: Instant) {
        let sequence = Sequence::new(id, task, now);
        let queue = if sequence.is_fill() { &mut self.fills } else { &mut self.waiting };
        queue.push_back(sequence);
    }

    /// The next request that could begin, and the slot where it would.
    pub(crate) fn next(&self) -> Option<(&Sequence, SlotId)> {
        let slot = *self.free.last()?;
        let fill = || self.fills.front().filter(|_| self.waiting.is_empty() && self.running.is_empty());
        let sequence = self.waiting.iter().find(|sequence| may_begin(sequence)).or_else(fill)?;
        (sequence.hold == Hold::Nothing).then_some((sequence, slot))
    }

    /// Lets a waiting request wait for something.
    pub(crate) fn hold(&mut self, id: RequestId, hold: Hold) {
        let Some(sequence) = self.queued(id) else { return };
        sequence.hold = hold;
        sequence.waits += usize::from(matches!(hold, Hold::Prefix(..)));
    }

    /// A waiting request wants this file from `now` on, and no other that it wanted before.
    pub(crate) fn want(&mut self, id: RequestId, file: FileName, now: Instant) {
        if let Some(sequence) = self.queued(id) {
            sequence.reading = Some((file, sequence.reading.map_or(now, |(_, since)| since)));
        }
    }

    /// Something has come about: who waited for it may try again, and who waits for room, too.
    pub(crate) fn release(&mut self, came: impl Fn(Hold) -> bool) {
        for sequence in self.waiting.iter_mut().chain(&mut self.fills) {
            if matches!(sequence.hold, Hold::Memory | Hold::Reader) || came(sequence.hold) {
                sequence.hold = Hold::Nothing;
            }
        }
    }

    /// There may be room: who waits for it may try again.
    fn release_for_room(&mut self) {
        self.release(|_| false);
    }

    /// Whether somebody who has not begun yet wants a file.
    pub(crate) fn wants(&self, file: FileName) -> bool {
        let mut queued = self.waiting.iter().chain(&self.fills);
        queued.any(|sequence| sequence.reading.is_some_and(|(name, _)| name == file))
    }

    /// Nothing is to be left of what a session has asked for so far.
    pub(crate) fn disown(&mut self, session: SessionKey) {
        let all = self.waiting.iter_mut().chain(&mut self.fills).chain(&mut self.running);
        all.filter(|sequence| sequence.task.session == Some(session)).for_each(Sequence::discard);
    }

    /// A waiting request begins at its slot, with a cache of its first `held` tokens.
    pub(crate) fn begin(&mut self, id: RequestId, held: usize) {
        let Some(slot) = self.free.last().copied() else { return };
        if let Some(mut sequence) = self.dequeue(id) {
            self.free.pop();
            sequence.open(slot, held, self.marking);
            self.running.push(sequence);
        }
    }

    /// Forgets a request that waits.
    pub(crate) fn dequeue(&mut self, id: RequestId) -> Option<Sequence> {
        let taken = [&mut self.waiting, &mut self.fills].into_iter().find_map(|queue| {
            let index = queue.iter().position(|sequence| sequence.id == id)?;
            queue.remove(index)
        });
        self.release_for_room();
        taken
    }

    /// Forgets a request; what is left of it, if it was running.
    pub(crate) fn remove(&mut self, id: RequestId) -> Option<Ended> {
        self.dequeue(id);
        let index = self.running.iter().position(|sequence| sequence.id == id)?;
        Some(self.leave(index).ended())
    }

    /// The filling that must make way for a request that has come; it goes on later.
    pub(crate) fn yield_fill(&mut self) -> Option<Ended> {
        let index = self.running.iter().position(Sequence::is_fill).filter(|_| !self.waiting.is_empty())?;
        let fill = self.leave(index);
        let ended = fill.ended();
        self.fills.push_front(Sequence::new(fill.id, fill.task, fill.arrived));
        Some(ended)
    }

    /// The sequence that began last, and what it needs.
    pub(crate) fn newest(&self) -> Option<(RequestId, Load)> {
        self.running.last().map(|sequence| (sequence.id, sequence.load()))
    }

    /// What the running sequences need.
    pub(crate) fn loads(&self) -> impl Iterator<Item = Load> {
        self.running.iter().map(Sequence::load)
    }

    /// Ends everything; what is left of those that ran.
    pub(crate) fn end(&mut self) -> Vec<Ended> {
        self.waiting.clear();
        self.fills.clear();
        self.running.drain(..).map(|sequence| sequence.ended()).collect()
    }

    /// Asks a running sequence for a mark at `position` of its prompt, where one is needed; whether there will be one.
    pub(crate) fn ask_mark(&mut self, slot: SlotId, position: usize) -> bool {
        let running = self.running.iter_mut().find(|sequence| sequence.slot == slot);
        running.is_some_and(|sequence| !self.marking || sequence.ask_mark(position))
    }

    /// Takes a sequence from those that run.
    fn leave(&mut self, index: usize) -> Sequence {
        let sequence = self.running.remove(index);
        let slot = sequence.slot;
        self.free.push(slot);
        self.release(|hold| matches!(hold, Hold::Prefix(other, _) if other == slot));
        sequence
    }

    fn queued(&mut self, id: RequestId) -> Option<&mut Sequence> {
        self.waiting.iter_mut().chain(&mut self.fills).find(|sequence| sequence.id == id)
    }

    /// Whether nothing runs.
    pub(crate) fn is_still(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether there is nothing to do before a message comes.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_still() && self.next().is_none()
    }

    /// Whether somebody waits for a file that is being read.
    #[cfg(test)]
    pub(crate) fn waits_for_files(&self) -> bool {
        self.waiting.iter().chain(&self.fills).any(|sequence| matches!(sequence.hold, Hold::File(_) | Hold::Reader))
    }

    /// Whether nobody is left.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.is_still() && self.waiting.is_empty() && self.fills.is_empty()
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
                prompts.push(Prompt { index, left: sequence.to_prefill(), most: sequence.to_mark(), take: 0 });
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
        // What comes while a cache is filled in idle time should not wait for it longer than a stream would.
        let short = plan.work != Work::default() || self.running.iter().any(Sequence::is_fill);
        let budget = self.pace.chunk(position, short);
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
            if part.take > 0 {
                outcome.fed.push(Fed { slot: sequence.slot, held: sequence.prefilled(), mark: sequence.at_mark() });
            }
        }
        self.let_go(&mut outcome);
        for Fed { slot, held, .. } in &outcome.fed {
            self.release(|hold| matches!(hold, Hold::Prefix(other, len) if other == *slot && len <= *held));
        }
        outcome
    }

    /// The step has failed: so have all who took part in it.
    pub(crate) fn fail(&mut self, plan: &Plan, error: &Error, now: Instant) -> Outcome {
        self.pace.resumed(now);
        let ids = plan.parts.iter().map(|part| self.running[part.index].id);
        let updates = ids.map(|id| failed(id, error.clone())).collect();
        let mut outcome = Outcome { updates, ..Outcome::default() };
        self.let_go(&mut outcome);
        outcome
    }

    fn let_go(&mut self, outcome: &mut Outcome) {
        for update in &outcome.updates {
            match &update.end {
                None => {}
                Some(End::Failed(_)) => outcome.failed.extend(self.remove(update.id).map(|ended| ended.slot)),
                Some(_) => outcome.ended.extend(self.remove(update.id)),
            }
        }
    }
}

/// Whether those behind it have to wait for it, or it could begin.
fn may_begin(sequence: &Sequence) -> bool {
    matches!(sequence.hold, Hold::Nothing | Hold::Memory)
}

/// The answer to a request that cannot go on.
pub(crate) fn failed(id: RequestId, error: Error) -> Update {
    Update { id, opened: None, sampled: None, end: Some(End::Failed(Box::new(error))) }
}

fn no_token() -> Error {
    Error::internal("The model's runner returned no token where one was due; this is a fault of Hearth's.")
}

/// A prompt that is being fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prompt {
    index: usize,
    left: usize,
    /// Tokens that may be taken at once.
    most: usize,
    take: usize,
}

/// Splits `budget` tokens between prompts, oldest first.
fn share(prompts: &mut [Prompt], budget: usize) {
    if let [only] = prompts {
        // A small rest goes along: by itself it would cost a whole pass over the weights.
        only.take = if only.left <= budget + budget / 4 { only.left } else { budget }.min(only.most);
        return;
    }
    let Some(oldest) = prompts.first_mut() else { return };
    oldest.take = oldest.most.min(budget / OLDEST_SHARE);
    let mut rest = budget - oldest.take;
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&at| prompts[at].left);
    for at in order {
        let more = (prompts[at].most - prompts[at].take).min(rest);
        prompts[at].take += more;
        rest -= more;
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
