//! Conversations at random, under every kind of pressure.

use std::collections::HashSet;

use super::*;

/// A conversation, its tokens so far, and whose it is.
#[derive(Clone)]
struct Conversation {
    tokens: Vec<u32>,
    session: Option<SessionKey>,
}

/// How a run differs from others.
#[derive(Debug, Clone, Copy)]
struct Kind {
    seed: u64,
    uncuttable: bool,
    memory: u64,
    disk: Option<u64>,
}

impl Kind {
    fn rig(self, dir: &Path) -> Rig {
        let runner = FakeRunner::hashing(ANSWER);
        let runner = if self.uncuttable { runner.uncuttable() } else { runner };
        let cache = match self.disk {
            Some(bytes) => with_disk(self.memory, dir, bytes),
            None => memory(self.memory),
        };
        Rig::new(runner, cache, 3)
    }
}

#[test]
fn hundreds_of_conversations_are_answered_as_without_a_cache() {
    let (mut reused, mut shared) = (0, 0);
    for seed in 1..=6 {
        for uncuttable in [false, true] {
            for (memory, disk) in
                [(1 << 20, None), (64 * 2000, None), (64 * 2000, Some(1 << 19)), (64 * 600, Some(1 << 18))]
            {
                let (tokens, pairs) = converse(Kind { seed, uncuttable, memory, disk });
                reused += tokens;
                shared += pairs;
            }
        }
    }
    assert!(reused > 100_000, "caches were of use: {reused}");
    assert!(shared > 500, "pairs of them shared what they began with: {shared}");
}

/// Drives conversations for some rounds; the tokens that were not computed again, and the pairs of caches that began to
/// share.
fn converse(kind: Kind) -> (usize, usize) {
    let dir = TempDir::new().unwrap();
    let mut next = random(kind.seed * 1000 + u64::from(kind.uncuttable) + kind.memory);
    let mut rig = kind.rig(dir.path());
    let mut all: Vec<Conversation> = Vec::new();
    let (mut asked, mut reused, mut shared) = (0, 0, 0);
    for round in 0..30 {
        if next(10) == 0 {
            rig.obey(Command::Shutdown);
            shared += rig.count(|counts| &counts.shares);
            rig = kind.rig(dir.path());
        }
        let turns: Vec<usize> = (0..=next(4)).map(|_| prepare(&mut all, &mut next)).collect();
        let mut asks = Vec::new();
        for at in turns {
            asks.push((at, all[at].tokens.clone(), ask(&mut rig, &all[at], &mut next)));
        }
        let cancelled = run(&mut rig, kind, &mut next);
        for (at, prompt, (id, most)) in asks {
            let answer = rig.updates.get(&id).map(|_| rig.answer(id)).unwrap_or_default();
            let whole = if most == 0 { Vec::new() } else { expected(&prompt, most) };
            let right = if cancelled.contains(&id) { whole.starts_with(&answer) } else { whole == answer };
            assert!(right, "{kind:?}, round {round}, request {id}: {answer:?} instead of {whole:?}");
            asked += 1;
            reused +=
                rig.updates.get(&id).and_then(|updates| updates[0].opened.as_ref()).map_or(0, |reuse| reuse.matched);
            all[at].tokens = [prompt, answer].concat();
        }
        assert_eq!(
            rig.count(|counts| &counts.refused),
            0,
            "{kind:?}, round {round}: a cache that was not what it should be"
        );
        if let Some(most) = kind.disk {
            assert!(bytes_under(dir.path()) <= most, "{kind:?}, round {round}");
        }
    }
    assert!(asked > 30);
    (reused, shared + rig.count(|counts| &counts.shares))
}

/// Begins, extends, branches or edits a conversation; which one.
fn prepare(all: &mut Vec<Conversation>, next: &mut impl FnMut(u64) -> u64) -> usize {
    let system = text(next(2), 300);
    let more = text(next(1 << 20), next(60) as usize + 1);
    match (next(10), all.len() as u64) {
        (0..=2, _) | (_, 0) => {
            let session = Some(next(1 << 30)).filter(|key| key % 2 == 0);
            all.push(Conversation { tokens: [system, text(next(1 << 20), next(900) as usize + 1)].concat(), session });
            all.len() - 1
        }
        (3, count) => {
            let mut branch = all[next(count) as usize].clone();
            branch.tokens.extend(more);
            branch.session = None;
            all.push(branch);
            all.len() - 1
        }
        (4, count) => {
            let at = next(count) as usize;
            let len = all[at].tokens.len() as u64;
            all[at].tokens.truncate(next(len) as usize);
            all[at].tokens.extend(more);
            at
        }
        (_, count) => {
            let at = next(count) as usize;
            all[at].tokens.extend(more);
            at
        }
    }
}

fn ask(rig: &mut Rig, conversation: &Conversation, next: &mut impl FnMut(u64) -> u64) -> (RequestId, usize) {
    let most = if next(8) == 0 { 0 } else { next(10) as usize + 1 };
    (rig.add(&conversation.tokens, most, conversation.session), most)
}

/// Runs until all have ended, and cancels some on the way.
fn run(rig: &mut Rig, kind: Kind, next: &mut impl FnMut(u64) -> u64) -> HashSet<RequestId> {
    let mut cancelled = HashSet::new();
    while !rig.is_done() {
        rig.turn();
        assert!(rig.device.caches.bytes() <= kind.memory, "{kind:?}");
        let id = rig.last - next(6).min(rig.last);
        if next(12) == 0 && rig.end(id).is_none() {
            rig.obey(Command::Cancel(id));
            cancelled.insert(id);
        }
    }
    cancelled
}
