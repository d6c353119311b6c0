//! What a sequence took is free again when its slot is closed. A process of its own: MLX counts for all threads together.

use std::path::Path;

use hearth_core::{
    runner::{Feed, Runner, Segment, SlotId},
    sampling::SamplingParams,
};
use hearth_mlx::{LoadOptions, MlxRunner, memory};

/// Sequences that are closed at every stage: fed in part, fed, and with a token on its way.
fn round(runner: &mut MlxRunner) {
    let tokens: Vec<u32> = (0..100).collect();
    for slot in 0..6 {
        runner.open(slot, &SamplingParams { seed: Some(1), ..SamplingParams::default() }).expect("a free slot");
        let last = slot > 1;
        step(runner, slot, Feed::Prompt { tokens: &tokens, last });
        if slot > 3 {
            step(runner, slot, Feed::Sampled);
        }
    }
    (0..6).for_each(|slot| runner.close(slot));
}

fn step(runner: &mut MlxRunner, slot: SlotId, feed: Feed<'_>) {
    runner.step(&mut [Segment { slot, feed, sampled: None }]).expect("a step");
}

#[test]
fn a_closed_slot_gives_its_memory_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity/gemma3_text-f32");
    let mut runner = hearth_mlx::load(&folder, LoadOptions::default()).expect("a model");
    round(&mut runner);
    let after_one = memory::memory().expect("figures").active;
    for _ in 0..10 {
        round(&mut runner);
    }
    assert_eq!(memory::memory().expect("figures").active, after_one, "bytes in use after more of the same");
}
