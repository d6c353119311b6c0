//! The sampler against its definitions written out in plain Rust.

use hearth_core::sampling::SamplingParams;

use super::*;

/// Repeatable logits between -6 and 6, no two alike.
fn logits(seed: u64, count: usize) -> Vec<f32> {
    let mut word = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (word >> 40) as f32 / (1_u64 << 24) as f32
    };
    (0..count).map(|_| 12.0 * next() - 6.0).collect()
}

fn matrix(rows: &[Vec<f32>]) -> Array {
    Array::from_slice(&rows.concat(), &[rows.len() as i32, rows[0].len() as i32])
}

fn states(params: &[SamplingParams], vocab: usize) -> Vec<SamplerState> {
    params.iter().map(|params| SamplerState::new(params, vocab)).collect()
}

fn draw(logits: &Array, states: &mut [SamplerState]) -> Vec<Sampled> {
    let mut rows: Vec<_> = states.iter_mut().collect();
    sample(logits, &mut rows).unwrap().read().unwrap()
}

fn tokens(sampled: &[Sampled]) -> Vec<u32> {
    sampled.iter().map(|sampled| sampled.token).collect()
}

fn default() -> SamplingParams {
    SamplingParams::default()
}

fn greedy() -> SamplingParams {
    SamplingParams { temperature: 0.0, ..default() }
}

/// One of each kind of work.
fn all_kinds() -> Vec<SamplingParams> {
    let seeded = |seed| SamplingParams { seed: Some(seed), temperature: 1.5, ..default() };
    vec![
        seeded(1),
        SamplingParams { top_k: 5, ..seeded(2) },
        SamplingParams { top_p: 0.8, ..seeded(3) },
        SamplingParams { min_p: 0.05, ..seeded(4) },
        SamplingParams { top_k: 9, top_p: 0.7, min_p: 0.1, ..seeded(5) },
        SamplingParams { repetition_penalty: 1.3, ..seeded(6) },
        SamplingParams { presence_penalty: 0.5, frequency_penalty: 0.3, top_p: 0.9, ..seeded(7) },
        SamplingParams { logit_bias: vec![(3, 2.0), (4, -100.0)], top_k: 7, logprobs: Some(2), ..seeded(8) },
        greedy(),
        SamplingParams { repetition_penalty: 1.3, frequency_penalty: 0.4, ..greedy() },
    ]
}

/// Softmax in double precision.
fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// The probabilities that the filters leave, token by token, as their definitions have it.
fn reference(logits: &[f32], params: &SamplingParams) -> Vec<f64> {
    let mut kept: Vec<f64> = logits.iter().map(|&logit| f64::from(logit) / f64::from(params.temperature)).collect();
    let mut ranked: Vec<usize> = (0..kept.len()).collect();
    ranked.sort_by(|&a, &b| kept[b].total_cmp(&kept[a]));
    if params.top_k > 0 {
        ranked.iter().skip(params.top_k as usize).for_each(|&token| kept[token] = f64::NEG_INFINITY);
    }
    let (probabilities, mut before) = (softmax(&kept), 0.0);
    for (rank, &token) in ranked.iter().enumerate() {
        if rank > 0 && params.top_p < 1.0 && before >= f64::from(params.top_p) {
            kept[token] = f64::NEG_INFINITY;
        }
        before += probabilities[token];
    }
    let probabilities = softmax(&kept);
    let least = f64::from(params.min_p) * probabilities.iter().copied().fold(0.0, f64::max);
    for (logit, probability) in kept.iter_mut().zip(&probabilities) {
        *logit = if *probability < least { f64::NEG_INFINITY } else { *logit };
    }
    softmax(&kept)
}

fn filters() -> Vec<SamplingParams> {
    let mut found = Vec::new();
    for top_k in [0, 1, 3, 20, 1000] {
        for top_p in [0.0, 0.1, 0.5, 0.9, 0.999, 1.0] {
            for min_p in [0.0, 0.02, 0.3, 1.0] {
                found.push(SamplingParams { temperature: 0.7 + min_p, top_k, top_p, min_p, ..default() });
            }
        }
    }
    found
}

