//! Scenarios on a device of known speed: who is in which step, and when each request gets its first token.

use std::collections::HashMap;
use std::time::Duration;

use super::*;

/// Drives a scheduler as the device loop does, with a clock that the work moves on.
struct Device {
    scheduler: Scheduler,
    now: Instant,
    start: Instant,
    /// Seconds of a pass over the weights, of a prompt token, of a decoding sequence.
    cost: (f64, f64, f64),
    /// The time that the work which the last step queued will take.
    queued: Duration,
    /// When each request's tokens came.
    tokens: HashMap<RequestId, Vec<Duration>>,
    ended: Vec<(RequestId, End)>,
    /// Prompt tokens and decoding sequences of each step.
    steps: Vec<(usize, usize)>,
}

impl Device {
    fn new(slots: usize, cost: (f64, f64, f64)) -> Self {
        let start = Instant::now();
        Self {
            scheduler: Scheduler::new(slots, false),
            now: start,
            start,
            cost,
            queued: Duration::ZERO,
            tokens: HashMap::new(),
            ended: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn add(&mut self, id: RequestId, prompt: usize, max_tokens: usize) {
        self.scheduler.add(id, task(prompt, max_tokens), self.now);
    }

    /// Gives slots to those whose turn it is.
    fn begin(&mut self) {
        while let Some(id) = self.scheduler.next().map(|(sequence, _)| sequence.id) {
            self.scheduler.begin(id, 0);
        }
    }

    /// One step, in which every sampled token is `token`.
    fn step_with(&mut self, token: u32) -> Outcome {
        self.begin();
        let plan = self.scheduler.schedule();
        let segments = self.scheduler.segments(&plan);
        let mut prompt = 0;
        let mut sampled = Vec::new();
        for segment in &segments {
            match segment.feed {
                Feed::Prompt { tokens, .. } => prompt += tokens.len(),
                _ => sampled.push(segment.slot),
            }
        }
        let tokens =
            segments.iter().map(|segment| sampled.contains(&segment.slot).then_some(Sampled { token, logprobs: None }));
        let tokens = tokens.collect();
        // The step returns when the work before it is done.
        self.now += self.queued;
        let (pass, per_token, per_decode) = self.cost;
        let seconds = pass + per_token * prompt as f64 + per_decode * sampled.len() as f64;
        self.queued = Duration::from_secs_f64(seconds);
        self.steps.push((prompt, sampled.len()));
        self.scheduler.postprocess(&plan, tokens, self.now)
    }

    fn step(&mut self) {
        let outcome = self.step_with(7);
        let at = self.now - self.start;
        for update in outcome.updates {
            self.tokens.entry(update.id).or_default().push(at);
            self.ended.extend(update.end.map(|end| (update.id, end)));
        }
    }

    fn run(&mut self) {
        self.run_until(|device| device.scheduler.is_empty());
    }

    fn run_until(&mut self, over: impl Fn(&Self) -> bool) {
        while !over(self) {
            self.step();
        }
    }

    fn first(&self, id: RequestId) -> f64 {
        self.tokens[&id][0].as_secs_f64()
    }

    fn longest_gap(&self, id: RequestId) -> f64 {
        let gaps = self.tokens[&id].windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        gaps.fold(0.0, f64::max)
    }
}

fn task(prompt: usize, max_tokens: usize) -> Generate {
    let (stop_tokens, sampling) = (vec![0], Default::default());
    Generate { prompt: vec![1; prompt], max_tokens, stop_tokens, sampling, session: None, takes_over: false }
}

/// A hundred million parameters on a processor: 400 prompt tokens a second, 26 steps a second.
const CPU: (f64, f64, f64) = (0.036, 0.0024, 0.002);
/// A tiny model.
const TINY: (f64, f64, f64) = (0.0005, 0.000_03, 0.000_02);

#[test]
fn every_request_gets_the_tokens_that_it_may_have() {
    let mut device = Device::new(2, TINY);
    for (id, max_tokens) in [(1, 1), (2, 2), (3, 5), (4, 1)] {
        device.add(id, 10, max_tokens);
    }
    device.run();
    for (id, max_tokens) in [(1, 1), (2, 2), (3, 5), (4, 1)] {
        assert_eq!(device.tokens[&id].len(), max_tokens, "{id}");
    }
    assert!(device.ended.iter().all(|(_, end)| *end == End::Length));
    assert_eq!(device.ended.len(), 4);
}

#[test]
fn a_stop_token_ends_the_answer_and_is_its_last_token() {
    let mut device = Device::new(1, TINY);
    device.add(1, 3, 100);
    assert!(device.step_with(7).updates.is_empty(), "the prompt's step brings nothing");
    assert_eq!(device.step_with(7).updates[0].end, None);
    let outcome = device.step_with(0);
    assert_eq!((outcome.updates[0].end.as_ref(), outcome.ended.len()), (Some(&End::Stop), 1));
    assert_eq!(outcome.ended[0].tokens, [1, 1, 1, 7, 0], "all that was fed");
    assert_eq!(outcome.updates[0].sampled.as_ref().map(|sampled| sampled.token), Some(0));
    assert!(device.scheduler.is_empty());
}

#[test]
fn the_last_token_is_only_read() {
    let mut device = Device::new(1, TINY);
    device.add(1, 3, 2);
    device.step();
    let feed = |device: &Device| device.scheduler.segments(&device.scheduler.schedule())[0].feed == Feed::Last;
    assert!(!feed(&device));
    device.step();
    assert!(feed(&device));
}

#[test]
fn decoders_are_in_every_step_and_their_gaps_are_bounded() {
    let mut device = Device::new(8, CPU);
    device.add(1, 64, 400);
    for _ in 0..50 {
        device.step();
    }
    device.add(2, 1000, 50);
    device.run();
    assert!(device.longest_gap(1) < 0.25, "{}", device.longest_gap(1));
    let prefill: Vec<_> = device.steps.iter().filter(|(prompt, _)| *prompt > 0).skip(1).collect();
    assert!(prefill.iter().all(|(_, decodes)| *decodes == 1), "{prefill:?}");
    assert!(device.first(2) < 8.0, "and the prompt comes to its end: {}", device.first(2));
}

#[test]
fn short_prompts_beside_a_long_one_do_not_wait_for_it() {
    let mut device = Device::new(16, CPU);
    device.add(1, 500, 20);
    for id in 2..9 {
        device.add(id, 20, 20);
    }
    device.run();
    for id in 2..9 {
        // Padding them to 500 tokens costs eight times that prompt.
        assert!(device.first(id) < 8.0 * 500.0 * CPU.1 / 10.0, "{id}: {}", device.first(id));
    }
    assert!(device.first(1) < 4.0, "{}", device.first(1));
}

#[test]
fn a_long_prompt_does_not_starve_behind_a_stream_of_short_ones() {
    let mut device = Device::new(4, CPU);
    device.add(0, 600, 1);
    for id in 1.. {
        if device.tokens.contains_key(&0) {
            break;
        }
        assert!(id < 200, "starved");
        device.add(id, 100, 1);
        device.step();
    }
}

#[test]
fn a_second_stream_starts_in_the_next_step() {
    let mut device = Device::new(4, TINY);
    device.add(1, 20, 1000);
    for _ in 0..100 {
        device.step();
    }
    device.add(2, 20, 10);
    device.step();
    device.step();
    assert_eq!(device.tokens[&2].len(), 1);
}

#[test]
fn chunks_follow_the_time_they_take() {
    let mut fast = Device::new(1, TINY);
    fast.add(1, 4096, 1);
    fast.run();
    assert_eq!(fast.steps.iter().map(|(prompt, _)| *prompt).max(), Some(512));
    let mut slow = Device::new(2, (0.1, 0.02, 0.01));
    slow.add(1, 16, 300);
    slow.add(2, 1024, 1);
    slow.run();
    let late: Vec<_> = slow.steps.iter().skip(8).map(|(prompt, _)| *prompt).filter(|prompt| *prompt > 0).collect();
    assert!(late.iter().all(|prompt| *prompt <= 40), "{late:?}");
}

#[test]
fn a_small_rest_is_not_left_for_a_step_of_its_own() {
    let mut device = Device::new(1, TINY);
    device.add(1, 75, 1);
    device.run();
    assert_eq!(device.steps[0].0, 75);
}

#[test]
fn more_requests_than_slots_wait_in_order() {
    let mut device = Device::new(2, TINY);
    for id in 0..6 {
        device.add(id, 10, 3);
    }
    device.run();
    let order: Vec<_> = device.ended.iter().map(|(id, _)| *id).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    assert!(device.steps.iter().all(|(prompt, decodes)| prompt / 10 + decodes <= 2), "{:?}", device.steps);
}

#[test]
fn a_removed_request_leaves_its_slot_to_the_next() {
    let mut device = Device::new(1, TINY);
    device.add(1, 2000, 10);
    device.add(2, 10, 1);
    device.add(3, 10, 1);
    device.step();
    assert_eq!(device.scheduler.remove(2), None, "it has no slot yet");
    let left = device.scheduler.remove(1).expect("it runs");
    assert_eq!((left.slot, left.tokens.len()), (0, 64), "in the middle of its prompt");
    assert_eq!(device.scheduler.remove(1), None);
    device.run();
    assert_eq!(device.ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_failed_step_ends_those_in_it() {
    let mut device = Device::new(4, CPU);
    device.add(1, 10, 10);
    device.add(2, 10, 10);
    device.step();
    device.add(3, 10, 10);
    let plan = device.scheduler.schedule();
    let outcome = device.scheduler.fail(&plan, &Error::internal("no memory"), device.now);
    let ended: Vec<_> = outcome.updates.iter().map(|update| (update.id, update.end.is_some())).collect();
    assert_eq!((ended, outcome.failed), (vec![(1, true), (2, true)], vec![0, 1]));
    device.run();
    assert_eq!(device.tokens[&3].len(), 10);
}

#[test]
fn a_runner_that_owes_a_token_is_an_error_not_a_panic() {
    let mut device = Device::new(1, TINY);
    device.add(1, 10, 10);
    device.step();
    let plan = device.scheduler.schedule();
    let outcome = device.scheduler.postprocess(&plan, vec![None], device.now);
    assert!(matches!(outcome.updates[0].end, Some(End::Failed(_))));
}

#[test]
fn the_budget_is_shared_shortest_first_with_a_quarter_for_the_oldest() {
    let cases: [(&[usize], usize, &[usize]); 6] = [
        (&[500], 100, &[100]),
        (&[120], 100, &[120]),
        (&[500, 20, 20], 100, &[60, 20, 20]),
        (&[500, 40, 60, 20], 100, &[25, 40, 15, 20]),
        (&[10, 500], 100, &[10, 90]),
        (&[3, 3], 100, &[3, 3]),
    ];
    for (prompts, budget, expected) in cases {
        let mut prompts: Vec<_> =
            prompts.iter().enumerate().map(|(index, &left)| Prompt { index, left, most: left, take: 0 }).collect();
        share(&mut prompts, budget);
        assert_eq!(prompts.iter().map(|prompt| prompt.take).collect::<Vec<_>>(), expected, "{budget}");
    }
}

#[test]
fn chunks_end_at_marks() {
    let mut scheduler = Scheduler::new(2, true);
    let now = Instant::now();
    scheduler.add(1, task(1100, 1), now);
    scheduler.begin(1, 1000);
    assert!(!scheduler.ask_mark(0, 900), "that is in the past");
    assert!(scheduler.ask_mark(0, 1010));
    let mut marked = Vec::new();
    while marked.last() != Some(&1084) {
        let plan = scheduler.schedule();
        let outcome = scheduler.postprocess(&plan, vec![None], now);
        marked.extend(outcome.fed.iter().filter(|fed| fed.mark).map(|fed| fed.held));
    }
    assert_eq!(marked, [1010, 1024, 1084]);
}

#[test]
fn who_waits_for_a_prefix_or_a_file_is_passed_and_keeps_its_place() {
    let mut scheduler = Scheduler::new(1, false);
    let now = Instant::now();
    (1..=4).for_each(|id| scheduler.add(id, task(10, 1), now));
    let next = |scheduler: &Scheduler| scheduler.next().map(|(sequence, _)| sequence.id);
    let file = crate::disk_tier::FileName::of("model", &[1]);
    scheduler.hold(1, Hold::Prefix(0, 5));
    scheduler.want(2, file, now);
    scheduler.hold(2, Hold::File(file));
    assert_eq!((next(&scheduler), scheduler.wants(file)), (Some(3), true));
    scheduler.hold(3, Hold::Memory);
    assert_eq!(next(&scheduler), None, "nobody passes who waits for memory");
    assert!(scheduler.is_idle(), "and there is nothing to do but wait");
    scheduler.release(|hold| hold == Hold::File(file));
    assert_eq!(next(&scheduler), Some(2));
    scheduler.begin(2, 0);
    scheduler.remove(2);
    assert_eq!(next(&scheduler), Some(1), "the slot for whose prefix it waited is closed");
}

#[test]
fn a_prefix_is_waited_for_until_it_is_there() {
    let mut scheduler = Scheduler::new(2, false);
    let now = Instant::now();
    scheduler.add(1, task(100, 1), now);
    scheduler.begin(1, 0);
    scheduler.add(2, task(100, 1), now);
    scheduler.hold(2, Hold::Prefix(0, 90));
    for fed in [64, 100] {
        assert!(scheduler.next().is_none());
        let plan = scheduler.schedule();
        let outcome = scheduler.postprocess(&plan, vec![None], now);
        assert_eq!(outcome.fed[0].held, fed);
    }
    assert_eq!(scheduler.next().map(|(sequence, _)| (sequence.id, sequence.waits)), Some((2, 1)));
}

#[test]
fn filling_waits_for_idle_time_and_gives_way() {
    let mut device = Device::new(4, TINY);
    device.add(1, 10, 1);
    device.add(2, 2000, 0);
    device.run_until(|device| device.ended.len() == 1);
    assert_eq!(device.steps.iter().map(|(prompt, _)| *prompt).max(), Some(10), "the request first");
    device.step();
    device.add(3, 10, 1);
    let left = device.scheduler.yield_fill().expect("it runs");
    assert_eq!(left.tokens.len(), device.steps.last().unwrap().0);
    assert!(device.scheduler.yield_fill().is_none());
    device.run();
    assert_eq!(device.ended, [(1, End::Length), (3, End::Length), (2, End::Stop)]);
    assert_eq!(device.tokens[&2].len(), 1, "its only update is its end");
}
