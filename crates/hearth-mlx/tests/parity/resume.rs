//! A cached answer is an uncached one: for every architecture and kind of cache, however the cache came about.

use hearth_core::{
    runner::{Feed, Resume, Runner, Sampled, SlotId, Snapshot, Source},
    sampling::SamplingParams,
};
use hearth_mlx::{LoadOptions, MlxRunner};
use tempfile::TempDir;

use crate::{
    fixture::{Expected, NEW as ALL, greedy, ids, load, names, step},
    tiny,
};

/// Tokens of a prompt's chunk, where nothing else is said.
const CHUNK: usize = 64;

/// Tokens of an answer.
pub(crate) const NEW: usize = 12;

/// A model and how its caches are kept.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) runner: MlxRunner,
    _folder: TempDir,
}

/// Every architecture with every kind of cache; 4 bits differ from 8 in nothing but their size, so they have one turn.
pub(crate) fn cases() -> Vec<Case> {
    let both = tiny::ARCHITECTURES.iter().flat_map(|name| [None, Some(8)].map(|kv_bits| case(name, kv_bits)));
    both.chain([case("llama", Some(4))]).collect()
}

pub(crate) fn case(architecture: &str, kv_bits: Option<u8>) -> Case {
    let folder = tiny::folder(architecture, 32);
    let runner = hearth_mlx::load(folder.path(), LoadOptions { kv_bits, ..LoadOptions::default() }).expect("a model");
    Case { name: format!("{architecture}, {kv_bits:?} bits"), runner, _folder: folder }
}

/// A prompt that begins with as many tokens of the same text as `shared` says, and goes on by itself.
pub(crate) fn prompt(len: u32, shared: u32, seed: u32) -> Vec<u32> {
    let token = |place: u32| if place < shared { place * place + place / 7 } else { place * (seed + 3) + 5 * seed };
    (0..len).map(|place| token(place) % 150).collect()
}

/// Feeds the rest of a prompt behind what is cached.
fn feed(runner: &mut MlxRunner, slot: SlotId, rest: &[u32], last: bool) {
    let mut chunks = rest.chunks(CHUNK).peekable();
    while let Some(tokens) = chunks.next() {
        let last = last && chunks.peek().is_none();
        assert_eq!(step(runner, &[(slot, Feed::Prompt { tokens, last })]), [None]);
    }
}

/// Opens a slot, with a cache of the prompt's first tokens where there is one, and feeds the rest.
fn begin(case: &mut Case, slot: SlotId, prompt: &[u32], from: Option<(Source, usize)>) {
    let resume = from.map(|(from, len)| Resume { from, tokens: &prompt[..len] });
    case.runner.open(slot, &greedy(), resume).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    feed(&mut case.runner, slot, &prompt[from.map_or(0, |(_, len)| len)..], true);
}

/// The next tokens of a slot. All but the last are fed.
fn draw(runner: &mut MlxRunner, slot: SlotId, count: usize) -> Vec<u32> {
    let mut read = |_| step(runner, &[(slot, Feed::Sampled)]).remove(0).expect("a token");
    ids(&(0..count).map(&mut read).collect::<Vec<Sampled>>())
}

/// A whole answer, after which the slot is kept: it holds the prompt and the answer.
pub(crate) fn answer(
    case: &mut Case,
    slot: SlotId,
    prompt: &[u32],
    from: Option<(Source, usize)>,
) -> (Vec<u32>, Snapshot) {
    begin(case, slot, prompt, from);
    let tokens = draw(&mut case.runner, slot, NEW);
    let snapshot = case.runner.keep(slot).expect("a snapshot");
    assert_eq!(snapshot.len, prompt.len() + NEW, "{}: tokens fed", case.name);
    (tokens, snapshot)
}

/// The answer without any cache.
pub(crate) fn cold(case: &mut Case, prompt: &[u32]) -> Vec<u32> {
    let (tokens, snapshot) = answer(case, 9, prompt, None);
    case.runner.forget(snapshot.id);
    tokens
}

pub(crate) fn joined(prompt: &[u32], answer: &[u32], more: &[u32]) -> Vec<u32> {
    [prompt, answer, more].concat()
}

