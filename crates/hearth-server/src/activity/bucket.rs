//! Ten seconds of activity in sums, and the hour of them that is kept.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::report::{rounded, speed};

/// Seconds of a bucket.
pub(crate) const SECONDS: u64 = 10;

const HOUR_MS: u64 = 3_600_000;

/// What happened in ten seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Bucket {
    /// When they began, in milliseconds since 1970.
    at: u64,
    requests: usize,
    failed: usize,
    prompt_tokens: usize,
    cached_tokens: usize,
    completion_tokens: usize,
    /// The mean of those that ended.
    first_token_ms: Option<f64>,
    decode_tokens_per_second: Option<f64>,
    /// Bytes of each model, when this was last looked at.
    memory: BTreeMap<String, u64>,
    #[serde(skip)]
    sums: Sums,
}

/// What is to be added. Requests count when they end, tokens of answers as they come.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) requests: usize,
    pub(super) failed: usize,
    pub(super) prompt_tokens: usize,
    pub(super) cached_tokens: usize,
    pub(super) completion_tokens: usize,
    /// Milliseconds to the first tokens, and of how many requests.
    pub(super) first_token_ms: f64,
    pub(super) first_tokens: usize,
    /// Tokens after the first ones, and the milliseconds they took.
    pub(super) decoded: usize,
    pub(super) decode_ms: f64,
}

/// The buckets of the last hour, the oldest first.
#[derive(Default)]
pub(super) struct Buckets(VecDeque<Bucket>);

impl Buckets {
    pub(super) fn add(&mut self, now: u64, sums: &Sums, memory: BTreeMap<String, u64>) {
        let at = now - now % (SECONDS * 1000);
        // A clock that was set back goes on in the bucket that there is.
        if self.0.back().is_none_or(|last| last.at < at) {
            self.0.push_back(Bucket { at, ..Bucket::default() });
            self.forget(now);
        }
        if let Some(last) = self.0.back_mut() {
            last.add(sums);
            last.memory = memory;
        }
    }

    pub(super) fn of_the_last_hour(&mut self, now: u64) -> Vec<Bucket> {
        self.forget(now);
        self.0.iter().cloned().collect()
    }

    fn forget(&mut self, now: u64) {
        self.0.retain(|bucket| bucket.at + HOUR_MS > now);
    }
}

impl Bucket {
    fn add(&mut self, sums: &Sums) {
        self.requests += sums.requests;
        self.failed += sums.failed;
        self.prompt_tokens += sums.prompt_tokens;
        self.cached_tokens += sums.cached_tokens;
        self.completion_tokens += sums.completion_tokens;
        let own = &mut self.sums;
        own.first_token_ms += sums.first_token_ms;
        own.first_tokens += sums.first_tokens;
        own.decoded += sums.decoded;
        own.decode_ms += sums.decode_ms;
        self.first_token_ms = (own.first_tokens > 0).then(|| rounded(own.first_token_ms / own.first_tokens as f64));
        self.decode_tokens_per_second = speed(own.decoded, own.decode_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_go_to_their_ten_seconds_and_are_gone_after_an_hour() {
        let mut buckets = Buckets::default();
        let sums =
            Sums { requests: 1, first_token_ms: 30.0, first_tokens: 1, decoded: 4, decode_ms: 40.0, ..Sums::default() };
        buckets.add(25_000, &sums, BTreeMap::new());
        let slower = Sums { first_token_ms: 50.0, decode_ms: 160.0, ..sums.clone() };
        buckets.add(29_999, &slower, BTreeMap::from([("m".to_owned(), 7)]));
        buckets.add(30_000, &Sums { completion_tokens: 5, ..Sums::default() }, BTreeMap::new());
        buckets.add(12_000, &Sums { completion_tokens: 1, ..Sums::default() }, BTreeMap::new());
        let found = buckets.of_the_last_hour(31_000);
        assert_eq!(found.iter().map(|bucket| bucket.at).collect::<Vec<_>>(), [20_000, 30_000]);
        assert_eq!((found[0].requests, found[0].first_token_ms), (2, Some(40.0)));
        assert_eq!((found[0].decode_tokens_per_second, found[0].memory["m"]), (Some(40.0), 7));
        assert_eq!((found[1].completion_tokens, found[1].first_token_ms), (6, None));
        assert_eq!(buckets.of_the_last_hour(20_000 + HOUR_MS).len(), 1);
    }
}
