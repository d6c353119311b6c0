//! All token state of one request, from the queue to its last token.
//!
//! Decoding runs one step ahead (see [`hearth_core::runner`]): a sequence whose prompt is fed has one token sampled that
//! is not known yet; each further step makes that one known and samples another. So the tokens that are in the cache are
//! those that were *fed*: the prompt's so far, then each token that a step reported, but for one that was only read.

use std::time::Instant;

use hearth_core::runner::{Feed, MARK_EVERY, Sampled, SlotId};
use hearth_core::task::{Generate, SessionKey};

use crate::disk_tier::FileName;
use crate::memory::Load;
use crate::worker::protocol::{End, RequestId, Update};

/// Prompts are marked at multiples of [`MARK_EVERY`], for those who share only a part of them, and so long before their
/// end: chat templates end prompts with a few tokens that the next turn does not repeat.
const MARK_BEFORE_END: usize = 16;
/// Marks that others may ask for; each may cost a copy of what cannot be cut back.
const MOST_ASKED: usize = 8;

/// What a waiting request waits for, besides its turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    #[default]
    Nothing,
    /// Until the index of the files has been read.
    Index,
    /// Until that running sequence has fed so many tokens, which are this one's, too.
    Prefix(SlotId, usize),
    /// Until a file has been read.
    File(FileName),
    /// Until fewer files are being read.
    Reader,
    /// Until there is memory. Those behind it wait, too, or it would wait for ever.
    Memory,
}

/// One request on the device side.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: RequestId,
    /// Where it runs; meaningless while it waits.
    pub(crate) slot: SlotId,
    pub(crate) task: Generate,
    pub(crate) hold: Hold,
    /// How often it has waited for another's prefix.
    pub(crate) waits: usize,
    /// When it came.
    pub(crate) arrived: Instant,
    /// The file with which it wants to begin, and when it began to wait for files.
    pub(crate) reading: Option<(FileName, Instant)>,
    /// How much of the prompt has been fed.
    fed: usize,
    /// New tokens that have been fed.
    answer: Vec<u32>,
    /// How many new tokens are known.
    known: usize,
    /// Positions of the prompt after which the cache is to be marked, ascending.
    marks: Vec<usize>,
    asked: usize,
    /// Whether nothing is to be left of it.
    discard: bool,
}

/// A sequence that has ended, and the tokens that its cache holds: none where it is not to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) slot: SlotId,
    pub(crate) tokens: Vec<u32>,
    pub(crate) session: Option<SessionKey>,
}

impl Sequence {
    pub(crate) fn new(id: RequestId, task: Generate, now: Instant) -> Self {
        Self {
            id,
            slot: 0,
            task,
            hold: Hold::Nothing,
            waits: 0,
            arrived: now,
            reading: None,
            fed: 0,
            answer: Vec::new(),
            known: 0,
            marks: Vec::new(),
            asked: 0,
            discard: false,
        }
    }

    /// Begins at `slot` with a cache of the first `held` tokens.
    pub(crate) fn open(&mut self, slot: SlotId, held: usize, marking: bool) {
        self.slot = slot;
        self.hold = Hold::Nothing;
        self.fed = held;
        self.marks = if marking { marks(self.task.prompt.len()) } else { Vec::new() };
    }

    /// Whether it only fills the cache, in idle time.
    pub(crate) fn is_fill(&self) -> bool {
        self.task.max_tokens == 0
    }

    /// Tokens that may come from a cache: all but one, since a token can only be sampled after another.
    pub(crate) fn most_reused(&self) -> usize {
        self.task.prompt.len().saturating_sub(usize::from(!self.is_fill()))
    }

    /// Prompt tokens that are still to be fed; 0 while it decodes.
    pub(crate) fn to_prefill(&self) -> usize {
        self.task.prompt.len() - self.fed
    }

    /// Prompt tokens that may be fed at once: up to the next mark.
    pub(crate) fn to_mark(&self) -> usize {
        let next = self.marks.iter().find(|&&mark| mark > self.fed);
        next.map_or(self.to_prefill(), |mark| mark - self.fed)
    }

    /// Whether the cache is to be marked now.
    pub(crate) fn at_mark(&self) -> bool {
        self.marks.contains(&self.fed)
    }

    /// Asks for a mark at `position`; false if that has passed, or enough were asked for.
    pub(crate) fn ask_mark(&mut self, position: usize) -> bool {
        if self.marks.contains(&position) {
            return position > self.fed;
        }
        if position <= self.fed || position >= self.task.prompt.len() || self.asked == MOST_ASKED {
            return false;
        }
        self.asked += 1;
        self.marks.push(position);
        self.marks.sort_unstable();
        true
    }