/// The longest length to which a snapshot can be cut, of those that a prompt of so many tokens can use.
fn usable(snapshot: &Snapshot, len: usize) -> usize {
    snapshot.cuts.longest(len)
}

/// Feeds a prompt and marks the sequence at these lengths.
fn marked(case: &mut Case, slot: SlotId, prompt: &[u32], marks: &[usize]) {
    case.runner.open(slot, &greedy(), None).expect("a free slot");
    let mut fed = 0;
    for &mark in marks {
        feed(&mut case.runner, slot, &prompt[fed..mark], false);
        case.runner.mark(slot).expect("a mark");
        fed = mark;
    }
    feed(&mut case.runner, slot, &prompt[fed..], true);
}

#[test]
fn a_conversation_goes_on_where_it_was_left_for_many_rounds() {
    for mut case in cases() {
        let mut text = prompt(40, 40, 0);
        let mut kept: Option<Snapshot> = None;
        for round in 0..6 {
            let expected = cold(&mut case, &text);
            let from = kept.take().map(|kept| (Source::Take(kept.id), kept.len));
            let (found, snapshot) = answer(&mut case, round, &text, from);
            assert_eq!(found, expected, "{}: round {round}", case.name);
            text = joined(&text, &found, &prompt(30 + 17 * round, 0, round));
            kept = Some(snapshot);
        }
        assert!(text.len() > 512, "two steps of a growing cache are crossed");
    }
}

/// At several lengths, from one snapshot that stays; also across the border at 256, where a cache grows.
#[test]
fn a_copy_is_cut_to_any_length_that_it_allows() {
    for mut case in cases() {
        let first = prompt(300, 300, 0);
        let (_, snapshot) = answer(&mut case, 0, &first, None);
        let lengths = [1, 100, 255, 256, 257, 300];
        let lengths = lengths.into_iter().filter(|&len| usable(&snapshot, len) == len);
        let anywhere = case.runner.facts().cache.cuts_anywhere;
        let mut tried = 0;
        for len in lengths {
            let other = prompt(len as u32 + 20, len as u32, 4);
            let expected = cold(&mut case, &other);
            let (found, copied) = answer(&mut case, 0, &other, Some((Source::Copy(snapshot.id), len)));
            assert_eq!(found, expected, "{}: cut to {len}", case.name);
            case.runner.forget(copied.id);
            tried += 1;
        }
        assert!(tried == 6 || !anywhere && tried >= 1, "{}: {tried} lengths", case.name);
        let expected = cold(&mut case, &[&first[..], &[7]].concat());
        let again = [&first[..], &[7]].concat();
        let (found, _) = answer(&mut case, 0, &again, Some((Source::Take(snapshot.id), 300)));
        assert_eq!(found, expected, "{}: the snapshot is as it was", case.name);
    }
}

#[test]
fn a_snapshot_that_is_taken_can_be_cut_too() {
    for mut case in cases() {
        let first = prompt(270, 270, 0);
        let (answered, snapshot) = answer(&mut case, 0, &first, None);
        assert!(snapshot.cuts.from <= 255 || !case.runner.facts().cache.cuts_anywhere);
        let len = usable(&snapshot, 255).max(snapshot.cuts.from);
        let text = joined(&joined(&first, &answered, &[])[..len], &[], &prompt(40, 0, 3));
        let expected = cold(&mut case, &text);
        let (found, _) = answer(&mut case, 0, &text, Some((Source::Take(snapshot.id), len)));
        assert_eq!(found, expected, "{}: cut to {len}", case.name);
    }
}

