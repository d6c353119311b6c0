//! What sequences and snapshots take is what is said of it, is not copied without need, and is free again when they go. A
//! process of its own: MLX counts for all threads together.

#[path = "parity/tiny.rs"]
mod tiny;

use std::collections::HashMap;

use hearth_core::{
    runner::{Feed, Resume, Runner, Segment, SlotId, Snapshot, Source},
    sampling::SamplingParams,
};
use hearth_mlx::{LoadOptions, MlxRunner, memory, ops};

/// Sequences that are closed at every stage: fed in part, fed, and with a token on its way.
fn round(runner: &mut MlxRunner) {
    let tokens: Vec<u32> = (0..100).collect();
    for slot in 0..6 {
        open(runner, slot, None);
        let last = slot > 1;
        step(runner, slot, Feed::Prompt { tokens: &tokens, last });
        if slot > 3 {
            step(runner, slot, Feed::Sampled);
        }
    }
    (0..6).for_each(|slot| runner.close(slot));
}

fn open(runner: &mut MlxRunner, slot: SlotId, from: Option<Resume<'_>>) {
    runner.open(slot, &SamplingParams { seed: Some(1), ..SamplingParams::default() }, from).expect("a free slot");
}

fn step(runner: &mut MlxRunner, slot: SlotId, feed: Feed<'_>) {
    runner.step(&mut [Segment { slot, feed, sampled: None }]).expect("a step");
}

fn active() -> u64 {
    ops::synchronize().expect("an end");
    memory::memory().expect("figures").active as u64
}

/// Every way of having a snapshot: kept, from a copy, from a branch, after a cut, imported.
fn snapshots(runner: &mut MlxRunner) -> Vec<Snapshot> {
    let tokens: Vec<u32> = (0..700).map(|place| place % 150).collect();
    let feed = |runner: &mut MlxRunner, slot: SlotId, range: std::ops::Range<usize>| {
        step(runner, slot, Feed::Prompt { tokens: &tokens[range], last: false });
    };
    open(runner, 0, None);
    feed(runner, 0, 0..256);
    runner.mark(0).expect("a mark");
    feed(runner, 0, 256..300);
    open(runner, 1, Some(Resume { from: Source::Branch(0), tokens: &tokens[..300] }));
    feed(runner, 0, 300..400);
    let whole = runner.keep(0).expect("a snapshot");
    open(runner, 2, Some(Resume { from: Source::Copy(whole.id), tokens: &tokens[..400] }));
    feed(runner, 2, 400..700);
    let tensors = runner.export(whole.id).expect("tensors");
    let imported = runner.import(tensors).expect("a snapshot");
    open(runner, 3, Some(Resume { from: Source::Take(whole.id), tokens: &tokens[..256] }));
    feed(runner, 3, 256..257);
    let kept: Vec<_> = (1..4).map(|slot| runner.keep(slot).expect("a snapshot")).collect();
    [kept, vec![imported]].concat()
}

/// They take what they say, but for a mark that several share, which counts for each. MLX hands out used buffers that are up
/// to 8 KiB larger than asked for, which shows where buffers are as small as these; so an eighth more is let pass.
fn check_snapshots(runner: &mut MlxRunner, shared: u64) {
    let before = active();
    let all = snapshots(runner);
    let said: u64 = all.iter().map(|snapshot| snapshot.bytes).sum();
    let (taken, least) = (active() - before, said - shared);
    assert!((least..=least + least / 8).contains(&taken), "{taken} bytes are in use, not {least}, by {all:?}");
    for snapshot in &all {
        runner.forget(snapshot.id);
    }
    assert_eq!(active(), before, "bytes in use after all were forgotten");
}

/// The most bytes that decoding a few tokens takes beyond what is there already.
fn decoding(runner: &mut MlxRunner, slot: SlotId) -> u64 {
    step(runner, slot, Feed::Sampled);
    let before = active();
    memory::reset_peak().expect("a new count");
    (0..5).for_each(|_| step(runner, slot, Feed::Sampled));
    active();
    memory::memory().expect("figures").peak as u64 - before
}

/// Whoever resumes, and whoever is copied from while it runs, writes in place: a step that copied would need room for all
/// caches anew. A processor's packed product lays its matrices out anew, but for one layer at a time.
fn check_in_place(runner: &mut MlxRunner, name: &str) {
    let tokens: Vec<u32> = (0..600).map(|place| place % 150).collect();
    let rest = Feed::Prompt { tokens: &tokens[590..], last: true };
    open(runner, 0, None);
    step(runner, 0, Feed::Prompt { tokens: &tokens[..590], last: false });
    step(runner, 0, rest);
    step(runner, 0, Feed::Sampled);
    open(runner, 1, Some(Resume { from: Source::Branch(0), tokens: &tokens }));
    step(runner, 1, Feed::Prompt { tokens: &[7], last: true });
    let kept = runner.keep(1).expect("a snapshot");
    open(runner, 1, Some(Resume { from: Source::Copy(kept.id), tokens: &tokens }));
    step(runner, 1, Feed::Prompt { tokens: &[7], last: true });
    open(runner, 2, Some(Resume { from: Source::Take(kept.id), tokens: &tokens }));
    step(runner, 2, Feed::Prompt { tokens: &[7], last: true });
    for slot in 0..3 {
        let taken = decoding(runner, slot);
        assert!(taken < kept.bytes / 2, "{name}, slot {slot}: {taken} bytes, its caches have {}", kept.bytes);
    }
    (0..3).for_each(|slot| runner.close(slot));
}

