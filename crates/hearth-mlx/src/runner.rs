//! The device side of the engine's seam: slots, steps, and the token that is always on its way.
//!
//! Invariants:
//! 1. On a GPU a step's forward pass is built on the lazy tokens of the step before it; nothing waits for the device until the
//!    new pass is built and, but for what [`COPY_AT_MOST`] says, queued. A processor would compute nearly all of a pass
//!    while it is being queued, and hold back the tokens that are there already; so there it is queued when the next step begins.
//! 2. What a slot sampled last is `pending` until a later segment of that slot feeds or reads it.
//! 3. MLX's buffer cache is emptied only while nothing is in flight: doing it under a running command buffer is a part
//!    of a known way to bring macOS down (mlx issue 3186). The wired limit is never touched, for the same reason.
//! 4. A cache has one owner: a slot or a snapshot. It is moved from one to the other. A copy of it is computed before anyone
//!    goes on, so no buffer has two readers, and the owner's next token is written in place. Only snapshots share buffers,
//!    and nobody writes to these.

use std::{cell::OnceCell, collections::HashMap, path::Path, rc::Rc};

use hearth_core::{
    Error, Result,
    model::ModelFacts,
    runner::{Cuts, Feed, Resume, Runner, Sampled, Segment, SlotId, Snapshot, SnapshotId, Source, Tensor},
    sampling::SamplingParams,
};

use crate::{
    batch::{Batch, Chunk, Wanted},
    cache::{self, SequenceCache},
    config::Config,
    layout::Layout,
    models::{self, Model},
    ops::{self, Array, Dtype},
    sampler::{self, Drawn, SamplerState},
    weights::Weights,
};
use lanes::{Lanes, input_ids, lanes};
use shelf::Shelf;

mod lanes;
mod shelf;

/// Steps after which the buffer cache is emptied, besides after prompts' chunks.
const CLEAR_EVERY: u64 = 256;

/// Bytes of caches from which it is better to wait for the device than to queue ahead of it.
///
/// Queued work holds the buffers that it reads, and MLX copies a cache that someone holds instead of writing into it. So a
/// step that is queued ahead copies the caches of all its rows. On a GPU waiting costs some tenths of a millisecond, in
/// which its memory copies about this much (reckoned, not measured). The processor gains nothing by queueing ahead.
const COPY_AT_MOST: usize = 64 << 20;

/// How a model is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Tokens that prompt and answer may hold together, where that is to be less than the model allows.
    pub context: Option<usize>,
    /// Bits of a number in the KV caches, 4 or 8; they are as the model computes them where this is not said.
    pub kv_bits: Option<u8>,
}

/// A text model on MLX. Lives and dies on the thread that loaded it.
pub struct MlxRunner {
    facts: ModelFacts,
    model: Box<dyn Model>,
    layout: Layout,
    slots: HashMap<SlotId, Slot>,
    shelf: Shelf,
    steps: u64,
    on_cpu: bool,
    /// What the last step has built and nobody has queued yet.
    built: Vec<Array>,
    /// Whether the buffer cache is to be emptied as soon as nothing is in flight.
    clear_due: bool,
}

/// A sequence.
struct Slot {
    cache: SequenceCache,
    sampler: SamplerState,
    pending: Option<Pending>,
    /// Whether a step failed, so that nobody knows what the cache holds.
    broken: bool,
}

/// A token on its way: a row of what a step drew.
#[derive(Clone)]
struct Pending {
    step: Rc<Step>,
    row: usize,
}

/// What a step drew, and, once the device is done, which tokens these are.
struct Step {
    drawn: Drawn,
    tokens: OnceCell<Vec<Sampled>>,
}

/// Loads the model folder `dir`. All of the runner's life happens on the calling thread.
pub fn load(dir: &Path, options: LoadOptions) -> Result<MlxRunner> {
    load_telling(dir, options, &mut |_, _| ())
}