#[test]
fn windows_are_cut_back_to_their_marks() {
    let windows = [None, Some(8), Some(4)].map(|kv_bits| case("gemma3_text", kv_bits));
    for mut case in windows.into_iter().chain([case("qwen3", None)]) {
        let first = prompt(400, 400, 0);
        marked(&mut case, 0, &first, &[64, 200, 384]);
        let cuts = case.runner.cuts(0).expect("cuts");
        draw(&mut case.runner, 0, 300);
        let snapshot = case.runner.keep(0).expect("a snapshot");
        assert!(cuts.from <= 400);
        if case.runner.facts().cache.cuts_anywhere {
            assert_eq!((snapshot.cuts.from, snapshot.cuts.marks.len()), (0, 0));
        } else {
            assert!(snapshot.cuts.from > 384 && snapshot.cuts.marks == [64, 200, 384], "{:?}", snapshot.cuts);
        }
        for len in [64, 200, 384, 200] {
            let other = prompt(len as u32 + 50, len as u32, 2);
            let expected = cold(&mut case, &other);
            let (found, copied) = answer(&mut case, 1, &other, Some((Source::Copy(snapshot.id), len)));
            assert_eq!(found, expected, "{}: copied to {len}", case.name);
            case.runner.forget(copied.id);
        }
        let other = prompt(300, 200, 5);
        let expected = cold(&mut case, &other);
        let (found, taken) = answer(&mut case, 1, &other, Some((Source::Take(snapshot.id), 200)));
        assert_eq!(found, expected, "{}: taken at 200", case.name);
        let again = prompt(90, 64, 6);
        let expected = cold(&mut case, &again);
        let (found, _) = answer(&mut case, 1, &again, Some((Source::Take(taken.id), 64)));
        assert_eq!(found, expected, "{}: and back to 64", case.name);
    }
}

#[test]
fn a_running_sequence_is_branched_from_in_its_prompt_and_in_its_answer() {
    for mut case in cases() {
        let first = prompt(290, 290, 0);
        let expected = cold(&mut case, &first);
        case.runner.open(0, &greedy(), None).expect("a free slot");
        feed(&mut case.runner, 0, &first[..128], false);
        let young = prompt(150, 128, 7);
        let young_expected = cold(&mut case, &young);
        begin(&mut case, 1, &young, Some((Source::Branch(0), 128)));
        case.runner.mark(0).expect("a mark");
        let marks = case.runner.cuts(0).expect("cuts").marks;
        assert!(case.runner.facts().cache.cuts_anywhere || marks == [128], "{}: {marks:?}", case.name);
        feed(&mut case.runner, 0, &first[128..], true);
        let head = draw(&mut case.runner, 0, 5);
        let cuts = case.runner.cuts(0).expect("cuts");
        assert_eq!(cuts.longest(295), 295);
        let old = joined(&first, &head, &prompt(20, 0, 8));
        let old_expected = cold(&mut case, &old);
        begin(&mut case, 2, &old, Some((Source::Branch(0), 295)));
        let mut found = [head, Vec::new(), Vec::new()];
        for _ in 0..NEW {
            let all = step(&mut case.runner, &[(0, Feed::Sampled), (1, Feed::Sampled), (2, Feed::Sampled)]);
            for (found, sampled) in found.iter_mut().zip(all) {
                found.push(sampled.expect("a token").token);
            }
        }
        for (found, expected) in found.iter().zip([expected, young_expected, old_expected]) {
            assert_eq!(found[..NEW], expected, "{}", case.name);
        }
    }
}

/// The tokens and the logits, to the bit, of a snapshot in memory and of the same one written and read, in a batch with
/// others.
#[test]
fn what_is_exported_and_imported_answers_to_the_bit() {
    for mut case in cases() {
        let first = prompt(280, 280, 0);
        marked(&mut case, 0, &first, &[100]);
        let head = draw(&mut case.runner, 0, 9);
        let here = case.runner.keep(0).expect("a snapshot");
        let tensors = case.runner.export(here.id).expect("tensors");
        let there = case.runner.import(tensors.clone()).expect("a snapshot");
        assert_eq!((there.len, &there.cuts), (here.len, &here.cuts), "{}", case.name);
        assert_eq!(case.runner.export(there.id).expect("tensors"), tensors);
        assert!(there.bytes < here.bytes, "{}: no room is exported", case.name);
        for len in [289, 100] {
            let text = joined(&joined(&first, &head, &[])[..len], &prompt(33, 0, 6), &[]);
            let alone = watch(&mut case, &text, &[(Source::Copy(here.id), len)]).remove(0);
            let also = watch(&mut case, &text, &[(Source::Copy(there.id), len)]).remove(0);
            assert!(alone == also, "{}: cut to {len}", case.name);
            let together = [Source::Copy(there.id), Source::Copy(here.id), Source::Copy(there.id)];
            let all = watch(&mut case, &text, &together.map(|source| (source, len)));
            assert!(all.iter().all(|one| *one == all[0]), "{}: in a batch, cut to {len}", case.name);
            let expected = cold(&mut case, &text);
            for sampled in [&alone, &all[0]] {
                assert_eq!(ids(sampled), expected, "{}: cut to {len}", case.name);
            }
        }
        let text = joined(&first, &head, &[5]);
        let taken = watch(&mut case, &text, &[(Source::Take(there.id), 289)]);
        assert!(taken == watch(&mut case, &text, &[(Source::Take(here.id), 289)]), "{}: taken", case.name);
    }
}

