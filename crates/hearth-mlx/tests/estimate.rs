//! What a prompt takes at most is what the facts say beforehand. A process of its own: MLX counts for all threads together.

#[path = "parity/tiny.rs"]
mod tiny;

use hearth_core::{
    runner::{Feed, Runner, Segment},
    sampling::SamplingParams,
};
use hearth_mlx::{LoadOptions, MlxRunner, memory, ops};

const CHUNK: usize = 512;
const LEN: usize = 4096;

/// The most bytes in use while the prompt's last chunk is computed.
fn peak(runner: &mut MlxRunner) -> u64 {
    let tokens: Vec<u32> = (0..LEN as u32).map(|place| place % 150).collect();
    runner.open(0, &SamplingParams::default(), None).expect("a free slot");
    for (index, tokens) in tokens.chunks(CHUNK).enumerate() {
        ops::synchronize().and_then(|()| memory::reset_peak()).expect("a new count");
        let last = (index + 1) * CHUNK == LEN;
        runner.step(&mut [Segment { slot: 0, feed: Feed::Prompt { tokens, last }, sampled: None }]).expect("a step");
    }
    ops::synchronize().expect("an end");
    let peak = memory::memory().expect("figures").peak;
    runner.close(0);
    peak as u64
}

/// Found on a processor: 1.04 (llama, qwen3), 1.06 (qwen2), 1.09 (gemma3_text), 1.08 (llama, 8 bits).
#[test]
fn a_prompts_peak_is_within_15_percent_of_its_estimate() {
    let mut cases: Vec<_> = tiny::ARCHITECTURES.iter().map(|name| (*name, None)).collect();
    cases.push(("llama", Some(8)));
    for (name, kv_bits) in cases {
        let folder = tiny::folder(name, 32);
        let options = LoadOptions { kv_bits, ..LoadOptions::default() };
        let mut runner = hearth_mlx::load(folder.path(), options).expect("a model");
        let facts = runner.facts().clone();
        let cache = (LEN + facts.cache.step) as u64 * facts.cache.token_bytes + facts.cache.fixed_bytes;
        let estimate = facts.weight_bytes + cache + (CHUNK * LEN) as u64 * facts.cache.scratch_bytes;
        let ratio = peak(&mut runner) as f64 / estimate as f64;
        assert!((0.85..=1.15).contains(&ratio), "{name}, {kv_bits:?} bits: {ratio:.2} of {estimate} bytes");
    }
}