/// As [`load`]; `progress` is told how many bytes of the weights are read, and of how many.
pub fn load_telling(dir: &Path, options: LoadOptions, progress: &mut dyn FnMut(u64, u64)) -> Result<MlxRunner> {
    let on_cpu = ops::on_cpu();
    if on_cpu {
        ops::disable_compile()?;
    }
    let config = Config::from_dir(dir)?;
    let weights = Weights::open(dir, &config)?;
    let model = models::load(&config, &weights)?;
    let weight_bytes = weights.finish(progress)?;
    let layout = Layout::of(&*model, options.kv_bits, dir)?;
    let context_length = options.context.map_or(config.context_length, |context| context.min(config.context_length));
    let facts = ModelFacts {
        model_type: config.model_type,
        context_length,
        vocab_size: config.vocab_size,
        eos_token_ids: config.eos_token_ids,
        sampling: config.sampling,
        weight_bytes,
        cache: layout.facts(dir, weights.files(), context_length)?,
    };
    let (slots, shelf) = (HashMap::new(), Shelf::default());
    Ok(MlxRunner { facts, model, layout, slots, shelf, steps: 0, on_cpu, built: Vec::new(), clear_due: false })
}

impl Runner for MlxRunner {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&mut self, slot: SlotId, params: &SamplingParams, from: Option<Resume<'_>>) -> Result<()> {
        if self.slots.contains_key(&slot) {
            return Err(Error::internal(format!("slot {slot} is open already")));
        }
        let cache = match from {
            Some(from) => self.resume(from)?,
            None => self.layout.cache(),
        };
        let mut sampler = SamplerState::new(params, self.facts.vocab_size);
        sampler.feed_prompt(from.map_or(&[], |from| from.tokens));
        self.slots.insert(slot, Slot { cache, sampler, pending: None, broken: false });
        Ok(())
    }

    /// After an error the batch's slots can only be closed.
    fn step(&mut self, batch: &mut [Segment<'_>]) -> Result<()> {
        self.check(batch)?;
        let before: Vec<Option<Pending>> = batch.iter().map(|segment| self.take_pending(segment)).collect();
        self.advance(batch, &before).inspect_err(|_| self.give_up(batch))?;
        self.steps += 1;
        // Not now: waiting for this step's own work would hold back the tokens that have just been read.
        self.clear_due |= self.steps.is_multiple_of(CLEAR_EVERY) || batch.iter().any(is_prompt);
        Ok(())
    }

    fn mark(&mut self, slot: SlotId) -> Result<()> {
        self.sound(slot)?;
        let kinds = self.layout.kinds();
        self.slots.get_mut(&slot).map_or(Ok(()), |slot| slot.cache.mark(kinds))
    }

    fn cuts(&self, slot: SlotId) -> Result<Cuts> {
        Ok(self.sound(slot)?.cache.cuts())
    }

    /// After an error the slot is free.
    fn keep(&mut self, slot: SlotId) -> Result<Snapshot> {
        let checked = self.compute().and_then(|()| self.sound(slot).map(|_| ()));
        let ended = self.slots.remove(&slot);
        self.tidy(false);
        checked?;
        let ended = ended.ok_or_else(|| not_open(slot))?;
        Ok(self.shelf.put(ended.cache))
    }

    fn close(&mut self, slot: SlotId) {
        self.slots.remove(&slot);
        self.tidy(false);
    }

    fn forget(&mut self, id: SnapshotId) {
        if self.shelf.take(id).is_ok() {
            self.tidy(true);
        }
    }

    fn share(&mut self, from: SnapshotId, to: SnapshotId, tokens: usize) -> Result<Vec<Snapshot>> {
        let changed = self.shelf.share(from, to, tokens);
        self.tidy(true);
        changed
    }

    fn export(&mut self, id: SnapshotId) -> Result<Vec<Tensor>> {
        let tensors = cache::export(self.shelf.get(id)?, self.layout.forms());
        self.tidy(true);
        tensors
    }

    fn import(&mut self, tensors: Vec<Tensor>) -> Result<Snapshot> {
        Ok(self.shelf.put(cache::import(self.layout.forms(), tensors)?))
    }
}