/// Answers to one prompt from several sources at once, each token with the log-probabilities of all.
pub(crate) fn watch(case: &mut Case, text: &[u32], sources: &[(Source, usize)]) -> Vec<Vec<Sampled>> {
    let params = SamplingParams { logprobs: Some(160), ..greedy() };
    for (slot, &(from, len)) in (20..).zip(sources) {
        let resume = Resume { from, tokens: &text[..len] };
        case.runner.open(slot, &params, Some(resume)).expect("a free slot");
        feed(&mut case.runner, slot, &text[len..], true);
    }
    let slots = 20..20 + sources.len() as u32;
    let feeds: Vec<_> = slots.clone().map(|slot| (slot, Feed::Sampled)).collect();
    let mut answers = vec![Vec::new(); sources.len()];
    for _ in 0..NEW {
        for (answer, sampled) in answers.iter_mut().zip(step(&mut case.runner, &feeds)) {
            answer.push(sampled.expect("a token"));
        }
    }
    slots.for_each(|slot| case.runner.close(slot));
    answers
}

/// The penalty looks at the prompt's tokens, of which the resumed ones are never fed.
#[test]
fn penalties_know_the_resumed_tokens() {
    let mut case = case("llama", None);
    let text = prompt(60, 60, 0);
    let params = SamplingParams { repetition_penalty: 1.8, ..greedy() };
    let mut answers = Vec::new();
    for len in [0, 59] {
        let resume = answers.last().map(|(_, id)| Resume { from: Source::Take(*id), tokens: &text[..len] });
        case.runner.open(0, &params, resume).expect("a free slot");
        feed(&mut case.runner, 0, &text[len..], true);
        let tokens = draw(&mut case.runner, 0, NEW);
        answers.push((tokens, case.runner.keep(0).expect("a snapshot").id));
    }
    assert_eq!(answers[0].0, answers[1].0);
    assert_ne!(answers[0].0, cold(&mut case, &text), "the penalty changes something");
}

#[test]
fn mistakes_with_snapshots_are_errors_and_free_what_they_should() {
    let mut case = case("gemma3_text", None);
    let text = prompt(400, 400, 0);
    let (_, snapshot) = answer(&mut case, 0, &text, None);
    let runner = &mut case.runner;
    runner.open(5, &greedy(), None).expect("a free slot");
    let resume = Resume { from: Source::Take(snapshot.id), tokens: &text };
    let taken = runner.open(5, &greedy(), Some(resume)).expect_err("a slot that is taken").message;
    assert_eq!(taken, "slot 5 is open already");
    let mut open = |slot, from, tokens: &[u32]| {
        let error = runner.open(slot, &greedy(), Some(Resume { from, tokens })).expect_err("a refusal");
        assert_eq!(runner.cuts(slot).expect_err("a free slot").message, format!("slot {slot} is not open"));
        error.message
    };
    let id = snapshot.id;
    assert_eq!(open(3, Source::Copy(99), &text), "there is no snapshot 99");
    assert_eq!(open(3, Source::Take(99), &text), "there is no snapshot 99");
    assert_eq!(open(3, Source::Branch(7), &text), "slot 7 is not open");
    assert_eq!(open(3, Source::Copy(id), &[]), "a prompt's chunk is empty");
    assert_eq!(open(3, Source::Copy(id), &[160]), "token 160 is outside the model's vocabulary of 160");
    assert_eq!(open(3, Source::Copy(id), &text[..5]), "a cache of 412 tokens cannot be cut back to 5");
    assert_eq!(open(3, Source::Take(id), &text[..5]), "a cache of 412 tokens cannot be cut back to 5");
    assert_eq!(open(3, Source::Take(id), &text), format!("there is no snapshot {id}"), "it is gone");
    assert_eq!(runner.export(id).expect_err("gone").message, format!("there is no snapshot {id}"));
    assert_eq!(runner.keep(3).expect_err("no slot").message, "slot 3 is not open");
    assert_eq!(runner.mark(3).expect_err("no slot").message, "slot 3 is not open");
    runner.forget(id);
    let tensors = Vec::new();
    assert!(
        runner.import(tensors).expect_err("nothing").message.starts_with("a stored cache does not fit the model: ")
    );
}

