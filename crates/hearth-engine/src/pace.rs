//! How long the device's work takes, learned from the work itself, and from that how many prompt tokens a step may hold.
//!
//! A step costs one pass over the weights, which is about what decoding alone costs, and a time for each prompt token. It
//! returns when the work of the step *before* it is complete (see [`hearth_core::runner`]), so the time between two returns
//! is the earlier step's.

use std::time::{Duration, Instant};

use hearth_core::cache::LARGEST_FEED;

/// How long a prompt's chunk may hold up those who decode.
const BESIDE_DECODE: Duration = Duration::from_millis(150);
/// ... or so many of their own steps, where these are slow.
const BESIDE_DECODE_STEPS: f64 = 2.0;
/// How long a chunk may take while nobody decodes: a cancelled request is noticed after it.
const ALONE: Duration = Duration::from_millis(500);
/// Below so many tokens a pass costs as much as a longer one, because every weight is read for it.
pub(crate) const SMALLEST_CHUNK: usize = 32;
/// The same while nobody decodes: on a long history a pass also reads all of its keys and values, and a conversation's next
/// turn is often no longer than this.
const SMALLEST_ALONE: usize = 64;
/// More tokens at a time are no faster. A rest of a quarter goes along.
pub(crate) const LARGEST_CHUNK: usize = LARGEST_FEED / 5 * 4;
/// The chunk while nothing has been measured.
const FIRST_CHUNK: usize = 64;
/// Chunks are multiples of this, which suits matrix kernels.
const GRAIN: usize = 8;
/// Where attention costs about as much as all the rest: a token at this position counts twice.
const CONTEXT_DOUBLES: f64 = 8192.0;

/// The work of steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Work {
    /// Whether the weights are passed over at all.
    pass: bool,
    /// Prompt tokens, weighted by their position.
    tokens: f64,
}

impl Work {
    /// A sequence decodes: one pass, however many there are.
    pub(crate) fn add_decode(&mut self) {
        self.pass = true;
    }

    /// A chunk of `tokens` that begins at `position` of its prompt.
    pub(crate) fn add_chunk(&mut self, position: usize, tokens: usize) {
        self.pass = true;
        self.tokens += tokens as f64 * weight(position, tokens);
    }
}

fn weight(position: usize, tokens: usize) -> f64 {
    1.0 + (position as f64 + tokens as f64 / 2.0) / CONTEXT_DOUBLES
}

/// After so many prompt tokens, what was learned before counts half.
const HALF_LIFE: f64 = 128.0;

/// What has been learned.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Seconds of a step that only decodes.
    pass: Option<f64>,
    /// Prompt tokens seen of late, and the seconds that they added to their steps.
    tokens: f64,
    seconds: f64,
    /// When the last step returned, and what it queued.
    since: Option<(Instant, Work)>,
}

impl Pace {
    /// How many prompt tokens, the first at `position`, the next step may hold.
    pub(crate) fn chunk(&self, position: usize, decoding: bool) -> usize {
        if self.tokens == 0.0 {
            return FIRST_CHUNK;
        }
        let token = self.seconds / self.tokens * weight(position, 0);
        let tokens = self.target(decoding) / token.max(f64::MIN_POSITIVE);
        let tokens = tokens.min(LARGEST_CHUNK as f64) as usize;
        (tokens / GRAIN * GRAIN).max(if decoding { SMALLEST_CHUNK } else { SMALLEST_ALONE })
    }

    /// Seconds that prompt tokens may add to the next step.
    fn target(&self, decoding: bool) -> f64 {
        let pass = self.pass.unwrap_or(0.0);
        if decoding {
            return BESIDE_DECODE.as_secs_f64().max(pass * BESIDE_DECODE_STEPS);
        }
        let alone = ALONE.as_secs_f64();
        (alone - pass).max(alone / 4.0)
    }