impl MlxRunner {
    /// The logits of every position of `tokens`, `[tokens, vocabulary]` row by row, in float32; the tokens are fed `chunk`
    /// at a time. What a sampler sees, for those who compare models rather than talk to them.
    pub fn logits(&mut self, tokens: &[u32], chunk: usize) -> Result<Vec<f32>> {
        let mut cache = self.layout.cache();
        let mut logits = Vec::new();
        for tokens in tokens.chunks(chunk.max(1)) {
            self.check_tokens(tokens)?;
            let chunk = Chunk { cache: &mut cache, len: tokens.len() as i32, wanted: Wanted::Everything };
            let mut batch = Batch::new(Vec::new(), vec![chunk], self.layout.layers());
            let found = self.model.forward(&token_array(tokens), &mut batch)?;
            logits.extend(ops::to_vec::<f32>(&ops::astype(&found, Dtype::Float32)?)?);
        }
        Ok(logits)
    }

    /// The cache that a sequence begins with. What was to be taken over is gone afterwards, whatever comes of it.
    fn resume(&mut self, from: Resume<'_>) -> Result<SequenceCache> {
        let len = from.tokens.len();
        match from.from {
            Source::Take(id) => {
                let taken = self.shelf.take(id)?;
                let bytes = taken.bytes();
                let cut = self.check_tokens(from.tokens).and_then(|()| taken.cut(len));
                if cut.as_ref().map_or(0, SequenceCache::bytes) != bytes {
                    self.tidy(true);
                }
                cut
            }
            Source::Copy(id) => self.check_tokens(from.tokens).and_then(|()| self.shelf.get(id)?.copy(len)),
            Source::Branch(slot) => {
                self.check_tokens(from.tokens)?;
                self.compute()?;
                self.sound(slot)?.cache.copy(len)
            }
        }
    }

    /// The slot, if its cache holds what it should.
    fn sound(&self, slot: SlotId) -> Result<&Slot> {
        let found = self.slots.get(&slot).ok_or_else(|| not_open(slot))?;
        if found.broken || !found.cache.is_whole() { Err(broken(slot)) } else { Ok(found) }
    }

    /// Computes what the last step has built. After an error all slots can only be closed.
    fn compute(&mut self) -> Result<()> {
        let computed = ops::eval(&std::mem::take(&mut self.built));
        if computed.is_err() {
            self.slots.values_mut().for_each(|slot| slot.broken = true);
        }
        computed
    }

