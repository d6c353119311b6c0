//! Batching changes nothing: each sequence's tokens are those it has alone, whoever comes and goes beside it.

use std::collections::BTreeMap;

use hearth_core::{
    runner::{Feed, Runner, SlotId},
    sampling::SamplingParams,
};
use hearth_mlx::MlxRunner;

use crate::fixture::{answer, greedy, ids, load, names, step};

/// Eight prompts of different length.
fn prompts() -> Vec<Vec<u32>> {
    let lengths = [1, 3, 8, 13, 21, 34, 40, 55];
    let prompt = |(seed, length): (u32, u32)| (0..length).map(|place| (place * place + 11 * seed + 3) % 150).collect();
    (0..).zip(lengths).map(prompt).collect()
}

/// What one sequence does in [`play`].
struct Part {
    prompt: Vec<u32>,
    params: SamplingParams,
    /// The step at which its prompt begins.
    joins: usize,
    /// Tokens of its answer.
    new: usize,
    /// The number of tokens after which it is closed without notice.
    vanishes: Option<usize>,
}

/// Runs all parts together, prompts in chunks of `chunk`, and returns what each got.
fn play(runner: &mut MlxRunner, parts: &[Part], chunk: usize) -> Vec<Vec<u32>> {
    let mut answers = vec![Vec::new(); parts.len()];
    let mut fed: BTreeMap<SlotId, usize> = BTreeMap::new();
    let mut open = parts.len();
    for now in 0.. {
        if open == 0 {
            break;
        }
        for (slot, part) in (0..).zip(parts).filter(|(_, part)| part.joins == now) {
            runner.open(slot, &part.params, None).expect("a free slot");
            fed.insert(slot, 0);
        }
        let feed = |(&slot, &fed): (&SlotId, &usize)| {
            let part = &parts[slot as usize];
            let rest = &part.prompt[fed..];
            let tokens = &rest[..rest.len().min(chunk)];
            match answers[slot as usize].len() + 1 {
                _ if !rest.is_empty() => (slot, Feed::Prompt { tokens, last: tokens.len() == rest.len() }),
                next if next == part.new => (slot, Feed::Last),
                _ => (slot, Feed::Sampled),
            }
        };
        let feeds: Vec<_> = fed.iter().map(feed).collect();
        for (&(slot, feed), sampled) in feeds.iter().zip(step(runner, &feeds)) {
            if let Feed::Prompt { tokens, .. } = feed {
                *fed.get_mut(&slot).expect("open") += tokens.len();
            }
            let answer = &mut answers[slot as usize];
            answer.extend(sampled.map(|sampled| sampled.token));
            if feed == Feed::Last || parts[slot as usize].vanishes == Some(answer.len()) && !answer.is_empty() {
                runner.close(slot);
                fed.remove(&slot);
                open -= 1;
            }
        }
    }
    answers
}

/// Plays the parts together and each alone.
fn check(name: &str, parts: &[Part], chunk: usize) {
    let mut runner = load(name);
    let together = play(&mut runner, parts, chunk);
    for (part, together) in parts.iter().zip(together) {
        let alone = answer(&mut runner, &part.prompt, usize::MAX, part.new, &part.params);
        let expected = &ids(&alone)[..part.vanishes.unwrap_or(part.new)];
        assert_eq!(together, expected, "{name}: prompt of {} tokens in chunks of {chunk}", part.prompt.len());
    }
}

#[test]
fn eight_prompts_decode_together_as_alone() {
    let part = |prompt| Part { prompt, params: greedy(), joins: 0, new: 24, vanishes: None };
    for name in names("f32") {
        check(&name, &prompts().into_iter().map(part).collect::<Vec<_>>(), usize::MAX);
    }
}

#[test]
fn they_may_join_and_leave_at_any_step_and_vanish() {
    let part = |(place, prompt): (usize, Vec<u32>)| Part {
        prompt,
        params: greedy(),
        joins: 3 * place,
        new: 10 + 5 * (place % 3),
        vanishes: (place == 4).then_some(6),
    };
    for name in names("f32") {
        check(&name, &prompts().into_iter().enumerate().map(part).collect::<Vec<_>>(), 9);
    }
}

#[test]
fn sampled_answers_repeat_with_their_seed_in_any_company() {
    let params = |place: usize| SamplingParams {
        temperature: 0.8,
        top_p: [1.0, 0.9][place % 2],
        top_k: [0, 20][place / 2 % 2],
        repetition_penalty: [1.0, 1.3][place / 4],
        presence_penalty: [0.0, 0.5][place % 2],
        seed: Some(place as u64),
        ..SamplingParams::default()
    };
    let part = |(place, prompt)| Part { prompt, params: params(place), joins: place, new: 16, vanishes: None };
    check("llama-f32", &prompts().into_iter().enumerate().map(part).collect::<Vec<_>>(), 16);
}