    /// How much of the prompt has been fed.
    pub(crate) fn prefilled(&self) -> usize {
        self.fed
    }

    /// What it needs of memory.
    pub(crate) fn load(&self) -> Load {
        Load { prompt: self.task.prompt.len(), held: self.fed + self.answer.len() }
    }

    /// What the next step feeds: `take` tokens of the prompt, or the token that was sampled last.
    pub(crate) fn feed(&self, take: usize) -> Feed<'_> {
        match self.task.prompt.get(self.fed..self.fed + take) {
            Some(tokens) if take > 0 => Feed::Prompt { tokens, last: take == self.to_prefill() && !self.is_fill() },
            _ if self.known + 1 >= self.task.max_tokens => Feed::Last,
            _ => Feed::Sampled,
        }
    }

    /// Takes over what the step brought; an update if it became known, or there is nothing more to do.
    pub(crate) fn advance(&mut self, take: usize, sampled: Option<Sampled>) -> Option<Update> {
        let only_read = self.feed(take) == Feed::Last;
        self.fed += take;
        if take > 0 {
            return (self.is_fill() && self.to_prefill() == 0).then(|| filled(self.id));
        }
        let sampled = sampled?;
        if !only_read {
            self.answer.push(sampled.token);
        }
        self.known += 1;
        let end = if self.task.stop_tokens.contains(&sampled.token) {
            Some(End::Stop)
        } else if self.known >= self.task.max_tokens {
            Some(End::Length)
        } else {
            None
        };
        Some(Update { id: self.id, opened: None, sampled: Some(sampled), end })
    }

    /// Its session is forgotten, and so is what it will leave behind.
    pub(crate) fn discard(&mut self) {
        self.discard = true;
    }

    /// What is left when it ends now.
    pub(crate) fn ended(&self) -> Ended {
        let tokens = if self.discard { Vec::new() } else { [&self.task.prompt[..self.fed], &self.answer].concat() };
        Ended { slot: self.slot, tokens, session: self.task.session }
    }
}

/// The end of a request that only filled the cache.
pub(crate) fn filled(id: RequestId) -> Update {
    Update { id, opened: None, sampled: None, end: Some(End::Stop) }
}

/// Where a prompt of `len` tokens is marked.
fn marks(len: usize) -> Vec<usize> {
    let before_end = len.checked_sub(MARK_BEFORE_END).filter(|&mark| mark > 0);
    let mut marks: Vec<usize> = (MARK_EVERY..len).step_by(MARK_EVERY).chain(before_end).collect();
    marks.sort_unstable();
    marks.dedup();
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_marked_every_so_often_and_before_their_end() {
        let cases: [(usize, &[usize]); 6] =
            [(1, &[]), (16, &[]), (17, &[1]), (100, &[84]), (1040, &[1024]), (2050, &[1024, 2034, 2048])];
        for (len, expected) in cases {
            assert_eq!(marks(len), expected, "{len}");
        }
    }

    #[test]
    fn the_cache_holds_what_was_fed() {
        let task = Generate {
            prompt: vec![1, 2, 3],
            max_tokens: 3,
            stop_tokens: vec![9],
            sampling: Default::default(),
            session: Some(5),
            takes_over: true,
        };
        let mut sequence = Sequence::new(1, task, Instant::now());
        sequence.open(4, 1, false);
        let held = |sequence: &Sequence| sequence.ended().tokens;
        let sampled = |token| Some(Sampled { token, logprobs: None });
        assert_eq!(held(&sequence), [1], "what it began with");
        sequence.advance(2, None);
        assert_eq!(held(&sequence), [1, 2, 3], "the token that was sampled is on its way");
        sequence.advance(0, sampled(7));
        assert_eq!(held(&sequence), [1, 2, 3, 7]);
        sequence.advance(0, sampled(8));
        assert_eq!(held(&sequence), [1, 2, 3, 7, 8]);
        sequence.advance(0, sampled(6));
        assert_eq!(held(&sequence), [1, 2, 3, 7, 8], "the last one was only read");
        let ended = sequence.ended();
        assert_eq!((ended.slot, ended.session), (4, Some(5)));
    }

    #[test]
    fn a_stop_token_was_fed_before_it_was_known() {
        let task = Generate {
            prompt: vec![1],
            max_tokens: 9,
            stop_tokens: vec![9],
            sampling: Default::default(),
            session: None,
            takes_over: false,
        };
        let mut sequence = Sequence::new(1, task, Instant::now());
        sequence.open(0, 0, false);
        sequence.advance(1, None);
        let update = sequence.advance(0, Some(Sampled { token: 9, logprobs: None })).unwrap();
        assert_eq!((update.end, sequence.ended().tokens), (Some(End::Stop), vec![1, 9]));
    }
}
