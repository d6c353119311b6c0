//! One function for each kind of cache: from a case and its cold answers to answers beside the ones they have to be.

use std::collections::HashSet;

use hearth_core::Result;
use hearth_core::runner::{Cuts, Feed, SlotId, Snapshot, Source};

use super::bench::Bench;
use super::prompts::{Case, chunks};
use super::{ANSWER, Kind, Trial, file};

/// Tokens of an answer that are in the cache when it is put aside.
const SOME: usize = 6;

/// A case and its cold answers.
pub(super) struct Reference {
    case: Case,
    /// To the prompt.
    prompt: Vec<u32>,
    /// To the other prompt.
    other: Vec<u32>,
}

/// All cases with their cold answers.
pub(super) struct References(Vec<Reference>);

impl References {
    /// Computes the cold answers.
    pub(super) fn compute(bench: &mut Bench<'_>, cases: Vec<Case>) -> Result<Self> {
        let compute = |case: Case| {
            let (prompt, other) = (cold(bench, &case, &case.prompt)?, cold(bench, &case, &case.other)?);
            Ok(Reference { case, prompt, other })
        };
        cases.into_iter().map(compute).collect::<Result<_>>().map(Self)
    }

    pub(super) fn all(&self) -> &[Reference] {
        &self.0
    }

    pub(super) fn lengths(&self) -> Vec<usize> {
        self.0.iter().map(|reference| reference.case.prompt.len()).collect()
    }

    /// How many of the answers are different ones.
    pub(super) fn different(&self) -> usize {
        self.0.iter().flat_map(|reference| [&reference.prompt, &reference.other]).collect::<HashSet<_>>().len()
    }
}

/// Answers of one kind, beside those that they have to be; none where the model's caches cannot be used so.
pub(super) fn check(kind: Kind, bench: &mut Bench<'_>, reference: &Reference) -> Result<Vec<Trial>> {
    match kind {
        Kind::Cold => again(bench, reference),
        Kind::Memory => memory(bench, reference),
        Kind::Cut => cut(bench, reference),
        Kind::Branch => branch(bench, reference),
        Kind::Disk => disk(bench, reference),
        Kind::Batched => batched(bench, reference),
    }
}

impl Reference {
    /// An answer to the prompt.
    fn trial(&self, found: Vec<u32>) -> Trial {
        Trial { expected: self.prompt.clone(), found, exact: true }
    }

    /// An answer to the other prompt.
    fn other_trial(&self, found: Vec<u32>) -> Trial {
        Trial { expected: self.other.clone(), found, exact: true }
    }
}

/// A sequence that holds what the case's prompts share, and can be cut back to it.
fn begun(bench: &mut Bench<'_>, case: &Case) -> Result<SlotId> {
    let slot = bench.open()?;
    bench.prefill(slot, case.beginning(), false)?;
    Ok(slot)
}

/// The answer to one of the case's prompts by a sequence that holds their beginning.
fn finish(bench: &mut Bench<'_>, slot: SlotId, case: &Case, prompt: &[u32]) -> Result<Vec<u32>> {
    bench.prefill(slot, &prompt[case.shared..], true)?;
    bench.answer(slot)
}

fn cold(bench: &mut Bench<'_>, case: &Case, prompt: &[u32]) -> Result<Vec<u32>> {
    let slot = begun(bench, case)?;
    finish(bench, slot, case, prompt)
}

fn again(bench: &mut Bench<'_>, reference: &Reference) -> Result<Vec<Trial>> {
    let found = cold(bench, &reference.case, &reference.case.prompt)?;
    Ok(vec![reference.trial(found)])
}

/// A prompt whose beginning was kept, and a next turn after a kept answer.
fn memory(bench: &mut Bench<'_>, reference: &Reference) -> Result<Vec<Trial>> {
    let case = &reference.case;
    let slot = begun(bench, case)?;
    let kept = bench.keep(slot, case.shared)?;
    let slot = bench.resume(Source::Take(kept.id), case.beginning())?;
    let found = finish(bench, slot, case, &case.prompt)?;
    Ok(vec![reference.trial(found), next_turn(bench, case)?])
}

/// An answer's tokens were fed one by one, each with the one before it on its way. Cold they are a prompt's.
fn next_turn(bench: &mut Bench<'_>, case: &Case) -> Result<Trial> {
    let slot = begun(bench, case)?;
    bench.prefill(slot, &case.prompt[case.shared..], true)?;
    let answer = bench.go_on(slot, SOME)?;
    let history: Vec<u32> = case.prompt.iter().chain(&answer).copied().collect();
    let kept = bench.keep(slot, history.len())?;
    let slot = bench.resume(Source::Take(kept.id), &history)?;
    bench.prefill(slot, case.follow_up(), true)?;
    let found = bench.answer(slot)?;

    let slot = begun(bench, case)?;
    bench.prefill(slot, &case.prompt[case.shared..], false)?;
    for token in answer.chunks(1) {
        bench.prefill(slot, token, false)?;
    }
    bench.prefill(slot, case.follow_up(), true)?;
    Ok(Trial { expected: bench.answer(slot)?, found, exact: false })
}

/// A sequence that has gone on with the other prompt and some of its answer, and where its beginning was marked.
fn gone_on(bench: &mut Bench<'_>, case: &Case) -> Result<(SlotId, Vec<u32>)> {
    let slot = begun(bench, case)?;
    bench.runner.mark(slot)?;
    bench.prefill(slot, &case.other[case.shared..], true)?;
    let answer = bench.go_on(slot, SOME)?;
    Ok((slot, answer))
}