/// Bytes of snapshots, pieces once.
fn said(all: &[Snapshot]) -> u64 {
    let pieces: HashMap<_, _> = all.iter().flat_map(|kept| &kept.shared).map(|piece| (piece.id, piece.bytes)).collect();
    all.iter().map(|kept| kept.bytes).chain(pieces.into_values()).sum()
}

/// Whether the bytes in use are those that snapshots say, with what MLX gives them more.
fn check_taken(before: u64, all: &[Snapshot], name: &str) {
    let (taken, said) = (active() - before, said(all));
    assert!((said..=said + said / 8).contains(&taken), "{name}: {taken} bytes are in use, not {said}");
}

/// Snapshots of the same tokens.
fn alike<const COUNT: usize>(runner: &mut MlxRunner, tokens: &[u32]) -> [Snapshot; COUNT] {
    open(runner, 0, None);
    step(runner, 0, Feed::Prompt { tokens, last: false });
    let first = runner.keep(0).expect("a snapshot");
    let all = [(); COUNT].map(|()| {
        open(runner, 0, Some(Resume { from: Source::Copy(first.id), tokens }));
        runner.keep(0).expect("a snapshot")
    });
    runner.forget(first.id);
    all
}

/// Snapshots that share take what they say, in between hardly more than a layer, and give all back in any order.
fn check_sharing(runner: &mut MlxRunner, name: &str, layer: u64) {
    let tokens: Vec<u32> = (0..990).map(|place| place % 150).collect();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let before = active();
        let mut all = alike::<3>(runner, &tokens);
        for (from, to, shared) in [(0, 1, 900), (1, 2, 600)] {
            let start = active();
            memory::reset_peak().expect("a new count");
            for changed in runner.share(all[from].id, all[to].id, shared).expect("what has changed") {
                let place = all.iter().position(|kept| kept.id == changed.id).expect("a snapshot");
                all[place] = changed;
            }
            let peak = memory::memory().expect("figures").peak as u64 - start;
            assert!(peak <= layer + layer / 2, "{name}: {peak} bytes in between, a layer has {layer}");
            check_taken(before, &all, name);
        }
        for (place, gone) in order.into_iter().enumerate() {
            runner.forget(all[gone].id);
            let left: Vec<_> = order[place + 1..].iter().map(|&left| all[left].clone()).collect();
            check_taken(before, &left, name);
        }
    }
}

/// Who takes over a snapshot that shares, or a copy of it, writes in place from then on.
fn check_shared_in_place(runner: &mut MlxRunner, name: &str) {
    let tokens: Vec<u32> = (0..600).map(|place| place % 150).collect();
    let kept = alike::<2>(runner, &tokens);
    runner.share(kept[0].id, kept[1].id, 500).expect("what has changed");
    for (slot, from) in (0..).zip([Source::Copy(kept[0].id), Source::Take(kept[0].id), Source::Take(kept[1].id)]) {
        open(runner, slot, Some(Resume { from, tokens: &tokens }));
        step(runner, slot, Feed::Prompt { tokens: &[7], last: true });
        let taken = decoding(runner, slot);
        assert!(taken < kept[0].bytes / 2, "{name}, {from:?}: {taken} bytes, its caches have {}", kept[0].bytes);
    }
    (0..3).for_each(|slot| runner.close(slot));
}

#[test]
fn what_sequences_and_snapshots_take_is_what_they_say_and_no_more() {
    let plain = tiny::ARCHITECTURES.iter().map(|name| (*name, None));
    for (name, kv_bits) in plain.chain([("llama", Some(4))]) {
        let folder = tiny::folder(name, 32);
        let options = LoadOptions { kv_bits, ..LoadOptions::default() };
        let mut runner = hearth_mlx::load(folder.path(), options).expect("a model");
        round(&mut runner);
        let after_one = active();
        for _ in 0..10 {
            round(&mut runner);
        }
        assert_eq!(active(), after_one, "{name}: bytes in use after more of the same");
        // Gemma's mark at 256, of three windows, is in three snapshots, and the imported one has its own.
        let mark = if name == "gemma3_text" { 3 * 15 * 2 * 2 * 32 * 4 } else { 0 };
        check_snapshots(&mut runner, 2 * mark);
        check_in_place(&mut runner, name);
        // One of Gemma's layers holds all tokens, of the others each.
        let layers = if name == "gemma3_text" { 1 } else { 4 };
        let layer = runner.facts().cache.token_bytes * 1024 / layers;
        check_sharing(&mut runner, name, layer);
        check_shared_in_place(&mut runner, name);
    }
}