#[test]
fn filters_keep_what_their_definitions_keep() {
    for (case, params) in filters().into_iter().enumerate() {
        let values = logits(case as u64, 50);
        let state = SamplerState::new(&params, 50);
        let kept = draw::filtered(&matrix(std::slice::from_ref(&values)), &[&state], draw::Kind::of(&state)).unwrap();
        let kept = ops::to_vec::<f32>(&kept).unwrap();
        let survivors: Vec<_> = (0..50).filter(|&token| kept[token] > f32::NEG_INFINITY).collect();
        let expected = reference(&values, &params);
        let expected: Vec<_> = (0..50).filter(|&token| expected[token] > 0.0).collect();
        assert_eq!(survivors, expected, "{params:?}");
    }
}

#[test]
fn equal_logits_stay_or_go_together() {
    let values = [1.0, 3.0, 2.0, 2.0, 2.0, -1.0];
    for (params, expected) in [
        (SamplingParams { top_k: 2, ..default() }, [1, 2, 3, 4].as_slice()),
        (SamplingParams { top_p: 0.5, ..default() }, &[1, 2, 3, 4]),
        (SamplingParams { top_k: 1, ..default() }, &[1]),
    ] {
        let state = SamplerState::new(&params, 6);
        let kept = draw::filtered(&Array::from_slice(&values, &[1, 6]), &[&state], draw::Kind::of(&state)).unwrap();
        let kept = ops::to_vec::<f32>(&kept).unwrap();
        let survivors: Vec<_> = (0..6).filter(|&token| kept[token] > f32::NEG_INFINITY).collect();
        assert_eq!(survivors, expected, "{params:?}");
    }
}

/// Draws `count` tokens in one call and compares how often each came with its probability.
fn check_frequencies(params: &[SamplingParams], seed: impl Fn(u64) -> u64) {
    let count = 4000;
    for params in params {
        let values = logits(3, 12);
        let all = matrix(&vec![values.clone(); count]);
        let mut states: Vec<_> = (0..count as u64).map(|row| SamplerState::with_seed(params, 12, seed(row))).collect();
        let mut found = [0_u32; 12];
        draw(&all, &mut states).iter().for_each(|sampled| found[sampled.token as usize] += 1);
        for (token, probability) in reference(&values, params).into_iter().enumerate() {
            let (expected, spread) = (probability * count as f64, (probability * count as f64).sqrt());
            let off = (f64::from(found[token]) - expected).abs();
            assert!(off <= 4.5 * spread, "{params:?}: token {token} came {} times, not {expected:.1}", found[token]);
        }
    }
}

#[test]
fn tokens_come_as_often_as_they_should() {
    let cases = [
        default(),
        SamplingParams { temperature: 2.5, ..default() },
        SamplingParams { temperature: 0.6, top_k: 4, ..default() },
        SamplingParams { top_p: 0.9, min_p: 0.05, ..default() },
    ];
    check_frequencies(&cases, |_| 11);
    let seeded: Vec<_> = cases.iter().map(|params| SamplingParams { seed: Some(0), ..params.clone() }).collect();
    check_frequencies(&seeded, |row| row);
}

/// Steps of a batch whose logits depend on nothing but the step, all queued before any token is read.
fn run(params: &[SamplingParams], rows: &[usize], steps: u64) -> Vec<Vec<u32>> {
    let chosen: Vec<_> = rows.iter().map(|&row| params[row].clone()).collect();
    let mut states = states(&chosen, 40);
    for (state, &row) in states.iter_mut().zip(rows) {
        state.feed_prompt(&[row as u32, 7, 8]);
    }
    let drawn: Vec<_> = (0..steps)
        .map(|step| {
            let values: Vec<_> = rows.iter().map(|&row| logits(1000 * step + row as u64, 40)).collect();
            sample(&matrix(&values), &mut states.iter_mut().collect::<Vec<_>>()).unwrap()
        })
        .collect();
    drawn.iter().map(|drawn| tokens(&drawn.read().unwrap())).collect()
}