/// The other prompt's cache serves this prompt and the other one again, and at last is used up.
fn cut(bench: &mut Bench<'_>, reference: &Reference) -> Result<Vec<Trial>> {
    let case = &reference.case;
    let (slot, _) = gone_on(bench, case)?;
    let kept = bench.keep(slot, case.other.len() + SOME)?;
    let Some(length) = cut_length(&kept.cuts, case) else { return Ok(Vec::new()) };
    let mut trials = Vec::new();
    for (source, prompt, expected) in [
        (Source::Copy(kept.id), &case.prompt, &reference.prompt),
        (Source::Copy(kept.id), &case.other, &reference.other),
        (Source::Take(kept.id), &case.prompt, &reference.prompt),
    ] {
        let found = resumed(bench, source, case, prompt, length)?;
        trials.push(Trial { expected: expected.clone(), found, exact: length == case.shared });
    }
    Ok(trials)
}

/// Where a cache is cut for the case: at the end of what is shared, or as short before it as it can be.
fn cut_length(cuts: &Cuts, case: &Case) -> Option<usize> {
    Some(cuts.longest(case.shared)).filter(|length| *length > 0)
}

/// The answer to `prompt` from a cache that is cut back to `length`; the rest of what is shared is computed again.
fn resumed(bench: &mut Bench<'_>, from: Source, case: &Case, prompt: &[u32], length: usize) -> Result<Vec<u32>> {
    let slot = bench.resume(from, &prompt[..length])?;
    bench.prefill(slot, &prompt[length..case.shared], false)?;
    finish(bench, slot, case, prompt)
}

/// Both go on from a sequence in the middle of its prompt, and from one in the middle of its answer.
fn branch(bench: &mut Bench<'_>, reference: &Reference) -> Result<Vec<Trial>> {
    let case = &reference.case;
    let trunk = begun(bench, case)?;
    let found = resumed(bench, Source::Branch(trunk), case, &case.prompt, case.shared)?;
    let other = finish(bench, trunk, case, &case.other)?;
    let mut trials = vec![reference.trial(found), reference.other_trial(other)];

    let (trunk, mut answer) = gone_on(bench, case)?;
    if let Some(length) = cut_length(&bench.runner.cuts(trunk)?, case) {
        let found = resumed(bench, Source::Branch(trunk), case, &case.prompt, length)?;
        trials.push(Trial { exact: length == case.shared, ..reference.trial(found) });
    }
    answer.extend(bench.go_on(trunk, ANSWER - SOME)?);
    bench.close(trunk);
    trials.push(reference.other_trial(answer));
    Ok(trials)
}

/// The beginning as it was, and the other prompt's cache cut back to it.
fn disk(bench: &mut Bench<'_>, reference: &Reference) -> Result<Vec<Trial>> {
    let case = &reference.case;
    let slot = begun(bench, case)?;
    let kept = restored(bench, slot, case.shared)?;
    let found = resumed(bench, Source::Take(kept.id), case, &case.prompt, case.shared)?;
    let mut trials = vec![reference.trial(found)];

    let (slot, _) = gone_on(bench, case)?;
    let kept = restored(bench, slot, case.other.len() + SOME)?;
    if let Some(length) = cut_length(&kept.cuts, case) {
        let found = resumed(bench, Source::Take(kept.id), case, &case.prompt, length)?;
        trials.push(Trial { exact: length == case.shared, ..reference.trial(found) });
    }
    Ok(trials)
}

/// A sequence's cache after its way through a file; nothing of it was left in memory meanwhile.
fn restored(bench: &mut Bench<'_>, slot: SlotId, fed: usize) -> Result<Snapshot> {
    let kept = bench.keep(slot, fed)?;
    let tensors = bench.runner.export(kept.id)?;
    bench.forget(kept.id);
    let tensors = file::through_a_file(tensors)?;
    let snapshot = bench.runner.import(tensors)?;
    bench.hold(snapshot, fed)
}

/// Beside a sequence that decodes: with a cache against without one, and without one against alone.
fn batched(bench: &mut Bench<'_>, reference: &Reference) -> Result<Vec<Trial>> {
    let (cold, cold_beside) = together(bench, &reference.case, false)?;
    let (warm, warm_beside) = together(bench, &reference.case, true)?;
    Ok(vec![
        Trial { exact: false, ..reference.trial(cold.clone()) },
        Trial { exact: false, ..reference.other_trial(cold_beside.clone()) },
        Trial { expected: cold, found: warm, exact: true },
        Trial { expected: cold_beside, found: warm_beside, exact: true },
    ])
}

/// The answers to the prompt and to the other one, in one batch from where the prompts part.
fn together(bench: &mut Bench<'_>, case: &Case, warm: bool) -> Result<(Vec<u32>, Vec<u32>)> {
    let mut slot = begun(bench, case)?;
    if warm {
        let kept = bench.keep(slot, case.shared)?;
        slot = bench.resume(Source::Take(kept.id), case.beginning())?;
    }
    let beside = begun(bench, case)?;
    bench.prefill(beside, &case.other[case.shared..], true)?;
    let rest = &case.prompt[case.shared..];
    let feeds = chunks(rest.len()).map(|chunk| Feed::Prompt { last: chunk.end == rest.len(), tokens: &rest[chunk] });
    let (mut answer, mut answer_beside) = (Vec::new(), Vec::new());
    for feed in feeds.chain([Feed::Sampled; ANSWER]) {
        let (other, own) = bench.step_both(beside, slot, feed)?;
        answer_beside.push(other);
        answer.extend(own);
    }
    bench.close(slot);
    bench.close(beside);
    answer_beside.truncate(ANSWER);
    Ok((answer, answer_beside))
}
