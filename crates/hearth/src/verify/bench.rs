//! A runner at work on a check: sequences by hand, and everything given back at the end.

use hearth_core::runner::{Feed, Resume, Runner, Segment, SlotId, Snapshot, SnapshotId, Source};
use hearth_core::sampling::SamplingParams;
use hearth_core::{Error, Result};

use super::ANSWER;
use super::prompts::chunks;

/// The runner, and what is open and kept on it.
pub(super) struct Bench<'r> {
    pub(super) runner: &'r mut dyn Runner,
    open: Vec<SlotId>,
    kept: Vec<SnapshotId>,
}

impl<'r> Bench<'r> {
    pub(super) fn new(runner: &'r mut dyn Runner) -> Self {
        Self { runner, open: Vec::new(), kept: Vec::new() }
    }

    /// A sequence without any cache.
    pub(super) fn open(&mut self) -> Result<SlotId> {
        self.begin(None)
    }

    /// A sequence with the cache of `tokens`.
    pub(super) fn resume(&mut self, from: Source, tokens: &[u32]) -> Result<SlotId> {
        if let Source::Take(id) = from {
            self.kept.retain(|kept| *kept != id);
        }
        self.begin(Some(Resume { from, tokens }))
    }

    fn begin(&mut self, from: Option<Resume<'_>>) -> Result<SlotId> {
        let slot = (0..).find(|slot| !self.open.contains(slot)).expect("few slots are open");
        let greedy = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        self.runner.open(slot, &greedy, from)?;
        self.open.push(slot);
        Ok(slot)
    }

    /// Feeds a part of a prompt, alone.
    pub(super) fn prefill(&mut self, slot: SlotId, tokens: &[u32], last: bool) -> Result<()> {
        for chunk in chunks(tokens.len()) {
            let last = last && chunk.end == tokens.len();
            let mut batch = [Segment { slot, feed: Feed::Prompt { tokens: &tokens[chunk], last }, sampled: None }];
            self.runner.step(&mut batch)?;
        }
        Ok(())
    }

    /// The answer to the prompt, at its full length. The sequence is closed.
    pub(super) fn answer(&mut self, slot: SlotId) -> Result<Vec<u32>> {
        let mut answer = self.go_on(slot, ANSWER - 1)?;
        answer.push(self.last(slot)?);
        self.close(slot);
        Ok(answer)
    }

    /// The next tokens of an answer, all of which are in the cache then.
    pub(super) fn go_on(&mut self, slot: SlotId, count: usize) -> Result<Vec<u32>> {
        (0..count).map(|_| self.step(slot, Feed::Sampled)).collect()
    }

    /// The next token, which is only read.
    pub(super) fn last(&mut self, slot: SlotId) -> Result<u32> {
        self.step(slot, Feed::Last)
    }

    fn step(&mut self, slot: SlotId, feed: Feed<'_>) -> Result<u32> {
        let mut batch = [Segment { slot, feed, sampled: None }];
        self.runner.step(&mut batch)?;
        let [segment] = batch;
        read(segment)
    }

    /// One step of two sequences: the first goes on, the second is fed.
    pub(super) fn step_both(&mut self, first: SlotId, second: SlotId, feed: Feed<'_>) -> Result<(u32, Option<u32>)> {
        let mut batch = [
            Segment { slot: first, feed: Feed::Sampled, sampled: None },
            Segment { slot: second, feed, sampled: None },
        ];
        self.runner.step(&mut batch)?;
        let [first, second] = batch;
        Ok((read(first)?, second.sampled.map(|sampled| sampled.token)))
    }

    /// Puts a sequence's cache aside; it has to hold `fed` tokens.
    pub(super) fn keep(&mut self, slot: SlotId, fed: usize) -> Result<Snapshot> {
        self.open.retain(|open| *open != slot);
        let snapshot = self.runner.keep(slot)?;
        self.hold(snapshot, fed)
    }

    /// Takes responsibility for a snapshot that has to hold `fed` tokens.
    pub(super) fn hold(&mut self, snapshot: Snapshot, fed: usize) -> Result<Snapshot> {
        self.kept.push(snapshot.id);
        if snapshot.len == fed {
            return Ok(snapshot);
        }
        Err(Error::internal(format!("A cache holds {} tokens where {fed} were fed.", snapshot.len)))
    }

    pub(super) fn forget(&mut self, id: SnapshotId) {
        self.kept.retain(|kept| *kept != id);
        self.runner.forget(id);
    }

    pub(super) fn close(&mut self, slot: SlotId) {
        self.open.retain(|open| *open != slot);
        self.runner.close(slot);
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.open.drain(..).for_each(|slot| self.runner.close(slot));
        self.kept.drain(..).for_each(|id| self.runner.forget(id));
    }
}

fn read(segment: Segment<'_>) -> Result<u32> {
    let missing = || Error::internal(format!("The device gave no token for slot {}.", segment.slot));
    segment.sampled.map(|sampled| sampled.token).ok_or_else(missing)
}