    /// The device had nothing to do until `now`.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.since = Some((now, Work::default()));
    }

    /// A step returned at `now` and has queued `work`.
    pub(crate) fn returned(&mut self, now: Instant, work: Work) {
        if let Some((before, earlier)) = self.since.replace((now, work)) {
            self.learn(earlier, now.saturating_duration_since(before).as_secs_f64());
        }
    }

    /// `work` has taken so many seconds.
    fn learn(&mut self, work: Work, seconds: f64) {
        if work.tokens > 0.0 {
            self.learn_tokens(work.tokens, seconds - self.pass.unwrap_or(0.0));
        } else if work.pass {
            self.learn_pass(seconds);
        }
    }

    fn learn_pass(&mut self, seconds: f64) {
        self.pass = Some(self.pass.map_or(seconds, |pass| pass + (seconds - pass) * 0.3));
    }

    fn learn_tokens(&mut self, tokens: f64, seconds: f64) {
        let keep = 0.5_f64.powf(tokens / HALF_LIFE);
        self.tokens = self.tokens * keep + tokens;
        self.seconds = (self.seconds * keep + seconds).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(tokens: usize) -> Work {
        let mut work = Work::default();
        work.add_chunk(0, tokens);
        work
    }

    fn decode() -> Work {
        let mut work = Work::default();
        work.add_decode();
        work
    }

    /// A device that takes `pass` seconds a pass and `token` seconds a prompt token.
    struct Device {
        pace: Pace,
        now: Instant,
        pass: f64,
        token: f64,
        /// Seconds of what was queued last.
        queued: f64,
    }

    impl Device {
        fn new(pass: f64, token: f64) -> Self {
            let mut pace = Pace::default();
            let now = Instant::now();
            pace.resumed(now);
            Self { pace, now, pass, token, queued: 0.0 }
        }

        fn step(&mut self, work: Work) {
            let own = if work.pass { self.pass } else { 0.0 } + self.token * work.tokens;
            self.now += Duration::from_secs_f64(std::mem::replace(&mut self.queued, own));
            self.pace.returned(self.now, work);
        }

        /// A prompt's chunks, of the sizes that are asked for, then a few steps that decode; the last full chunk.
        fn prefill(&mut self, prompt: usize, decoding: bool) -> usize {
            let (mut left, mut size) = (prompt, 0);
            while left > 0 {
                size = self.pace.chunk(0, decoding);
                self.step(chunk(size.min(left)));
                left -= size.min(left);
            }
            for _ in 0..4 {
                self.step(decode());
            }
            size
        }
    }

    #[test]
    fn a_chunk_takes_the_time_that_it_may_take() {
        let cases = [
            // (seconds a token, seconds a pass, beside decoding, smallest, largest)
            (1.0 / 400.0, 0.0, false, 168, 200),
            (1.0 / 400.0, 0.04, true, 48, 64),
            (1.0 / 30_000.0, 0.001, false, 512, 512),
            (1.0 / 2_000.0, 0.02, true, 256, 320),
            (1.0, 0.1, false, 64, 64),
            (1.0, 0.1, true, 32, 32),
            (1.0 / 400.0, 0.05, false, 144, 184),
            (0.0, 0.0, false, 512, 512),
        ];
        for (token, pass, decoding, smallest, largest) in cases {
            let mut device = Device::new(pass, token);
            for prompt in [20, 1500, 700, 64, 1500] {
                device.prefill(prompt, decoding);
            }
            let size = device.prefill(1500, decoding);
            assert!((smallest..=largest).contains(&size), "{token} s, {pass} s, {decoding}: {size}");
        }
    }

    #[test]
    fn short_prompts_do_not_make_the_next_chunk_too_long() {
        let mut device = Device::new(0.04, 0.0025);
        for _ in 0..20 {
            device.prefill(20, true);
        }
        assert!((48..=56).contains(&device.pace.chunk(0, true)), "{}", device.pace.chunk(0, true));
    }

    #[test]
    fn chunks_shrink_with_the_context_and_recover_from_a_slow_start() {
        let mut device = Device::new(0.0, 0.1);
        device.prefill(100, false);
        assert_eq!(device.pace.chunk(0, false), SMALLEST_ALONE);
        device.token = 0.001;
        assert!(device.prefill(2000, false) >= 200);
        assert!(device.pace.chunk(8192, false) <= device.pace.chunk(0, false) * 6 / 10);
    }

    #[test]
    fn chunks_of_changing_sizes_are_learned_right() {
        let mut device = Device::new(0.0, 0.0005);
        for size in [512, 32, 512, 32, 512, 32] {
            device.step(chunk(size));
            device.step(decode());
            assert!((288..=296).contains(&device.pace.chunk(0, true)), "{}", device.pace.chunk(0, true));
        }
    }

    #[test]
    fn idle_time_is_nobodys() {
        let mut device = Device::new(0.0, 0.0005);
        for _ in 0..5 {
            device.prefill(128, false);
            device.now += Duration::from_secs(3600);
            device.pace.resumed(device.now);
            device.queued = 0.0;
        }
        assert!((480..=512).contains(&device.pace.chunk(0, false)), "{}", device.pace.chunk(0, false));
    }
}
