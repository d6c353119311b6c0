//! A runner without a model, for tests and for measuring what everything else costs.
//!
//! Its tokens are bytes: [`write_model`] makes a folder whose tokenizer gives each byte its own value as id, and
//! [`END`] ends an answer. Like a real runner it decodes one step ahead; unlike one it refuses every misuse. Its cache is
//! the list of the tokens that it was fed, and its answers are made from that list, so a cache that holds anything else
//! than the prompt's tokens is refused, and would change the answer if it were not.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::{fs, io, vec};

use hearth_core::model::{CacheFacts, ModelFacts};
use hearth_core::runner::{
    Cuts, Feed, Logprobs, MOST_MARKS, Piece, Resume, Runner, Sampled, Segment, SlotId, Snapshot, SnapshotId, Source,
    Tensor, superfluous_mark,
};
use hearth_core::sampling::{SamplingOverrides, SamplingParams};
use hearth_core::{Error, Result};
use serde_json::{Map, Value, json};

/// The token that ends an answer.
pub const END: u32 = 256;

/// Bytes of cache for each token, unless said otherwise.
const TOKEN_BYTES: u64 = 64;

/// Tokens by which caches can be cut back that cannot be cut anywhere, as those of sliding windows can.
const WINDOW_ROOM: usize = 5;

/// The answer to a prompt.
type Script = Box<dyn Fn(&[u32]) -> Vec<u32>>;

/// Called before each step, with its number from 0: it may watch, block, fail, panic or end the process.
type Hook = Box<dyn FnMut(usize, &[Segment<'_>]) -> Result<()>>;

/// What a fake runner has done so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Sequences that began without a cache.
    pub cold: AtomicUsize,
    /// ... with a snapshot that was used up.
    pub takes: AtomicUsize,
    /// ... with a copy of a snapshot.
    pub copies: AtomicUsize,
    /// ... with a copy of a running sequence's cache.
    pub branches: AtomicUsize,
    /// Sequences that were to begin with a cache that does not hold their tokens.
    pub refused: AtomicUsize,
    /// Prompt tokens that were computed.
    pub evaluated: AtomicUsize,
    /// Marks that were set.
    pub marks: AtomicUsize,
    /// Pairs of snapshots that began to share.
    pub shares: AtomicUsize,
    /// Snapshots that were exported.
    pub exports: AtomicUsize,
    /// Snapshots that were imported.
    pub imports: AtomicUsize,
    /// Bytes of all snapshots, now.
    pub kept: AtomicU64,
}

/// Answers each prompt by a function of it, and then with [`END`] for ever.
pub struct FakeRunner {
    facts: ModelFacts,
    answer: Script,
    slots: HashMap<SlotId, Slot>,
    snapshots: HashMap<SnapshotId, Kept>,
    /// The last id that was given out, of snapshots and pieces.
    last_id: u64,
    hook: Option<Hook>,
    steps: usize,
    open: Arc<AtomicUsize>,
    counts: Arc<Counts>,
}

struct Slot {
    cache: Cache,
    /// Once the prompt is whole.
    answer: Option<vec::IntoIter<u32>>,
    /// The token that was sampled but not yet read.
    sampled: u32,
    logprobs: Option<u8>,
}

/// The tokens that were fed, and the lengths that were marked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cache {
    tokens: Vec<u32>,
    marks: Vec<usize>,
}

/// A snapshot, and the pieces that it shares: their ids, and the token with which each ends.
struct Kept {
    cache: Cache,
    pieces: Vec<(u64, usize)>,
}

impl Cache {
    fn cuts(&self, anywhere: bool) -> Cuts {
        match anywhere {
            true => Cuts::default(),
            false => Cuts { from: self.tokens.len().saturating_sub(WINDOW_ROOM), marks: self.marks.clone() },
        }
    }

    fn cut(mut self, len: usize) -> Self {
        self.tokens.truncate(len);
        self.marks.retain(|&mark| mark <= len);
        self
    }
}