#[test]
fn a_row_draws_the_same_alone_and_in_a_batch() {
    let params = all_kinds();
    let everyone: Vec<_> = (0..params.len()).collect();
    let together = run(&params, &everyone, 20);
    let backwards: Vec<_> = everyone.iter().rev().copied().collect();
    let turned = run(&params, &backwards, 20);
    for row in everyone {
        let alone = run(&params, &[row], 20);
        for step in 0..20 {
            assert_eq!(together[step][row], alone[step][0], "row {row}, step {step}");
            assert_eq!(turned[step][params.len() - 1 - row], alone[step][0], "row {row}, step {step}");
        }
    }
}

#[test]
fn a_seed_repeats_and_another_does_not() {
    let flat = Array::from_slice(&[0.0_f32; 1000], &[1, 1000]);
    let draws = |seed| {
        let mut state = states(&[SamplingParams { seed, ..default() }], 1000);
        (0..8).map(|_| draw(&flat, &mut state)[0].token).collect::<Vec<_>>()
    };
    assert_eq!(draws(Some(5)), draws(Some(5)));
    assert_ne!(draws(Some(5)), draws(Some(6)));
    assert_ne!(draws(None), draws(None));
    let mut distinct = draws(Some(5));
    distinct.dedup();
    assert!(distinct.len() > 6, "steps repeat each other: {distinct:?}");
}

/// Bias and penalties as their definitions have them.
fn adjusted(logits: &[f32], params: &SamplingParams, prompt: &[u32], answer: &[u32]) -> Vec<f32> {
    let mut logits = logits.to_vec();
    for &(token, bias) in &params.logit_bias {
        logits[token as usize] += bias;
    }
    let history = [prompt, answer].concat();
    let recent = &history[history.len().saturating_sub(SamplingParams::REPETITION_WINDOW)..];
    for (token, logit) in logits.iter_mut().enumerate() {
        if recent.contains(&(token as u32)) {
            *logit = if *logit < 0.0 { *logit * params.repetition_penalty } else { *logit / params.repetition_penalty };
        }
        let count = answer.iter().filter(|&&seen| seen == token as u32).count();
        *logit -= count as f32 * params.frequency_penalty + if count > 0 { params.presence_penalty } else { 0.0 };
    }
    logits
}

#[test]
fn penalties_follow_their_definitions_one_step_ahead() {
    let cases = [
        SamplingParams { repetition_penalty: 1.4, ..greedy() },
        SamplingParams { presence_penalty: 1.5, ..greedy() },
        SamplingParams { frequency_penalty: 0.7, ..greedy() },
        SamplingParams { frequency_penalty: -0.1, ..greedy() },
        SamplingParams { repetition_penalty: 0.8, presence_penalty: 0.3, frequency_penalty: 0.2, ..greedy() },
        SamplingParams { logit_bias: vec![(1, 3.0), (2, -5.0)], repetition_penalty: 1.2, ..greedy() },
    ];
    let prompts: Vec<Vec<u32>> = (0..6).map(|row| (0..row * 20 + 1).map(|place| place % 30).collect()).collect();
    let mut states = states(&cases, 30);
    for (state, prompt) in states.iter_mut().zip(&prompts) {
        prompt.chunks(13).for_each(|chunk| state.feed_prompt(chunk));
    }
    let step_logits = |step: u64, row: usize| logits(step % 7 + 10 * row as u64, 30);
    let drawn: Vec<_> = (0..90)
        .map(|step| {
            let rows: Vec<_> = (0..6).map(|row| step_logits(step, row)).collect();
            sample(&matrix(&rows), &mut states.iter_mut().collect::<Vec<_>>()).unwrap()
        })
        .collect();
    let drawn: Vec<_> = drawn.iter().map(|drawn| tokens(&drawn.read().unwrap())).collect();
    for (row, params) in cases.iter().enumerate() {
        let mut answer = Vec::new();
        for (step, found) in drawn.iter().enumerate() {
            let logits = adjusted(&step_logits(step as u64, row), params, &prompts[row], &answer);
            let best = (0..30).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            assert_eq!(found[row], best as u32, "{params:?}, step {step}");
            answer.push(found[row]);
        }
    }
}

