//! A runner whose next token depends on every token in its cache and on nothing else, and which can be wrong on purpose.

use std::collections::HashMap;

use hearth_core::model::{CacheFacts, ModelFacts};
use hearth_core::runner::{Cuts, Feed, Resume, Runner, Sampled, Segment, SlotId, Snapshot, SnapshotId, Source, Tensor};
use hearth_core::sampling::{SamplingOverrides, SamplingParams};
use hearth_core::{Error, Result};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// A prompt's answers change from time to time.
    Cold,
    /// A cache that is taken has lost a token's place.
    Take,
    /// A kept cache misses the token that was fed last.
    Keep,
    /// Cutting spoils what is left.
    Cut,
    /// A copy that goes on writes into its source.
    Copy,
    /// A branch gets the trunk's newest tokens.
    Branch,
    /// A branch changes its trunk.
    Trunk,
    /// A bit is lost on the way to the file.
    Export,
    /// Nothing can be read again.
    Import,
    /// Caches of one batch are mistaken for each other.
    Batch,
    /// Beside others a cache that was kept is read wrongly.
    WarmBatch,
    /// Beside others the last tokens of an answer come out otherwise, as rounding does it.
    Rounding,
}

pub(crate) struct Fake {
    facts: ModelFacts,
    fault: Fault,
    slots: HashMap<SlotId, Slot>,
    kept: HashMap<SnapshotId, Cache>,
    next: SnapshotId,
    steps: u32,
}

#[derive(Clone, Default)]
struct Cache {
    tokens: Vec<u32>,
    marks: Vec<usize>,
}

#[derive(Default)]
struct Slot {
    cache: Cache,
    pending: Option<u32>,
    answered: usize,
    resumed: bool,
}

impl Fake {
    pub(crate) fn new(fault: Fault, cuts_anywhere: bool) -> Self {
        let facts = ModelFacts {
            model_type: "fake".into(),
            context_length: 2048,
            vocab_size: 1000,
            eos_token_ids: vec![2],
            sampling: SamplingOverrides::default(),
            weight_bytes: 0,
            cache: CacheFacts { fingerprint: "fake".into(), cuts_anywhere, ..CacheFacts::default() },
        };
        Self { facts, fault, slots: HashMap::new(), kept: HashMap::new(), next: 0, steps: 0 }
    }

    pub(crate) fn with_context(mut self, tokens: usize) -> Self {
        self.facts.context_length = tokens;
        self
    }

    /// What was never given back.
    pub(crate) fn left_over(&self) -> usize {
        self.slots.len() + self.kept.len()
    }

    fn cuts_of(&self, cache: &Cache) -> Cuts {
        let from = if self.facts.cache.cuts_anywhere { 1 } else { cache.tokens.len() };
        Cuts { from, marks: cache.marks.clone() }
    }

    fn put(&mut self, cache: Cache) -> Snapshot {
        self.next += 1;
        let (len, cuts) = (cache.tokens.len(), self.cuts_of(&cache));
        self.kept.insert(self.next, cache);
        Snapshot { id: self.next, len, bytes: 4 * len as u64, shared: Vec::new(), cuts }
    }

    fn source(&mut self, from: Source) -> Option<Cache> {
        match from {
            Source::Take(id) => self.kept.remove(&id),
            Source::Copy(id) => self.kept.get(&id).cloned(),
            Source::Branch(slot) => self.slots.get(&slot).map(|slot| slot.cache.clone()),
        }
    }

    fn resumed(&mut self, Resume { from, tokens }: Resume<'_>) -> Result<Cache> {
        let mut cache = self.source(from).ok_or_else(|| Error::internal("no such source"))?;
        let length = tokens.len();
        if cache.tokens.get(..length).is_none() || self.cuts_of(&cache).longest(length) != length {
            return Err(Error::internal(format!("{length} is no length of that cache")));
        }
        let is_cut = length < cache.tokens.len();
        match (self.fault, from) {
            (Fault::Cut, _) if is_cut => cache.tokens[length - 1] ^= 1,
            (Fault::Take, Source::Take(_)) if !is_cut => cache.tokens[0] ^= 1,
            (Fault::Branch, Source::Branch(_)) => cache.tokens[length / 2] ^= 1,
            (Fault::Copy, Source::Copy(id)) => self.kept.get_mut(&id).expect("a source").tokens[0] ^= 1,
            (Fault::Trunk, Source::Branch(id)) => self.slots.get_mut(&id).expect("a trunk").cache.tokens[0] ^= 1,
            _ => {}
        }
        cache.tokens.truncate(length);
        cache.marks.retain(|mark| *mark <= length);
        Ok(cache)
    }