impl FakeRunner {
    /// Answers with what `answer` makes of the prompt.
    pub fn new(answer: impl Fn(&[u32]) -> Vec<u32> + 'static) -> Self {
        let cache = CacheFacts {
            fingerprint: "fake".into(),
            token_bytes: TOKEN_BYTES,
            step: 1,
            cuts_anywhere: true,
            ..CacheFacts::default()
        };
        let facts = ModelFacts {
            model_type: "fake".into(),
            context_length: 4096,
            vocab_size: 300,
            eos_token_ids: vec![END],
            sampling: SamplingOverrides::default(),
            weight_bytes: 0,
            cache,
        };
        Self {
            facts,
            answer: Box::new(answer),
            slots: HashMap::new(),
            snapshots: HashMap::new(),
            last_id: 0,
            hook: None,
            steps: 0,
            open: Arc::default(),
            counts: Arc::default(),
        }
    }

    /// Answers everything with `text`.
    pub fn saying(text: &str) -> Self {
        let answer = tokens(text);
        Self::new(move |_| answer.clone())
    }

    /// Repeats the last message of a prompt that [`write_model`]'s template made.
    pub fn echoing() -> Self {
        Self::new(|prompt| {
            let bytes: Vec<u8> = prompt.iter().filter_map(|&token| token.try_into().ok()).collect();
            let text = String::from_utf8_lossy(&bytes);
            let message = text.strip_suffix(ASSISTANT).and_then(|text| Some(text.rsplit_once(": ")?.1));
            tokens(message.unwrap_or(&text).trim_end_matches('\n'))
        })
    }

    /// Answers with bytes that depend on every token of the prompt, `length` of them.
    pub fn hashing(length: usize) -> Self {
        Self::new(move |prompt| hash_answer(prompt, length))
    }

    /// With another context length.
    pub fn with_context(mut self, tokens: usize) -> Self {
        self.facts.context_length = tokens;
        self
    }

    /// A model whose caches can only be cut back to marks.
    pub fn uncuttable(mut self) -> Self {
        self.facts.cache.cuts_anywhere = false;
        self
    }

    /// A model whose caches are its own.
    pub fn with_fingerprint(mut self, fingerprint: &str) -> Self {
        self.facts.cache.fingerprint = fingerprint.into();
        self
    }

    /// With other needs of memory: bytes of weights, and of everything.
    pub fn with_memory(mut self, weights: u64, limit: u64) -> Self {
        self.facts.weight_bytes = weights;
        self.facts.cache.memory_limit = limit;
        self
    }

