//! Each architecture's logits and greedy text.

use hearth_core::sampling::SamplingParams;

use crate::fixture::{Expected, NEW, answer, greedy, ids, load, names};

/// The largest difference between two lists, as a share of the largest number of the second.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let apart = found.iter().zip(expected).fold(0.0_f32, |apart, (a, b)| apart.max((a - b).abs()));
    apart / largest
}

/// Compares one pass over the prompt with mlx-lm's, at the fixture's positions.
fn check_logits(name: &str, chunk: usize, tolerance: f32) {
    let expected = Expected::of(name);
    let found = load(name).logits(&expected.prompt, chunk).expect("logits");
    let vocab = expected.logits[0].len();
    for (&position, expected) in expected.positions.iter().zip(&expected.logits) {
        let found = &found[position as usize * vocab..][..vocab];
        let apart = difference(found, expected);
        assert!(apart <= tolerance, "{name}, chunks of {chunk}, position {position}: logits differ by {apart}");
    }
}

fn check_greedy(name: &str, chunk: usize) {
    let expected = Expected::of(name);
    assert_eq!(expected.greedy.len(), NEW);
    let found = answer(&mut load(name), &expected.prompt, chunk, NEW, &greedy());
    assert_eq!(ids(&found), expected.greedy, "{name}, chunks of {chunk}");
}

#[test]
fn float32_logits_are_those_of_mlx_lm() {
    names("f32").iter().for_each(|name| check_logits(name, usize::MAX, 1e-4));
}

#[test]
fn a_prompt_in_chunks_gives_the_logits_of_one_pass() {
    for name in names("f32") {
        [1, 7, 32].into_iter().for_each(|chunk| check_logits(&name, chunk, 1e-4));
    }
}

/// A finished prompt goes through the last layer with one token only; that token must not notice.
#[test]
fn the_token_after_a_prompt_is_drawn_from_the_logits_of_one_pass() {
    for name in names("f32") {
        let expected = Expected::of(&name);
        let logits = expected.logits.last().expect("the last position");
        let total: f32 = logits.iter().map(|logit| logit.exp()).sum();
        for chunk in [usize::MAX, 1, 7, 32] {
            let params = SamplingParams { logprobs: Some(0), ..greedy() };
            let first = answer(&mut load(&name), &expected.prompt, chunk, 1, &params).remove(0);
            let found = first.logprobs.expect("a log-probability").chosen;
            let right = logits[first.token as usize] - total.ln();
            assert!(
                (found - right).abs() <= 1e-4 * right.abs().max(1.0),
                "{name}, chunks of {chunk}: {found}, not {right}"
            );
        }
    }
}

#[test]
fn float32_greedy_text_is_that_of_mlx_lm_whatever_the_chunks() {
    for name in names("f32") {
        [usize::MAX, 1, 7, 32].into_iter().for_each(|chunk| check_greedy(&name, chunk));
    }
}

/// bfloat16 has 8 bits: sums in another order differ in the last of them, layer after layer.
#[test]
fn bfloat16_logits_are_close_to_those_of_mlx_lm() {
    for name in names("bf16") {
        [usize::MAX, 7].into_iter().for_each(|chunk| check_logits(&name, chunk, 0.05));
    }
}

/// The scales are float32 here, so the sums are too.
#[test]
fn quantized_logits_and_greedy_text_are_those_of_mlx_lm() {
    for name in names("4bit") {
        [usize::MAX, 7].into_iter().for_each(|chunk| check_logits(&name, chunk, 1e-4));
        check_greedy(&name, 7);
    }
}
