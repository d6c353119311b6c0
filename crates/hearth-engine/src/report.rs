//! What an answer says of itself: what of its prompt was found in the worker's caches, why no more, and where the time
//! went.
//!
//! Times are taken where things happen: waiting in the worker, by the worker; everything else when its update is
//! routed. So a client that reads slowly does not make the model look slow.

use std::sync::Arc;
use std::time::Duration;

use hearth_core::chat::ChatRequest;
use hearth_core::event::{AnswerReport, Miss, MissReason, Timings};
use hearth_core::task::{CacheSource, Reuse};
use hearth_text::{Prompt, Tokenizer};
use tokio::time::Instant;

use crate::pool::Routed;
use crate::sessions::Claim;

/// A cache that can be cut anywhere is given up, where so many shared tokens are not in store; a few less are nothing.
const LOST: usize = 32;
/// Where caches can be cut at some lengths alone, they are this far apart.
const BETWEEN_CUTS: usize = 1024;
/// The end of an answer may be cached in another form than the next prompt has it.
const LOOSE_END: usize = 2;

/// One run of a request, as far as it has come.
pub(crate) struct Course {
    /// When it was handed over.
    started: Instant,
    /// When a loaded worker had it.
    begun: Option<Instant>,
    /// When it got its slot.
    opened: Option<Instant>,
    first: Option<Instant>,
    last: Option<Instant>,
    reuse: Reuse,
}

impl Course {
    pub(crate) fn begin() -> Self {
        Self { started: Instant::now(), begun: None, opened: None, first: None, last: None, reuse: Reuse::default() }
    }

    /// Takes note of an update.
    pub(crate) fn see(&mut self, routed: &mut Routed) {
        let Routed { at, begun, update } = routed;
        self.begun.get_or_insert(*begun);
        if let Some(reuse) = update.opened.take() {
            self.reuse = *reuse;
            // Together with its first token it tells nothing of the time between.
            self.opened = Some(*at).filter(|_| update.sampled.is_none());
        }
        if update.sampled.is_some() {
            self.first.get_or_insert(*at);
            self.last = Some(*at);
        }
    }

    /// Tokens of the prompt that were found.
    pub(crate) fn cached_tokens(&self) -> usize {
        self.reuse.matched
    }

    /// The times, after `loading` before the run began.
    fn timings(&self, loading: Duration) -> Timings {
        let begun = self.begun.unwrap_or(self.started);
        let Reuse { queue_ms, restore_ms, .. } = self.reuse;
        let first = self.first.unwrap_or(begun);
        let prefill = match self.opened {
            Some(opened) => ms(first.saturating_duration_since(opened)),
            None => (ms(first.saturating_duration_since(begun)) - queue_ms - restore_ms).max(0.0),
        };
        Timings {
            queue_ms,
            load_ms: ms(loading + begun.saturating_duration_since(self.started)),
            restore_ms,
            prefill_ms: prefill,
            decode_ms: self.last.map_or(0.0, |last| ms(last.saturating_duration_since(first))),
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What is to be answered, as far as the answers and their report need to know.
pub(crate) struct Subject {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) prompt: Prompt,
    /// The request that the prompt is of.
    pub(crate) request: Arc<ChatRequest>,
    /// Whether tools are on offer, which stand in front of the messages.
    pub(crate) tools: bool,
    pub(crate) cuts_anywhere: bool,
    pub(crate) expected: Expected,
    /// How long the model was waited for.
    pub(crate) loading: Duration,
}

impl Subject {
    /// The report on a run; what the session makes of it is yet to be known.
    pub(crate) fn report(&self, course: &Course) -> AnswerReport {
        AnswerReport {
            session: None,
            source: if course.reuse.matched > 0 { course.reuse.source } else { CacheSource::None },
            matched_tokens: course.reuse.matched,
            miss: self.miss(&course.reuse),
            timings: course.timings(self.loading),
        }
    }

    /// Why no more was found; `None` where all that could be expected was.
    fn miss(&self, reuse: &Reuse) -> Option<Miss> {
        let expected = &self.expected;
        // One token of a prompt is always computed.
        let most = self.prompt.tokens.len().saturating_sub(1);
        if reuse.matched >= most && most > 0 {
            return None;
        }
        let shared = reuse.shared.max(reuse.matched).min(most);
        let lost = shared.saturating_sub(reuse.in_store.max(reuse.matched));
        if common(&self.prompt.tokens, &expected.cached).min(most) > shared + LOOSE_END {
            return self.miss_at(MissReason::Evicted, reuse.matched);
        }
        if shared == 0 && expected.messages > 0 && expected.tokens > 0 {
            // Which tokens they were is forgotten with a restart.
            return self.miss_at(MissReason::Evicted, 0);
        }
        match self.cuts_anywhere {
            true if lost > LOST => self.miss_at(MissReason::Evicted, reuse.matched),
            false if lost > BETWEEN_CUTS => self.miss_at(MissReason::Uncuttable, reuse.matched),
            _ => self.changed(shared, reuse.stored),
        }
    }

    /// The same for what is not the cache's fault.
    fn changed(&self, shared: usize, stored: usize) -> Option<Miss> {
        let cold = Some(Miss { reason: MissReason::Cold, message_index: None });
        if shared == 0 {
            return cold;
        }
        if stored <= shared + LOOSE_END {
            return None;
        }
        let position = self.prompt.text_position(shared, &self.tokenizer);
        if !self.tools && position <= self.prompt.first_message(&self.request.messages) {
            // All that is shared is what the template writes in front of every conversation.
            return cold;
        }
        let miss = self.miss_at(MissReason::Changed, shared);
        // Where all stored messages were found, what differs is the new turn.
        let known = self.expected.messages;
        miss.filter(|miss| known == 0 || miss.message_index.is_some_and(|index| index < known))
    }

    fn miss_at(&self, reason: MissReason, token: usize) -> Option<Miss> {
        let position = self.prompt.text_position(token, &self.tokenizer);
        let index = self.prompt.message_at(position, &self.request.messages);
        Some(Miss { reason, message_index: index.filter(|&index| index < self.request.messages.len()) })
    }
}

/// What a session's last turn should have left in the caches.
#[derive(Default)]
pub(crate) struct Expected {
    cached: Arc<[u32]>,
    /// How many they were, known even where they are not.
    tokens: usize,
    /// How many of the request's messages were part of it.
    messages: usize,
}

impl Expected {
    pub(crate) fn of(claim: &Claim) -> Self {
        Self { cached: claim.cached().unwrap_or_default(), tokens: claim.tokens(), messages: claim.known_messages() }
    }
}

/// How many tokens two lists begin with in common.
pub(crate) fn common(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
