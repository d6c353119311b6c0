//! The fixture folders, and a way to talk to a runner.

use std::{collections::BTreeMap, fs, path::PathBuf};

use hearth_core::{
    runner::{Feed, Runner, Sampled, Segment, SlotId},
    sampling::SamplingParams,
};
use hearth_mlx::{LoadOptions, MlxRunner};
use safetensors::SafeTensors;

/// Tokens that a fixture's greedy text has.
pub(crate) const NEW: usize = 64;

pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity").join(name)
}

/// Names of all model folders of a kind (`f32`, `bf16`, `4bit`).
pub(crate) fn names(kind: &str) -> Vec<String> {
    let entries = fs::read_dir(folder("")).expect("the fixtures' folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"));
    let mut names: Vec<_> = names.filter(|name| name.ends_with(&format!("-{kind}"))).collect();
    names.sort();
    assert!(!names.is_empty(), "no fixtures of kind {kind}");
    names
}

pub(crate) fn load(name: &str) -> MlxRunner {
    hearth_mlx::load(&folder(name), LoadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What mlx-lm says.
pub(crate) struct Expected {
    pub(crate) prompt: Vec<u32>,
    pub(crate) positions: Vec<u32>,
    /// One row for each position.
    pub(crate) logits: Vec<Vec<f32>>,
    pub(crate) greedy: Vec<u32>,
}

impl Expected {
    pub(crate) fn of(name: &str) -> Self {
        let tensors = tensors(name);
        let ids = |key: &str| tensors[key].iter().map(|&number| number.to_bits()).collect::<Vec<u32>>();
        let positions = ids("positions");
        let logits = &tensors["logits"];
        let vocab = logits.len() / positions.len();
        Self {
            prompt: ids("prompt"),
            positions,
            logits: logits.chunks(vocab).map(<[f32]>::to_vec).collect(),
            greedy: ids("greedy"),
        }
    }
}

/// Everything in a fixture's `expected.safetensors`, as 32-bit words.
pub(crate) fn tensors(name: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(folder(name).join("expected.safetensors")).expect("expected.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("a sound file");
    let words = |data: &[u8]| data.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
    file.tensors().into_iter().map(|(name, view)| (name, words(view.data()))).collect()
}

pub(crate) fn greedy() -> SamplingParams {
    SamplingParams { temperature: 0.0, ..SamplingParams::default() }
}

/// One step; what each segment reports.
pub(crate) fn step(runner: &mut MlxRunner, feeds: &[(SlotId, Feed<'_>)]) -> Vec<Option<Sampled>> {
    let segment = |&(slot, feed)| Segment { slot, feed, sampled: None };
    let mut batch: Vec<_> = feeds.iter().map(segment).collect();
    runner.step(&mut batch).expect("a step");
    batch.into_iter().map(|segment| segment.sampled).collect()
}

/// Opens a slot and feeds a prompt in chunks.
pub(crate) fn start(runner: &mut MlxRunner, slot: SlotId, prompt: &[u32], chunk: usize, params: &SamplingParams) {
    runner.open(slot, params, None).expect("a free slot");
    let mut chunks = prompt.chunks(chunk).peekable();
    while let Some(tokens) = chunks.next() {
        let last = chunks.peek().is_none();
        assert_eq!(step(runner, &[(slot, Feed::Prompt { tokens, last })]), [None]);
    }
}

/// A whole answer, alone.
pub(crate) fn answer(
    runner: &mut MlxRunner,
    prompt: &[u32],
    chunk: usize,
    new: usize,
    params: &SamplingParams,
) -> Vec<Sampled> {
    start(runner, 0, prompt, chunk, params);
    let feed = |place| if place + 1 < new { Feed::Sampled } else { Feed::Last };
    let mut read = |place| step(runner, &[(0, feed(place))]).remove(0).expect("a token");
    let tokens = (0..new).map(&mut read).collect();
    runner.close(0);
    tokens
}

/// The tokens alone.
pub(crate) fn ids(sampled: &[Sampled]) -> Vec<u32> {
    sampled.iter().map(|sampled| sampled.token).collect()
}