#[test]
fn a_bias_of_100_decides() {
    let values = matrix(&[logits(1, 20), logits(2, 20)]);
    let force = SamplingParams { logit_bias: vec![(13, 100.0)], ..default() };
    let forbid = SamplingParams { logit_bias: (0..19).map(|token| (token, -100.0)).collect(), ..default() };
    let mut states = states(&[force, forbid], 20);
    for _ in 0..50 {
        assert_eq!(tokens(&draw(&values, &mut states)), [13, 19]);
    }
}

#[test]
fn a_bias_for_a_token_that_is_not_there_is_ignored() {
    let params = SamplingParams { logit_bias: vec![(20, 100.0), (u32::MAX, 100.0)], ..greedy() };
    let mut states = states(&[params], 20);
    let values = logits(1, 20);
    let best = (0..20).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap() as u32;
    assert_eq!(tokens(&draw(&matrix(&[values]), &mut states)), [best]);
}

#[test]
fn logprobs_are_of_the_raw_logits() {
    let asks =
        |count| SamplingParams { logprobs: count, temperature: 0.5, top_k: 2, logit_bias: vec![(1, 5.0)], ..default() };
    let params = [asks(Some(3)), asks(None), asks(Some(0)), asks(Some(20))];
    let rows: Vec<_> = (0..4).map(|row| logits(row, 10)).collect();
    let sampled = draw(&matrix(&rows), &mut states(&params, 10));
    for (row, (sampled, params)) in sampled.iter().zip(&params).enumerate() {
        let Some(count) = params.logprobs else {
            assert_eq!(sampled.logprobs, None);
            continue;
        };
        let expected: Vec<f64> = softmax(&rows[row].iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let found = sampled.logprobs.as_ref().expect("asked for");
        let close = |token: u32, logprob: f32| (f64::from(logprob) - expected[token as usize].ln()).abs() < 1e-5;
        assert!(close(sampled.token, found.chosen));
        assert!(found.top.iter().all(|&(token, logprob)| close(token, logprob)));
        let mut ranked: Vec<u32> = (0..10).collect();
        ranked.sort_by(|&a, &b| expected[b as usize].total_cmp(&expected[a as usize]));
        ranked.truncate(count as usize);
        assert_eq!(found.top.iter().map(|&(token, _)| token).collect::<Vec<_>>(), ranked);
    }
}

#[test]
fn the_likeliest_token_is_taken_at_temperature_zero() {
    let values = Array::from_slice(&[1.0_f32, 4.0, 4.0, -2.0, 9.0, 0.0, 0.0, 0.0], &[2, 4]);
    assert_eq!(tokens(&draw(&values, &mut states(&[greedy(), greedy()], 4))), [1, 0]);
    let cold = SamplingParams { temperature: 1e-30, top_p: 0.5, ..default() };
    assert_eq!(tokens(&draw(&values, &mut states(&[cold.clone(), cold], 4))), [1, 0]);
}

#[test]
fn half_precision_logits_do() {
    let params = all_kinds();
    let rows: Vec<_> = (0..params.len() as u64).map(|row| logits(row, 30)).collect();
    let half = ops::astype(&matrix(&rows), Dtype::Bfloat16).unwrap();
    let full = ops::astype(&half, Dtype::Float32).unwrap();
    let from = |logits: &Array| tokens(&draw(logits, &mut states(&params, 30)));
    assert_eq!(from(&half), from(&full));
}
