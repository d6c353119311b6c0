//! The device side of the engine's seam: slots, steps, and the token that is always on its way.
//!
//! Invariants:
//! 1. A step's forward pass is built on the lazy tokens of the step before it; nothing waits for the device until the
//!    new pass is built and, but for what [`COPY_AT_MOST`] says, queued.
//! 2. What a slot sampled last is `pending` until a later segment of that slot feeds or reads it.
//! 3. MLX's buffer cache is emptied only while nothing is in flight: doing it under a running command buffer is a part
//!    of a known way to bring macOS down (mlx issue 3186). The wired limit is never touched, for the same reason.

use std::{cell::OnceCell, collections::HashMap, path::Path, rc::Rc};

use hearth_core::{
    Error, Result,
    model::ModelFacts,
    runner::{Feed, Runner, Sampled, Segment, SlotId},
    sampling::SamplingParams,
};

use crate::{
    batch::{Batch, Chunk, Wanted},
    cache::SequenceCache,
    config::Config,
    models::{self, Model},
    ops::{self, Array, Dtype},
    sampler::{self, Drawn, SamplerState},
    weights::Weights,
};

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
}

/// A text model on MLX. Lives and dies on the thread that loaded it.
pub struct MlxRunner {
    facts: ModelFacts,
    model: Box<dyn Model>,
    slots: HashMap<SlotId, Slot>,
    steps: u64,
    on_cpu: bool,
    /// Whether the buffer cache is to be emptied as soon as nothing is in flight.
    clear_due: bool,
}

/// A sequence.
struct Slot {
    cache: SequenceCache,
    sampler: SamplerState,
    pending: Option<Pending>,
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

/// The slots of a step by what happens to them.
#[derive(Default)]
struct Lanes<'a> {
    rows: Vec<&'a mut SequenceCache>,
    chunks: Vec<Chunk<'a>>,
    /// The rows' tokens, in the rows' order.
    row_tokens: Vec<&'a Pending>,
    /// The chunks' tokens, end to end.
    chunk_tokens: Vec<u32>,
    /// Who gets a token: the rows, then the finished prompts.
    samplers: Vec<&'a mut SamplerState>,
    /// Where it is put.
    pending: Vec<&'a mut Option<Pending>>,
}

/// Loads the model folder `dir`. All of the runner's life happens on the calling thread.
pub fn load(dir: &Path, options: LoadOptions) -> Result<MlxRunner> {
    let on_cpu = ops::on_cpu();
    if on_cpu {
        ops::disable_compile()?;
    }
    let config = Config::from_dir(dir)?;
    let weights = Weights::open(dir, &config)?;
    let model = models::load(&config, &weights)?;
    let facts = ModelFacts {
        model_type: config.model_type,
        context_length: options.context.map_or(config.context_length, |context| context.min(config.context_length)),
        vocab_size: config.vocab_size,
        eos_token_ids: config.eos_token_ids,
        sampling: config.sampling,
        weight_bytes: weights.finish()?,
    };
    Ok(MlxRunner { facts, model, slots: HashMap::new(), steps: 0, on_cpu, clear_due: false })
}

impl Runner for MlxRunner {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&mut self, slot: SlotId, params: &SamplingParams) -> Result<()> {
        if self.slots.contains_key(&slot) {
            return Err(Error::internal(format!("slot {slot} is open already")));
        }
        let sampler = SamplerState::new(params, self.facts.vocab_size);
        self.slots.insert(slot, Slot { cache: self.model.cache(), sampler, pending: None });
        Ok(())
    }

    /// After an error the batch's slots can only be closed.
    fn step(&mut self, batch: &mut [Segment<'_>]) -> Result<()> {
        self.check(batch)?;
        let before: Vec<Option<Pending>> = batch.iter().map(|segment| self.take_pending(segment)).collect();
        self.queue(batch, &before)?;
        for (segment, pending) in batch.iter_mut().zip(&before) {
            segment.sampled = pending.as_ref().map(Pending::read).transpose()?;
        }
        self.steps += 1;
        // Not now: waiting for this step's own work would hold back the tokens that have just been read.
        self.clear_due |= self.steps.is_multiple_of(CLEAR_EVERY) || batch.iter().any(is_prompt);
        Ok(())
    }

    fn close(&mut self, slot: SlotId) {
        self.slots.remove(&slot);
        if self.slots.is_empty() {
            // Nobody is left who could be told of an error; the next step would meet it again.
            let _ = ops::synchronize().and_then(|()| ops::clear_cache());
        }
    }
}