/// What another model, or the same one with other bits, exported. Where all shapes are the same only the fingerprint tells.
#[test]
fn a_foreign_cache_is_refused() {
    let mut all = [case("llama", None), case("llama", Some(8)), case("qwen3", Some(4)), case("gemma3_text", Some(8))];
    let export = |case: &mut Case| {
        let (_, snapshot) = answer(case, 0, &prompt(40, 40, 0), None);
        case.runner.export(snapshot.id).expect("tensors")
    };
    let exports = all.each_mut().map(export);
    let prints: Vec<_> = all.iter().map(|case| case.runner.facts().cache.fingerprint.clone()).collect();
    for (mine, case) in all.iter_mut().enumerate() {
        for (other, tensors) in exports.iter().enumerate() {
            assert_eq!(case.runner.import(tensors.clone()).is_ok(), mine == other, "{other} for {}", case.name);
            assert_eq!(prints[mine] == prints[other], mine == other);
        }
    }
}

/// The tokens are mlx-lm's, also behind a prompt that was cut, copied, and once written and read.
#[test]
fn resumed_float32_text_is_that_of_mlx_lm() {
    for name in names("f32").into_iter().chain(names("4bit")) {
        let Expected { prompt, greedy: expected, .. } = Expected::of(&name);
        let mut runner = load(&name);
        runner.open(0, &greedy(), None).expect("a free slot");
        feed(&mut runner, 0, &[&prompt[..], &[1, 2, 3]].concat(), false);
        let kept = runner.keep(0).expect("a snapshot");
        let tensors = runner.export(kept.id).expect("tensors");
        let read = runner.import(tensors).expect("a snapshot");
        for (slot, from) in (0..).zip([Source::Copy(kept.id), Source::Take(read.id), Source::Take(kept.id)]) {
            let len = [39, 17, 1][slot as usize];
            runner.open(slot, &greedy(), Some(Resume { from, tokens: &prompt[..len] })).expect("a free slot");
            feed(&mut runner, slot, &prompt[len..], true);
            assert_eq!(draw(&mut runner, slot, ALL), expected, "{name}, cut to {len}");
        }
    }
}

/// 16 bits and packed weights go out and come back as they are.
#[test]
fn caches_of_every_type_are_exported_bit_by_bit() {
    for name in names("bf16").into_iter().chain(names("4bit")) {
        let prompt = Expected::of(&name).prompt;
        let mut runner = load(&name);
        runner.open(0, &greedy(), None).expect("a free slot");
        feed(&mut runner, 0, &prompt, false);
        let kept = runner.keep(0).expect("a snapshot");
        let tensors = runner.export(kept.id).expect("tensors");
        let read = runner.import(tensors.clone()).expect("a snapshot");
        assert_eq!(runner.export(read.id).expect("tensors"), tensors, "{name}");
        let text = [&prompt[..], &[5]].concat();
        let params = SamplingParams { logprobs: Some(160), ..greedy() };
        let sampled = [kept.id, read.id].map(|id| {
            let resume = Resume { from: Source::Take(id), tokens: &prompt };
            runner.open(0, &params, Some(resume)).expect("a free slot");
            feed(&mut runner, 0, &text[prompt.len()..], true);
            let sampled: Vec<_> = (0..8).map(|_| step(&mut runner, &[(0, Feed::Sampled)])).collect();
            runner.close(0);
            sampled
        });
        assert!(sampled[0] == sampled[1], "{name}");
    }
}