    /// After a step that failed: its slots can only be closed.
    fn give_up(&mut self, batch: &[Segment<'_>]) {
        for segment in batch {
            if let Some(slot) = self.slots.get_mut(&segment.slot) {
                slot.broken = true;
            }
        }
    }

    /// Gives freed buffers back: at once where nothing runs, else, where many were freed, at the next step.
    fn tidy(&mut self, many: bool) {
        self.clear_due |= many;
        if self.slots.is_empty() {
            self.built.clear();
            // Nobody is left who could be told of an error; the next step would meet it again.
            let _ = ops::synchronize().and_then(|()| ops::clear_cache());
            self.clear_due = false;
        }
    }

    /// Refuses a batch that would read outside the model's tables, or that the engine cannot have meant.
    fn check(&self, batch: &[Segment<'_>]) -> Result<()> {
        for (place, segment) in batch.iter().enumerate() {
            let id = segment.slot;
            let slot = self.slots.get(&id).ok_or_else(|| not_open(id))?;
            if slot.broken {
                return Err(broken(id));
            }
            if batch[..place].iter().any(|other| other.slot == id) {
                return Err(Error::internal(format!("slot {id} is in the batch twice")));
            }
            match segment.feed {
                Feed::Prompt { tokens, .. } => self.check_tokens(tokens)?,
                Feed::Sampled | Feed::Last if slot.pending.is_none() => {
                    return Err(Error::internal(format!("slot {id} has sampled nothing yet")));
                }
                Feed::Sampled | Feed::Last => {}
            }
        }
        Ok(())
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let vocab = self.facts.vocab_size;
        match tokens.iter().find(|&&token| token as usize >= vocab) {
            _ if tokens.is_empty() => Err(Error::internal("a prompt's chunk is empty")),
            Some(token) => {
                Err(Error::invalid("messages", format!("token {token} is outside the model's vocabulary of {vocab}")))
            }
            None => Ok(()),
        }
    }

    fn take_pending(&mut self, segment: &Segment<'_>) -> Option<Pending> {
        match segment.feed {
            Feed::Sampled | Feed::Last => self.slots.get_mut(&segment.slot)?.pending.take(),
            Feed::Prompt { .. } => None,
        }
    }

    /// Queues a step's work, then reads what the one before it drew.
    fn advance(&mut self, batch: &mut [Segment<'_>], before: &[Option<Pending>]) -> Result<()> {
        self.compute()?;
        self.queue(batch, before)?;
        for (segment, pending) in batch.iter_mut().zip(before) {
            segment.sampled = pending.as_ref().map(Pending::read).transpose()?;
        }
        Ok(())
    }

    /// Builds the forward pass of all segments and hands it to the device, or leaves that to the next step.
    fn queue(&mut self, batch: &[Segment<'_>], before: &[Option<Pending>]) -> Result<()> {
        let Lanes { rows, chunks, row_tokens, chunk_tokens, mut samplers, pending } =
            lanes(&mut self.slots, batch, before);
        if rows.is_empty() && chunks.is_empty() {
            return Ok(());
        }
        let ids = input_ids(&row_tokens, &chunk_tokens)?;
        let mut batch = Batch::new(rows, chunks, self.layout.layers());
        let logits = self.model.forward(&ids, &mut batch)?;
        let drawn = (!samplers.is_empty()).then(|| sampler::sample(&logits, &mut samplers)).transpose()?;
        drop(logits);
        if self.clear_due || batch.row_bytes() > COPY_AT_MOST {
            ops::synchronize()?;
        }
        if std::mem::take(&mut self.clear_due) {
            ops::clear_cache()?;
        }
        let work = drawn.iter().flat_map(Drawn::arrays).chain(batch.chunk_caches());
        if self.on_cpu {
            self.built = work.cloned().collect();
        } else {
            ops::async_eval(work)?;
        }
        let Some(drawn) = drawn else { return Ok(()) };
        let step = Rc::new(Step { drawn, tokens: OnceCell::new() });
        for (row, slot) in pending.into_iter().enumerate() {
            *slot = Some(Pending { step: Rc::clone(&step), row });
        }
        Ok(())
    }
}

impl Pending {
    /// The token, once the device has it.
    fn read(&self) -> Result<Sampled> {
        let tokens = match self.step.tokens.get() {
            Some(tokens) => tokens,
            None => {
                let tokens = self.step.drawn.read()?;
                self.step.tokens.get_or_init(|| tokens)
            }
        };
        Ok(tokens[self.row].clone())
    }
}

fn not_open(slot: SlotId) -> Error {
    Error::internal(format!("slot {slot} is not open"))
}

fn broken(slot: SlotId) -> Error {
    Error::internal(format!("the cache of slot {slot} is not known after a step that failed"))
}

fn is_prompt(segment: &Segment<'_>) -> bool {
    matches!(segment.feed, Feed::Prompt { .. })
}

fn token_array(tokens: &[u32]) -> Array {
    Array::from_slice(tokens, &[tokens.len() as i32])
}