    /// Calls `hook` before each step, with its number from 0; what it returns is the step's result.
    pub fn before_step(mut self, hook: impl FnMut(usize, &[Segment<'_>]) -> Result<()> + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// How many slots are open, now and later, is counted in `open`.
    pub fn counting(mut self, open: Arc<AtomicUsize>) -> Self {
        self.open = open;
        self
    }

    /// What it does is counted in `counts`.
    pub fn counted(mut self, counts: Arc<Counts>) -> Self {
        self.counts = counts;
        self
    }

    fn slot(&mut self, slot: SlotId) -> Result<&mut Slot> {
        self.slots.get_mut(&slot).ok_or_else(|| Error::internal(format!("slot {slot} is not open")))
    }

    fn resumed(&mut self, Resume { from, tokens }: Resume<'_>) -> Result<Cache> {
        let (source, counter) = match from {
            Source::Take(id) => (self.snapshots.remove(&id).map(|kept| kept.cache), &self.counts.takes),
            Source::Copy(id) => (self.snapshots.get(&id).map(|kept| kept.cache.clone()), &self.counts.copies),
            Source::Branch(slot) => (self.slots.get(&slot).map(|slot| slot.cache.clone()), &self.counts.branches),
        };
        counter.fetch_add(1, SeqCst);
        self.count_kept();
        let cache = source.ok_or_else(|| Error::internal(format!("there is no {from:?}")))?;
        let len = tokens.len();
        if len == 0 || cache.cuts(self.facts.cache.cuts_anywhere).longest(len.min(cache.tokens.len())) != len {
            let held = cache.tokens.len();
            return Err(Error::internal(format!("{held} tokens cannot be cut back to {len}")));
        }
        match cache.cut(len) {
            cache if cache.tokens == tokens => Ok(cache),
            _ => Err(Error::internal("the cache holds other tokens")),
        }
    }

    fn put_aside(&mut self, cache: Cache) -> Snapshot {
        let id = self.id();
        self.snapshots.insert(id, Kept { cache, pieces: Vec::new() });
        self.count_kept();
        self.snapshot(id)
    }

    fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn snapshot(&self, id: SnapshotId) -> Snapshot {
        let Kept { cache, pieces } = &self.snapshots[&id];
        let (len, mut start) = (cache.tokens.len(), 0);
        let piece = |&(id, end): &(u64, usize)| {
            let bytes = self.bytes(end - std::mem::replace(&mut start, end));
            Piece { id, bytes }
        };
        let shared = pieces.iter().map(piece).collect();
        Snapshot { id, len, bytes: self.bytes(len - start), shared, cuts: cache.cuts(self.facts.cache.cuts_anywhere) }
    }

    fn bytes(&self, tokens: usize) -> u64 {
        self.facts.cache.token_bytes * tokens as u64
    }

    fn count_kept(&self) {
        let mut pieces = HashMap::new();
        let own = |id| {
            let Snapshot { bytes, shared, .. } = self.snapshot(id);
            pieces.extend(shared.iter().map(|piece| (piece.id, piece.bytes)));
            bytes
        };
        let own: u64 = self.snapshots.keys().copied().map(own).sum();
        self.counts.kept.store(own + pieces.values().sum::<u64>(), SeqCst);
    }

    /// Makes pieces end at `tokens` where the snapshot has none that does; those that have changed.
    fn split(&mut self, id: SnapshotId, tokens: usize) -> Vec<SnapshotId> {
        let pieces = &self.snapshots[&id].pieces;
        let next = pieces.iter().find(|&&(_, end)| end > tokens).copied();
        if pieces.iter().any(|&(_, end)| end == tokens) {
            return vec![id];
        }
        let (first, rest) = ((self.id(), tokens), next.map(|(_, end)| (self.id(), end)));
        let mut changed = Vec::new();
        for (&other, kept) in &mut self.snapshots {
            if other == id || next.is_some_and(|next| kept.pieces.contains(&next)) {
                kept.pieces.retain(|&piece| Some(piece) != next);
                kept.pieces.extend(rest.into_iter().chain([first]));
                kept.pieces.sort_by_key(|&(_, end)| end);
                changed.push(other);
            }
        }
        changed
    }
}

impl Runner for FakeRunner {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&mut self, slot: SlotId, params: &SamplingParams, from: Option<Resume<'_>>) -> Result<()> {
        if self.slots.contains_key(&slot) {
            return Err(Error::internal(format!("slot {slot} is open")));
        }
        let cache = match from {
            Some(resume) => self.resumed(resume).inspect_err(|_| {
                self.counts.refused.fetch_add(1, SeqCst);
            })?,
            None => {
                self.counts.cold.fetch_add(1, SeqCst);
                Cache::default()
            }
        };
        self.slots.insert(slot, Slot { cache, answer: None, sampled: END, logprobs: params.logprobs });
        self.open.store(self.slots.len(), SeqCst);
        Ok(())
    }

    fn step(&mut self, batch: &mut [Segment<'_>]) -> Result<()> {
        let step = self.steps;
        self.steps += 1;
        if let Some(hook) = &mut self.hook {
            hook(step, batch)?;
        }
        let mut seen = Vec::new();
        for segment in batch {
            if seen.contains(&segment.slot) {
                return Err(Error::internal(format!("slot {} is in the batch twice", segment.slot)));
            }
            seen.push(segment.slot);
            if let Feed::Prompt { tokens, .. } = segment.feed {
                self.counts.evaluated.fetch_add(tokens.len(), SeqCst);
            }
            let missing = || Error::internal(format!("slot {} is not open", segment.slot));
            let slot = self.slots.get_mut(&segment.slot).ok_or_else(missing)?;
            segment.sampled = slot.feed(segment.feed, &self.answer)?;
        }
        Ok(())
    }

    fn mark(&mut self, slot: SlotId) -> Result<()> {
        let anywhere = self.facts.cache.cuts_anywhere;
        self.counts.marks.fetch_add(1, SeqCst);
        let cache = &mut self.slot(slot)?.cache;
        if anywhere || cache.marks.last() == Some(&cache.tokens.len()) {
            return Ok(());
        }
        if cache.marks.len() >= MOST_MARKS
            && let Some(place) = superfluous_mark(cache.marks.iter().copied())
        {
            cache.marks.remove(place);
        }
        cache.marks.push(cache.tokens.len());
        Ok(())
    }

    fn cuts(&self, slot: SlotId) -> Result<Cuts> {
        let missing = || Error::internal(format!("slot {slot} is not open"));
        Ok(self.slots.get(&slot).ok_or_else(missing)?.cache.cuts(self.facts.cache.cuts_anywhere))
    }

    fn keep(&mut self, slot: SlotId) -> Result<Snapshot> {
        let missing = || Error::internal(format!("slot {slot} is not open"));
        let cache = self.slots.remove(&slot).ok_or_else(missing)?.cache;
        self.open.store(self.slots.len(), SeqCst);
        Ok(self.put_aside(cache))
    }

    fn close(&mut self, slot: SlotId) {
        assert!(self.slots.remove(&slot).is_some(), "slot {slot} is not open");
        self.open.store(self.slots.len(), SeqCst);
    }

    fn forget(&mut self, id: SnapshotId) {
        self.snapshots.remove(&id);
        self.count_kept();
    }

    /// Unlike a real runner it looks whether the tokens are the same.
    fn share(&mut self, from: SnapshotId, to: SnapshotId, tokens: usize) -> Result<Vec<Snapshot>> {
        let first = |id| self.snapshots.get(&id).and_then(|kept| kept.cache.tokens.get(..tokens));
        let alike = first(from).is_some_and(|tokens| !tokens.is_empty() && first(to) == Some(tokens));
        if !alike || from == to || !self.snapshots[&to].pieces.is_empty() {
            self.counts.refused.fetch_add(1, SeqCst);
            return Err(Error::internal(format!("snapshots {from} and {to} cannot share {tokens} tokens")));
        }
        self.counts.shares.fetch_add(1, SeqCst);
        let mut changed = self.split(from, tokens);
        let pieces = self.snapshots[&from].pieces.iter().copied().filter(|&(_, end)| end <= tokens).collect();
        self.snapshots.entry(to).and_modify(|kept| kept.pieces = pieces);
        self.count_kept();
        changed.push(to);
        Ok(changed.into_iter().map(|id| self.snapshot(id)).collect())
    }

    fn export(&mut self, id: SnapshotId) -> Result<Vec<Tensor>> {
        let Kept { cache, .. } =
            self.snapshots.get(&id).ok_or_else(|| Error::internal(format!("there is no snapshot {id}")))?;
        self.counts.exports.fetch_add(1, SeqCst);
        let marks: Vec<u32> = cache.marks.iter().map(|&mark| mark as u32).collect();
        Ok(vec![tensor("keys", &keys(&cache.tokens)), tensor("tokens", &cache.tokens), tensor("marks", &marks)])
    }

    fn import(&mut self, tensors: Vec<Tensor>) -> Result<Snapshot> {
        let strange = || Error::internal("these tensors are no export");
        let numbers = |name| tensors.iter().find(|tensor| tensor.name == name).and_then(numbers).ok_or_else(strange);
        let (tokens, marks) = (numbers("tokens")?, numbers("marks")?);
        if tensors.len() != 3 || numbers("keys")? != keys(&tokens) {
            return Err(strange());
        }
        self.counts.imports.fetch_add(1, SeqCst);
        Ok(self.put_aside(Cache { tokens, marks: marks.into_iter().map(|mark| mark as usize).collect() }))
    }
}

impl Drop for FakeRunner {
    fn drop(&mut self) {
        self.open.store(0, SeqCst);
    }
}

impl Slot {
    fn feed(&mut self, feed: Feed<'_>, answer: &Script) -> Result<Option<Sampled>> {
        match (feed, &mut self.answer) {
            (Feed::Prompt { tokens: [_, ..], .. }, None) => self.prefill(feed, answer),
            (Feed::Sampled | Feed::Last, Some(rest)) => {
                let token = std::mem::replace(&mut self.sampled, rest.next().unwrap_or(END));
                if feed == Feed::Sampled {
                    self.cache.tokens.push(token);
                }
                return Ok(Some(Sampled { token, logprobs: self.logprobs.map(|count| logprobs(token, count)) }));
            }
            (feed, answer) => {
                let state = if answer.is_some() { "decodes" } else { "has no whole prompt" };
                return Err(Error::internal(format!("a slot that {state} was fed {feed:?}")));
            }
        }
        Ok(None)
    }

    fn prefill(&mut self, feed: Feed<'_>, answer: &Script) {
        let Feed::Prompt { tokens, last } = feed else { return };
        self.cache.tokens.extend(tokens);
        if last {
            let mut rest = answer(&self.cache.tokens).into_iter();
            self.sampled = rest.next().unwrap_or(END);
            self.answer = Some(rest);
        }
    }
}

/// An answer of `length` bytes that depends on every token of `prompt`.
pub fn hash_answer(prompt: &[u32], length: usize) -> Vec<u32> {
    let next = |state: u64, token: u32| (state ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3);
    let mut state = prompt.iter().fold(0xcbf2_9ce4_8422_2325, |state, &token| next(state, token));
    let token = |at| {
        state = next(state, at);
        (state >> 32) as u32 % 95 + 32
    };
    (0..length as u32).map(token).collect()
}

/// What a model would have computed: 14 numbers for each token, which depend on those before it.
fn keys(tokens: &[u32]) -> Vec<u32> {
    let mut state = 1_u32;
    let mut key = |token: u32, at: u32| {
        state = state.wrapping_mul(0x9e37_79b1) ^ token.wrapping_add(at);
        state
    };
    tokens.iter().flat_map(|&token| (0..14).map(|at| key(token, at)).collect::<Vec<_>>()).collect()
}

fn tensor(name: &str, numbers: &[u32]) -> Tensor {
    let data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Tensor { name: name.into(), dtype: "U32".into(), shape: vec![numbers.len()], data }
}

fn numbers(tensor: &Tensor) -> Option<Vec<u32>> {
    let whole = tensor.dtype == "U32" && tensor.shape == [tensor.data.len() / 4] && tensor.data.len().is_multiple_of(4);
    let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
    tensor.data.chunks_exact(4).map(number).collect::<Option<Vec<_>>>().filter(|_| whole)
}

/// The token, and as many as were asked for: itself, the next id, the one after it …
fn logprobs(token: u32, count: u8) -> Logprobs {
    let top = (0..u32::from(count)).map(|rank| ((token + rank) % END, -0.5 - rank as f32)).collect();
    Logprobs { chosen: -0.5, top }
}

/// The tokens of `text` under [`write_model`]'s tokenizer.
pub fn tokens(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

const ASSISTANT: &str = "assistant: ";

/// Writes what the engine reads of a model folder: a tokenizer whose ids are bytes, and a chat template that writes
/// the tools as JSON and each message as a line `role: content`, and refuses a message that says `refuse`.
pub fn write_model(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let template = "{% if tools %}tools: {{ tools | tojson }}\n{% endif %}{% for message in messages %}\
        {% if message.content == 'refuse' %}{{ raise_exception('I refuse.') }}{% endif %}\
        {{ message.role }}: {{ message.content }}\n{% endfor %}assistant: ";
    fs::write(dir.join("chat_template.jinja"), template)?;
    fs::write(dir.join("tokenizer.json"), tokenizer().to_string())
}

fn tokenizer() -> Value {
    let vocab: Map<String, Value> = byte_names().zip(0..END).map(|(name, id)| (name.into(), id.into())).collect();
    json!({
        "version": "1.0",
        "added_tokens": [{
            "id": END, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    })
}

/// The characters by which byte-level tokenizers since GPT-2 write the bytes 0 to 255: a byte that prints is itself,
/// the others follow each other from U+0100 on.
fn byte_names() -> impl Iterator<Item = char> {
    let mut others = (256..).filter_map(char::from_u32);
    (0..=255).filter_map(move |byte: u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae.. => Some(char::from(byte)),
        _ => others.next(),
    })
}