    fn token(&self, slot: &Slot, beside: usize) -> u32 {
        let next = |state: u64, token: u32| (state ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3);
        let state = slot.cache.tokens.iter().fold(0xcbf2_9ce4_8422_2325, |state, &token| next(state, token));
        let wrong = match self.fault {
            Fault::Cold => self.steps / 100,
            Fault::Batch => beside as u32,
            Fault::WarmBatch => beside as u32 * u32::from(slot.resumed),
            Fault::Rounding => beside as u32 * u32::from(slot.answered > 10),
            _ => 0,
        };
        ((next(state, wrong) >> 32) % self.facts.vocab_size as u64) as u32
    }
}

impl Runner for Fake {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&mut self, slot: SlotId, _: &SamplingParams, from: Option<Resume<'_>>) -> Result<()> {
        assert!(!self.slots.contains_key(&slot), "slot {slot} is open");
        let resumed = from.is_some();
        let cache = from.map(|from| self.resumed(from)).transpose()?.unwrap_or_default();
        self.slots.insert(slot, Slot { cache, resumed, ..Slot::default() });
        Ok(())
    }

    fn step(&mut self, batch: &mut [Segment<'_>]) -> Result<()> {
        self.steps += 1;
        let beside = batch.len() - 1;
        for segment in batch {
            let mut slot = self.slots.remove(&segment.slot).expect("an open slot");
            let last = match segment.feed {
                Feed::Prompt { tokens, last } => {
                    assert!(!tokens.is_empty() && slot.pending.is_none());
                    slot.cache.tokens.extend(tokens);
                    last
                }
                Feed::Sampled | Feed::Last => {
                    let token = slot.pending.take().expect("a token");
                    segment.sampled = Some(Sampled { token, logprobs: None });
                    slot.answered += 1;
                    if segment.feed == Feed::Sampled {
                        slot.cache.tokens.push(token);
                    }
                    segment.feed == Feed::Sampled
                }
            };
            slot.pending = last.then(|| self.token(&slot, beside));
            self.slots.insert(segment.slot, slot);
        }
        Ok(())
    }

    fn mark(&mut self, slot: SlotId) -> Result<()> {
        let cache = &mut self.slots.get_mut(&slot).expect("an open slot").cache;
        cache.marks.push(cache.tokens.len());
        Ok(())
    }

    fn cuts(&self, slot: SlotId) -> Result<Cuts> {
        Ok(self.cuts_of(&self.slots[&slot].cache))
    }

    fn keep(&mut self, slot: SlotId) -> Result<Snapshot> {
        let mut slot = self.slots.remove(&slot).expect("an open slot");
        if self.fault == Fault::Keep {
            slot.cache.tokens.pop();
        }
        Ok(self.put(slot.cache))
    }

    fn close(&mut self, slot: SlotId) {
        self.slots.remove(&slot).expect("an open slot");
    }

    fn forget(&mut self, id: SnapshotId) {
        self.kept.remove(&id);
    }

    /// It leaves everything as it is.
    fn share(&mut self, _: SnapshotId, _: SnapshotId, _: usize) -> Result<Vec<Snapshot>> {
        Ok(Vec::new())
    }

    fn export(&mut self, id: SnapshotId) -> Result<Vec<Tensor>> {
        let Cache { mut tokens, marks } = self.kept[&id].clone();
        if self.fault == Fault::Export {
            tokens[3] ^= 1;
        }
        let marks: Vec<u32> = marks.into_iter().map(|mark| mark as u32).collect();
        Ok(vec![tensor("tokens", &tokens), tensor("marks", &marks)])
    }

    fn import(&mut self, tensors: Vec<Tensor>) -> Result<Snapshot> {
        if self.fault == Fault::Import {
            return Err(Error::internal("That is not a cache."));
        }
        let [tokens, marks] = &tensors[..] else { panic!("two tensors") };
        let marks = numbers(marks).map(|mark| mark as usize).collect();
        Ok(self.put(Cache { tokens: numbers(tokens).collect(), marks }))
    }
}

fn tensor(name: &str, numbers: &[u32]) -> Tensor {
    let data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Tensor { name: name.into(), dtype: "U32".into(), shape: vec![numbers.len()], data }
}

fn numbers(tensor: &Tensor) -> impl Iterator<Item = u32> {
    assert_eq!((tensor.dtype.as_str(), tensor.shape[0]), ("U32", tensor.data.len() / 4));
    let (numbers, _) = tensor.data.as_chunks();
    numbers.iter().map(|bytes| u32::from_le_bytes(*bytes))
}
