//! What the engine may rely on at the seam: which token a segment reports, and that mistakes are errors.

use hearth_core::{
    ErrorKind,
    runner::{Feed, Runner, Sampled, Segment},
    sampling::SamplingParams,
};

use crate::fixture::{Expected, answer, greedy, load, start, step};

const NAME: &str = "qwen3-f32";

fn token(sampled: &Option<Sampled>) -> u32 {
    sampled.as_ref().expect("a token").token
}

#[test]
fn a_segment_reports_the_token_that_it_feeds() {
    let expected = Expected::of(NAME);
    let mut runner = load(NAME);
    start(&mut runner, 3, &expected.prompt, 16, &greedy());
    assert_eq!(token(&step(&mut runner, &[(3, Feed::Sampled)])[0]), expected.greedy[0]);
    assert_eq!(token(&step(&mut runner, &[(3, Feed::Sampled)])[0]), expected.greedy[1]);
    assert_eq!(token(&step(&mut runner, &[(3, Feed::Last)])[0]), expected.greedy[2]);
}

#[test]
fn a_sequence_may_rest_while_others_go_on() {
    let expected = Expected::of(NAME);
    let mut runner = load(NAME);
    for slot in [0, 1] {
        start(&mut runner, slot, &expected.prompt, 64, &greedy());
    }
    for place in 0..3 {
        assert_eq!(token(&step(&mut runner, &[(1, Feed::Sampled)])[0]), expected.greedy[place]);
    }
    let both = step(&mut runner, &[(0, Feed::Sampled), (1, Feed::Sampled)]);
    assert_eq!([token(&both[0]), token(&both[1])], [expected.greedy[0], expected.greedy[3]]);
    let both = step(&mut runner, &[(1, Feed::Last), (0, Feed::Sampled)]);
    assert_eq!([token(&both[0]), token(&both[1])], [expected.greedy[4], expected.greedy[1]]);
}

#[test]
fn a_closed_slot_can_be_opened_again_at_any_time() {
    let expected = Expected::of(NAME);
    let mut runner = load(NAME);
    start(&mut runner, 0, &expected.prompt[..9], 4, &greedy());
    runner.close(0);
    let again = answer(&mut runner, &expected.prompt, 64, 3, &greedy());
    assert_eq!(again.iter().map(|sampled| sampled.token).collect::<Vec<_>>(), expected.greedy[..3]);
    runner.close(7);
}

#[test]
fn logprobs_are_reported_to_those_who_ask() {
    let expected = Expected::of(NAME);
    let mut runner = load(NAME);
    start(&mut runner, 0, &expected.prompt, 64, &SamplingParams { logprobs: Some(2), ..greedy() });
    start(&mut runner, 1, &expected.prompt, 64, &greedy());
    let both = step(&mut runner, &[(0, Feed::Sampled), (1, Feed::Sampled)]);
    let logprobs = both[0].as_ref().and_then(|sampled| sampled.logprobs.clone()).expect("log-probabilities");
    let last = expected.logits.last().expect("the last position's logits");
    let total: f32 = last.iter().map(|logit| logit.exp()).sum();
    let chosen = last[expected.greedy[0] as usize] - total.ln();
    assert!((logprobs.chosen - chosen).abs() < 1e-3, "{} is not {chosen}", logprobs.chosen);
    assert_eq!(logprobs.top.len(), 2);
    assert_eq!(logprobs.top[0], (expected.greedy[0], logprobs.chosen));
    assert_eq!(both[1].as_ref().expect("a token").logprobs, None);
}

#[test]
fn mistakes_are_errors_and_harm_nobody() {
    let expected = Expected::of(NAME);
    let mut runner = load(NAME);
    start(&mut runner, 0, &expected.prompt, 64, &greedy());
    runner.open(1, &greedy(), None).expect("a free slot");
    let outside = Feed::Prompt { tokens: &[1, 160], last: true };
    let cases: &[(&[(u32, Feed<'_>)], &str)] = &[
        (&[(5, Feed::Sampled)], "slot 5 is not open"),
        (&[(0, Feed::Sampled), (0, Feed::Sampled)], "slot 0 is in the batch twice"),
        (&[(0, Feed::Sampled), (1, Feed::Sampled)], "slot 1 has sampled nothing yet"),
        (&[(1, Feed::Last)], "slot 1 has sampled nothing yet"),
        (&[(1, Feed::Prompt { tokens: &[], last: true })], "a prompt's chunk is empty"),
        (&[(0, Feed::Sampled), (1, outside)], "token 160 is outside the model's vocabulary of 160"),
    ];
    for (feeds, message) in cases {
        let mut batch: Vec<_> = feeds.iter().map(|&(slot, feed)| Segment { slot, feed, sampled: None }).collect();
        assert_eq!(runner.step(&mut batch).expect_err(message).message, *message);
    }
    let twice = runner.open(0, &greedy(), None).expect_err("an open slot");
    assert_eq!((twice.kind, twice.message.as_str()), (ErrorKind::Internal, "slot 0 is open already"));
    assert_eq!(token(&step(&mut runner, &[(0, Feed::Last)])[0]), expected.greedy[0]);
}