impl MlxRunner {
    /// The logits of every position of `tokens`, `[tokens, vocabulary]` row by row, in float32; the tokens are fed `chunk`
    /// at a time. What a sampler sees, for those who compare models rather than talk to them.
    pub fn logits(&mut self, tokens: &[u32], chunk: usize) -> Result<Vec<f32>> {
        let mut cache = self.model.cache();
        let mut logits = Vec::new();
        for tokens in tokens.chunks(chunk.max(1)) {
            self.check_tokens(tokens)?;
            let chunk = Chunk { cache: &mut cache, len: tokens.len() as i32, wanted: Wanted::Everything };
            let mut batch = Batch::new(Vec::new(), vec![chunk], self.model.layers());
            let found = self.model.forward(&token_array(tokens), &mut batch)?;
            logits.extend(ops::to_vec::<f32>(&ops::astype(&found, Dtype::Float32)?)?);
        }
        Ok(logits)
    }

    /// Refuses a batch that would read outside the model's tables, or that the engine cannot have meant.
    fn check(&self, batch: &[Segment<'_>]) -> Result<()> {
        for (place, segment) in batch.iter().enumerate() {
            let id = segment.slot;
            let slot = self.slots.get(&id).ok_or_else(|| Error::internal(format!("slot {id} is not open")))?;
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

    /// Builds the forward pass of all segments and hands it to the device.
    fn queue(&mut self, batch: &[Segment<'_>], before: &[Option<Pending>]) -> Result<()> {
        let Lanes { rows, chunks, row_tokens, chunk_tokens, mut samplers, pending } =
            lanes(&mut self.slots, batch, before);
        if rows.is_empty() && chunks.is_empty() {
            return Ok(());
        }
        let ids = input_ids(&row_tokens, &chunk_tokens)?;
        let mut batch = Batch::new(rows, chunks, self.model.layers());
        let logits = self.model.forward(&ids, &mut batch)?;
        let drawn = (!samplers.is_empty()).then(|| sampler::sample(&logits, &mut samplers)).transpose()?;
        drop(logits);
        if self.on_cpu || self.clear_due || batch.row_bytes() > COPY_AT_MOST {
            ops::synchronize()?;
        }
        if std::mem::take(&mut self.clear_due) {
            ops::clear_cache()?;
        }
        ops::async_eval(drawn.iter().flat_map(Drawn::arrays).chain(batch.chunk_caches()))?;
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

fn is_prompt(segment: &Segment<'_>) -> bool {
    matches!(segment.feed, Feed::Prompt { .. })
}

/// Sorts a batch's slots into lanes: those that decode, then prompts' chunks, each in the batch's order.
fn lanes<'a>(slots: &'a mut HashMap<SlotId, Slot>, batch: &[Segment<'_>], before: &'a [Option<Pending>]) -> Lanes<'a> {
    let place = |id: &SlotId| batch.iter().position(|segment| segment.slot == *id);
    let mut active: Vec<_> = slots.iter_mut().filter_map(|(id, slot)| Some((place(id)?, slot))).collect();
    active.sort_unstable_by_key(|(place, _)| (is_prompt(&batch[*place]), *place));
    let mut lanes = Lanes::default();
    for (place, slot) in active {
        lanes.add(slot, batch[place].feed, before[place].as_ref());
    }
    lanes
}

impl<'a> Lanes<'a> {
    fn add(&mut self, slot: &'a mut Slot, feed: Feed<'_>, before: Option<&'a Pending>) {
        let sampled = match feed {
            Feed::Last => false,
            Feed::Sampled => {
                self.rows.push(&mut slot.cache);
                self.row_tokens.extend(before);
                true
            }
            Feed::Prompt { tokens, last } => {
                slot.sampler.feed_prompt(tokens);
                let wanted = if last { Wanted::Last } else { Wanted::Nothing };
                self.chunks.push(Chunk { cache: &mut slot.cache, len: tokens.len() as i32, wanted });
                self.chunk_tokens.extend(tokens);
                last
            }
        };
        if sampled {
            self.samplers.push(&mut slot.sampler);
            self.pending.push(&mut slot.pending);
        }
    }
}

/// The ids of a batch's tokens: the rows' lazy ones, then the chunks'.
fn input_ids(rows: &[&Pending], chunks: &[u32]) -> Result<Array> {
    let mut parts = Vec::new();
    for group in rows.chunk_by(|a, b| Rc::ptr_eq(&a.step, &b.step)) {
        let tokens = &group[0].step.drawn.tokens;
        let places: Vec<u32> = group.iter().map(|pending| pending.row as u32).collect();
        let all = places.iter().copied().eq(0..tokens.dim(0) as u32);
        parts.push(if all { tokens.clone() } else { ops::take_rows(tokens, &token_array(&places))? });
    }
    if !chunks.is_empty() {
        parts.push(token_array(chunks));
    }
    if let [only] = parts.as_slice() { Ok(only.clone()) } else { ops::concatenate(&parts, 0) }
}

fn token_array(tokens: &[u32]) -> Array {
    Array::from_slice(tokens, &[tokens.len() as i32])
}
