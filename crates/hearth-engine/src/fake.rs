//! A runner without a model, for tests and for measuring what everything else costs.
//!
//! Its tokens are bytes: [`write_model`] makes a folder whose tokenizer gives each byte its own value as id, and
//! [`END`] ends an answer. Like a real runner it decodes one step ahead; unlike one it refuses every misuse.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{fs, io, vec};

use hearth_core::model::ModelFacts;
use hearth_core::runner::{Feed, Logprobs, Runner, Sampled, Segment, SlotId};
use hearth_core::sampling::{SamplingOverrides, SamplingParams};
use hearth_core::{Error, Result};
use serde_json::{Map, Value, json};

/// The token that ends an answer.
pub const END: u32 = 256;

/// The answer to a prompt.
type Script = Box<dyn Fn(&[u32]) -> Vec<u32>>;

/// Called before each step, with its number from 0: it may watch, block, fail, panic or end the process.
type Hook = Box<dyn FnMut(usize, &[Segment<'_>]) -> Result<()>>;

/// Answers each prompt by a function of it, and then with [`END`] for ever.
pub struct FakeRunner {
    facts: ModelFacts,
    answer: Script,
    slots: HashMap<SlotId, Slot>,
    hook: Option<Hook>,
    steps: usize,
    open: Arc<AtomicUsize>,
}

struct Slot {
    prompt: Vec<u32>,
    /// Once the prompt is whole.
    answer: Option<vec::IntoIter<u32>>,
    /// The token that was sampled but not yet read.
    sampled: u32,
    logprobs: Option<u8>,
}

impl FakeRunner {
    /// Answers with what `answer` makes of the prompt.
    pub fn new(answer: impl Fn(&[u32]) -> Vec<u32> + 'static) -> Self {
        let facts = ModelFacts {
            model_type: "fake".into(),
            context_length: 4096,
            vocab_size: 300,
            eos_token_ids: vec![END],
            sampling: SamplingOverrides::default(),
            weight_bytes: 0,
        };
        let open = Arc::default();
        Self { facts, answer: Box::new(answer), slots: HashMap::new(), hook: None, steps: 0, open }
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
        Self::new(move |prompt| {
            let next = |state: u64, token: u32| (state ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3);
            let mut state = prompt.iter().fold(0xcbf2_9ce4_8422_2325, |state, &token| next(state, token));
            let token = |at| {
                state = next(state, at);
                (state >> 32) as u32 % 95 + 32
            };
            (0..length as u32).map(token).collect()
        })
    }

    /// With another context length.
    pub fn with_context(mut self, tokens: usize) -> Self {
        self.facts.context_length = tokens;
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
}

impl Runner for FakeRunner {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&mut self, slot: SlotId, params: &SamplingParams) -> Result<()> {
        let fresh = Slot { prompt: Vec::new(), answer: None, sampled: END, logprobs: params.logprobs };
        if self.slots.insert(slot, fresh).is_some() {
            return Err(Error::internal(format!("slot {slot} is open")));
        }
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
            let missing = || Error::internal(format!("slot {} is not open", segment.slot));
            let slot = self.slots.get_mut(&segment.slot).ok_or_else(missing)?;
            segment.sampled = slot.feed(segment.feed, &self.answer)?;
        }
        Ok(())
    }

    fn close(&mut self, slot: SlotId) {
        assert!(self.slots.remove(&slot).is_some(), "slot {slot} is not open");
        self.open.store(self.slots.len(), SeqCst);
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
        self.prompt.extend(tokens);
        if last {
            let mut rest = answer(&self.prompt).into_iter();
            self.sampled = rest.next().unwrap_or(END);
            self.answer = Some(rest);
        }
    }
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
