//! Conversations through the whole loop, on a runner whose answers depend on every token of its cache.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;

use hearth_core::ErrorKind;
use hearth_core::task::{CacheSource, SessionKey};
use tempfile::TempDir;

use super::*;
use crate::fake::{Counts, END, FakeRunner, hash_answer};
use crate::radix::tests::random;
use crate::worker::protocol::{CacheOptions, DiskOptions, End};

#[path = "device_random_tests.rs"]
mod random_conversations;
#[path = "device_reading_tests.rs"]
mod reading;
#[path = "device_sharing_tests.rs"]
mod sharing;

/// Tokens of an answer, its end not counted.
const ANSWER: usize = 6;

/// A device that is driven by hand.
struct Rig {
    device: Device,
    link: Link,
    counts: Arc<Counts>,
    last: RequestId,
    updates: HashMap<RequestId, Vec<Update>>,
}

impl Rig {
    fn new(runner: FakeRunner, cache: CacheOptions, slots: usize) -> Self {
        let counts = Arc::<Counts>::default();
        let link = channel();
        let request = LoadRequest { dir: "fake".into(), context: None, max_batch: slots, cache };
        let device = Device::new(Box::new(runner.counted(counts.clone())), &request, &link.0);
        Self { device, link, counts, last: 0, updates: HashMap::new() }
    }

    fn plain(cache: CacheOptions) -> Self {
        Self::new(FakeRunner::hashing(ANSWER), cache, 4)
    }

    fn add(&mut self, prompt: &[u32], max_tokens: usize, session: Option<SessionKey>) -> RequestId {
        self.last += 1;
        let sampling = Default::default();
        let (prompt, stop_tokens) = (prompt.to_vec(), vec![END]);
        let task = Generate { prompt, max_tokens, stop_tokens, sampling, session, takes_over: session.is_some() };
        self.obey(Command::Generate { id: self.last, task });
        self.last
    }

    fn obey(&mut self, command: Command) {
        self.device.obey(command).unwrap();
    }

    fn turn(&mut self) {
        let Device { scheduler, caches, updates, .. } = &self.device;
        let woken = caches.is_indexing() || scheduler.waits_for_files();
        assert!(woken || !scheduler.is_idle() || !updates.is_empty(), "it would sleep for ever");
        let updates = &mut self.updates;
        let mut report = |report| {
            let Report::Step(step) = report else { return Ok(()) };
            step.into_iter().for_each(|update| updates.entry(update.id).or_default().push(update));
            Ok(())
        };
        assert!(self.device.turn(&self.link.1, &mut report).unwrap());
        assert_eq!(self.device.caches.bytes(), self.counts.kept.load(SeqCst), "every snapshot is accounted for");
    }

    fn is_done(&self) -> bool {
        self.device.scheduler.is_empty() && self.device.updates.is_empty()
    }

    fn run(&mut self) {
        while !self.is_done() {
            self.turn();
        }
    }

    /// Answers one prompt; what it found, and all tokens of the conversation then.
    fn ask(&mut self, prompt: &[u32], session: Option<SessionKey>) -> (Reuse, Vec<u32>) {
        let id = self.add(prompt, 100, session);
        self.run();
        assert_eq!(self.answer(id), expected(prompt, 100));
        (self.reuse(id).clone(), [prompt, &self.answer(id)].concat())
    }

    fn answer(&self, id: RequestId) -> Vec<u32> {
        self.updates[&id].iter().filter_map(|update| update.sampled.as_ref()).map(|sampled| sampled.token).collect()
    }

    fn reuse(&self, id: RequestId) -> &Reuse {
        self.updates[&id][0].opened.as_ref().expect("the first update says what was found")
    }

    fn end(&self, id: RequestId) -> Option<&End> {
        self.updates.get(&id)?.last()?.end.as_ref()
    }

    fn count(&self, of: impl Fn(&Counts) -> &AtomicUsize) -> usize {
        of(&self.counts).load(SeqCst)
    }
}

#[test]
fn a_request_is_told_that_it_began_before_its_prompt_is_computed() {
    let steps = Arc::new(AtomicUsize::new(0));
    let seen = steps.clone();
    let runner = FakeRunner::hashing(ANSWER).before_step(move |step, _| {
        seen.store(step + 1, SeqCst);
        Ok(())
    });
    let mut rig = Rig::new(runner, memory(1 << 20), 4);
    rig.add(&text(1, 8), 1, None);
    let mut told = Vec::new();
    let mut report = |report| {
        let Report::Step(updates) = report else { return Ok(()) };
        told.extend(updates.iter().map(|update| (steps.load(SeqCst), update.opened.is_some())));
        Ok(())
    };
    assert!(rig.device.turn(&rig.link.1, &mut report).unwrap());
    assert_eq!(told, [(0, true)]);
}

/// What a model without any cache answers.
fn expected(prompt: &[u32], max_tokens: usize) -> Vec<u32> {
    let mut answer = hash_answer(prompt, ANSWER);
    answer.push(END);
    answer.truncate(max_tokens);
    answer
}

fn memory(bytes: u64) -> CacheOptions {
    CacheOptions { memory: Some(bytes), ..CacheOptions::default() }
}

fn with_disk(memory: u64, dir: &Path, bytes: u64) -> CacheOptions {
    let disk = Some(DiskOptions { dir: dir.into(), bytes });
    CacheOptions { memory: Some(memory), disk, ..CacheOptions::default() }
}

/// `len` tokens that differ for each `seed`.
fn text(seed: u64, len: usize) -> Vec<u32> {
    let mut next = random(seed + 1);
    (0..len).map(|_| next(250) as u32).collect()
}

fn bytes_under(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // A file may go between being listed and being measured.
    entries.map(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).sum()
}

#[test]
fn what_a_session_owns_is_taken_over_only_by_who_may() {
    let mut rig = Rig::plain(memory(1 << 20));
    rig.ask(&text(1, 500), Some(7));
    let prompt = [&text(1, 300)[..], &text(2, 50)].concat();
    let (stop_tokens, sampling) = (vec![END], Default::default());
    let task = Generate { prompt, max_tokens: 9, stop_tokens, sampling, session: Some(7), takes_over: false };
    rig.obey(Command::Generate { id: 9, task });
    rig.run();
    assert_eq!((rig.reuse(9).matched, rig.count(|counts| &counts.takes)), (300, 0), "a copy");
    rig.obey(Command::Forget(7));
    assert_eq!(rig.device.caches.bytes(), 0, "both are its own");
}

#[test]
fn a_next_turn_computes_only_what_is_new() {
    let mut rig = Rig::plain(memory(1 << 20));
    let (reuse, turn) = rig.ask(&text(1, 500), Some(7));
    assert_eq!((reuse.source, reuse.matched, reuse.shared, reuse.stored), (CacheSource::None, 0, 0, 0));
    let (reuse, _) = rig.ask(&[turn.as_slice(), &text(2, 20)].concat(), Some(7));
    // The stop token was fed, too.
    assert_eq!((reuse.source, reuse.matched, reuse.stored), (CacheSource::Memory, 507, 507));
    assert_eq!((rig.count(|counts| &counts.evaluated), rig.count(|counts| &counts.takes)), (520, 1));
}

#[test]
fn a_follow_up_that_comes_with_the_end_finds_the_cache() {
    let mut rig = Rig::plain(memory(1 << 20));
    let id = rig.add(&text(1, 100), 1, None);
    while rig.end(id).is_none() {
        rig.turn();
    }
    let (reuse, _) = rig.ask(&text(1, 120), None);
    assert_eq!(reuse.matched, 100);
}

#[test]
fn without_memory_for_caches_nothing_is_kept() {
    let dir = TempDir::new().unwrap();
    let mut rig = Rig::plain(with_disk(0, dir.path(), 1 << 20));
    let (_, turn) = rig.ask(&text(1, 100), Some(7));
    let (reuse, _) = rig.ask(&turn, Some(7));
    assert_eq!((reuse.matched, rig.device.caches.bytes(), bytes_under(dir.path())), (0, 0, 0));
    let fill = rig.add(&turn, 0, Some(7));
    rig.run();
    assert_eq!((rig.end(fill), rig.count(|counts| &counts.evaluated)), (Some(&End::Stop), 207));
}

#[test]
fn several_answers_to_one_prompt_cost_one_prefill() {
    for runner in [FakeRunner::hashing(ANSWER), FakeRunner::hashing(ANSWER).uncuttable()] {
        let mut rig = Rig::new(runner, memory(1 << 20), 8);
        let prompt = text(1, 1500);
        let ids: Vec<_> = (0..8).map(|_| rig.add(&prompt, 100, None)).collect();
        rig.run();
        assert!(ids.iter().all(|&id| rig.answer(id) == expected(&prompt, 100)));
        assert_eq!(rig.count(|counts| &counts.evaluated), 1500 + 7);
        assert_eq!(rig.count(|counts| &counts.branches), 7);
    }
}

#[test]
fn agents_that_share_a_system_prompt_wait_for_it_and_others_pass() {
    for runner in [FakeRunner::hashing(ANSWER), FakeRunner::hashing(ANSWER).uncuttable()] {
        let mut rig = Rig::new(runner, memory(1 << 20), 8);
        let prompt = |agent: u64| [text(1, 900), text(agent, 40)].concat();
        let agents: Vec<_> = (10..15).map(|agent| rig.add(&prompt(agent), 100, None)).collect();
        let other = rig.add(&text(99, 30), 1, None);
        while rig.end(other).is_none() {
            rig.turn();
        }
        assert!(agents[1..].iter().all(|id| !rig.updates.contains_key(id)), "they wait, and nobody waits for them");
        rig.run();
        assert_eq!(rig.count(|counts| &counts.evaluated), 900 + 5 * 40 + 30);
        for (agent, id) in (10..15).zip(agents) {
            assert_eq!(rig.answer(id), expected(&prompt(agent), 100));
        }
    }
}

#[test]
fn a_waiting_sequence_goes_on_when_the_one_that_it_waits_for_is_cancelled() {
    let mut rig = Rig::plain(memory(1 << 20));
    let first = rig.add(&text(1, 2000), 100, None);
    let second = rig.add(&text(1, 2000), 100, None);
    rig.turn();
    rig.turn();
    rig.obey(Command::Cancel(first));
    rig.run();
    assert_eq!(rig.answer(second), expected(&text(1, 2000), 100));
    assert_eq!(rig.count(|counts| &counts.evaluated), 2000, "and what was computed is not lost");
}

#[test]
fn the_sequences_of_a_failed_step_are_not_kept() {
    let runner = FakeRunner::hashing(ANSWER).before_step(|step, _| match step {
        1 => Err(Error::internal("the device stumbles")),
        _ => Ok(()),
    });
    let mut rig = Rig::new(runner, memory(1 << 20), 4);
    let id = rig.add(&text(1, 500), 100, None);
    rig.run();
    assert!(matches!(rig.end(id), Some(End::Failed(_))));
    assert_eq!((rig.device.caches.bytes(), rig.ask(&text(1, 500), None).0.matched), (0, 0));
}

#[test]
fn an_evicted_cache_comes_back_from_its_file() {
    let dir = TempDir::new().unwrap();
    // Room for one conversation.
    let mut rig = Rig::plain(with_disk(64 * 600, dir.path(), 1 << 20));
    let mut turns = Vec::new();
    for seed in 1..4 {
        turns.push(rig.ask(&text(seed, 500), Some(seed)).1);
        rig.device.caches.wait_for_disk();
    }
    for (seed, turn) in (1..4).zip(&turns) {
        rig.device.caches.wait_for_disk();
        let (reuse, _) = rig.ask(&[turn.as_slice(), &[1, 2, 3]].concat(), Some(seed));
        assert_eq!((reuse.source, reuse.matched), (CacheSource::Disk, 507), "{seed}");
        assert!(reuse.restore_ms > 0.0);
    }
    assert_eq!(rig.count(|counts| &counts.evaluated), 3 * 500 + 3 * 3);
}

#[test]
fn what_has_lost_its_place_is_remembered_as_lost() {
    let mut rig = Rig::plain(memory(64 * 600));
    let (_, turn) = rig.ask(&text(1, 500), None);
    rig.ask(&text(2, 500), None);
    let (reuse, _) = rig.ask(&turn, None);
    assert_eq!((reuse.source, reuse.matched, reuse.shared, reuse.stored), (CacheSource::None, 0, 507, 507));
    assert_eq!(reuse.in_store, 0);
}

#[test]
fn caches_outlive_the_worker_and_are_read_once() {
    let dir = TempDir::new().unwrap();
    for runner in [FakeRunner::hashing(ANSWER), FakeRunner::hashing(ANSWER).uncuttable().with_fingerprint("other")] {
        let cache = with_disk(1 << 20, dir.path(), 1 << 20);
        let mut rig = Rig::new(runner, cache.clone(), 4);
        let (_, turn) = rig.ask(&text(1, 700), Some(7));
        let running = rig.add(&text(2, 3000), 100, None);
        rig.turn();
        rig.turn();
        assert!(!rig.device.obey(Command::Shutdown).unwrap());
        assert!(rig.end(running).is_none());
        let again = match rig.device.runner.facts().cache.cuts_anywhere {
            true => FakeRunner::hashing(ANSWER),
            false => FakeRunner::hashing(ANSWER).uncuttable().with_fingerprint("other"),
        };
        let mut rig = Rig::new(again, cache, 4);
        let both: Vec<_> = (0..2).map(|_| rig.add(&[turn.as_slice(), &[5; 40]].concat(), 100, Some(7))).collect();
        rig.run();
        assert_eq!((rig.reuse(both[0]).source, rig.reuse(both[0]).matched), (CacheSource::Disk, 707));
        assert!(rig.reuse(both[1]).matched >= 707, "and the other one shares it");
        assert_eq!(rig.count(|counts| &counts.imports), 1);
        let (reuse, _) = rig.ask(&text(2, 3000), None);
        assert!(reuse.matched >= 64, "what was computed when the worker ended was saved, too");
    }
}

#[test]
fn more_can_be_restored_at_once_than_can_run() {
    let dir = TempDir::new().unwrap();
    let cache = with_disk(1 << 20, dir.path(), 1 << 20);
    let mut rig = Rig::plain(cache.clone());
    let turns: Vec<_> = (1..8).map(|seed| rig.ask(&text(seed, 300), None).1).collect();
    rig.obey(Command::Shutdown);
    let mut rig = Rig::new(FakeRunner::hashing(ANSWER), cache, 2);
    let ids: Vec<_> = turns.iter().map(|turn| rig.add(turn, 100, None)).collect();
    rig.obey(Command::Cancel(ids[1]));
    rig.run();
    for (at, (id, turn)) in ids.iter().zip(&turns).enumerate().filter(|(at, _)| *at != 1) {
        assert_eq!(rig.answer(*id), expected(turn, 100), "{at}");
        assert_eq!((rig.reuse(*id).source, rig.reuse(*id).matched), (CacheSource::Disk, 306), "{at}");
    }
}

#[test]
fn at_the_end_what_was_used_last_is_saved_as_far_as_there_is_room() {
    let dir = TempDir::new().unwrap();
    let cache = with_disk(1 << 20, dir.path(), 2 * 64 * 507);
    let mut rig = Rig::plain(cache.clone());
    let turns: Vec<_> = (1..5).map(|seed| rig.ask(&text(seed, 500), None).1).collect();
    rig.ask(&[turns[0].as_slice(), &[3]].concat(), None);
    rig.obey(Command::Shutdown);
    assert!(bytes_under(dir.path()) <= 2 * 64 * 507);
    let mut rig = Rig::plain(cache);
    assert_eq!(rig.ask(&turns[0], None).0.source, CacheSource::Disk, "it was used last");
    assert_eq!(rig.ask(&turns[1], None).0.source, CacheSource::None);
}

#[test]
fn a_damaged_file_costs_only_speed() {
    let dir = TempDir::new().unwrap();
    let cache = with_disk(1 << 20, dir.path(), 1 << 20);
    let mut rig = Rig::plain(cache.clone());
    let (_, turn) = rig.ask(&text(1, 700), None);
    rig.obey(Command::Shutdown);
    let file =
        std::fs::read_dir(dir.path()).unwrap().flatten().find(|file| file.metadata().unwrap().len() > 0).unwrap();
    let mut bytes = std::fs::read(file.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file.path(), bytes).unwrap();
    let mut rig = Rig::plain(cache);
    assert_eq!(rig.ask(&turn, None).0.source, CacheSource::None);
    assert!(!file.path().exists());
}

#[test]
fn a_forgotten_session_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let cache = with_disk(64 * 600, dir.path(), 1 << 20);
    let mut rig = Rig::plain(cache.clone());
    let (_, first) = rig.ask(&text(1, 500), Some(1));
    let (_, second) = rig.ask(&text(2, 500), Some(2));
    let running = rig.add(&text(3, 100), 100, Some(1));
    rig.turn();
    // The first one is in a file by now, the second in memory.
    [1, 2].into_iter().for_each(|session| rig.obey(Command::Forget(session)));
    rig.run();
    assert_eq!(rig.answer(running), expected(&text(3, 100), 100), "what runs goes on");
    assert_eq!(rig.device.caches.bytes(), 0, "but is not kept");
    rig.obey(Command::Shutdown);
    assert_eq!(bytes_under(dir.path()), 0);
    let mut rig = Rig::plain(cache);
    assert_eq!((rig.ask(&first, Some(1)).0.shared, rig.ask(&second, Some(2)).0.matched), (0, 0));
}

#[test]
fn a_session_forgotten_before_the_files_are_known_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let cache = with_disk(1 << 20, dir.path(), 1 << 20);
    let mut rig = Rig::plain(cache.clone());
    let (_, turn) = rig.ask(&text(1, 500), Some(1));
    rig.obey(Command::Shutdown);
    let mut rig = Rig::plain(cache);
    rig.obey(Command::Forget(1));
    assert_eq!(rig.ask(&turn, None).0.matched, 0);
    rig.obey(Command::Shutdown);
    assert!(std::fs::read_dir(dir.path()).unwrap().count() <= 2, "the lock, and what was asked last");
}

#[test]
fn filling_gives_way_and_is_not_lost() {
    let mut rig = Rig::plain(memory(1 << 20));
    let fill = rig.add(&text(1, 2000), 0, Some(7));
    rig.turn();
    rig.turn();
    let done = rig.count(|counts| &counts.evaluated);
    assert!((1..2000).contains(&done));
    rig.ask(&text(2, 50), None);
    assert_eq!(rig.end(fill), Some(&End::Stop));
    assert_eq!(rig.updates[&fill].iter().filter(|update| update.end.is_some()).count(), 1);
    assert_eq!(rig.count(|counts| &counts.evaluated), 2050, "nothing was computed twice");
    let again = rig.add(&text(1, 2000), 0, Some(7));
    rig.run();
    assert_eq!((rig.end(again), rig.count(|counts| &counts.evaluated)), (Some(&End::Stop), 2050), "all is there");
    assert_eq!(rig.ask(&text(1, 2001), Some(7)).0.matched, 2000);
}

#[test]
fn a_prompt_that_cannot_fit_is_refused_and_others_wait_their_turn() {
    // 64 bytes a token: room for 1000 tokens.
    let runner = FakeRunner::hashing(ANSWER).with_memory(1_000_000, 1_064_000);
    let mut rig = Rig::new(runner, memory(1 << 20), 4);
    let too_long = rig.add(&text(1, 1100), 100, None);
    let (first, second) = (rig.add(&text(2, 600), 100, None), rig.add(&text(3, 600), 100, None));
    let short = rig.add(&text(4, 10), 100, None);
    rig.turn();
    let Some(End::Failed(error)) = rig.end(too_long) else { panic!("not refused") };
    assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::InvalidRequest, Some("messages")));
    assert!(!rig.updates.contains_key(&second) && !rig.updates.contains_key(&short), "both wait, in order");
    rig.run();
    for (id, prompt) in [(first, text(2, 600)), (second, text(3, 600)), (short, text(4, 10))] {
        assert_eq!(rig.answer(id), expected(&prompt, 100));
    }
}

#[test]
fn a_running_sequence_that_outgrows_memory_is_the_newest() {
    let runner = FakeRunner::saying(&"x".repeat(400)).with_memory(0, 64 * 500);
    let mut rig = Rig::new(runner, memory(1 << 20), 4);
    let (first, second) = (rig.add(&text(1, 100), 300, None), rig.add(&text(2, 100), 300, None));
    rig.run();
    assert_eq!((rig.end(first), rig.answer(first).len()), (Some(&End::Length), 300));
    let Some(End::Failed(error)) = rig.end(second) else { panic!("not ended") };
    assert_eq!(error.kind, ErrorKind::OutOfMemory);
    assert!(rig.answer(second).len() > 100, "not before it must");
}

#[test]
fn a_report_has_one_entry_for_each_request() {
    let runner = FakeRunner::hashing(ANSWER).with_memory(0, 64 * 500);
    let mut rig = Rig::new(runner, memory(1 << 20), 4);
    let id = rig.add(&text(1, 400), 100, None);
    rig.device.begin_waiting();
    let load = rig.device.scheduler.loads().next().unwrap();
    assert_eq!((load.prompt, rig.device.updates.len()), (400, 1));
    // It has begun, and finds that there is no room for it after all.
    rig.device.budget = Budget::new(
        FakeRunner::hashing(ANSWER).with_memory(0, 64).facts(),
        &CacheOptions { limit: Some(64), ..CacheOptions::default() },
    );
    rig.device.hold_to_budget();
    let [update] = &rig.device.updates[..] else { panic!("more than one") };
    assert!(update.id == id && update.opened.is_some() && matches!(update.end, Some(End::Failed(_))));
}

#[test]
fn a_worker_at_work_gives_a_sign_of_life() {
    let mut rig = Rig::plain(memory(1 << 20));
    let mut reports = Vec::new();
    for ago in [BEAT / 2, BEAT, BEAT / 2] {
        rig.device.reported = Instant::now().checked_sub(ago).unwrap();
        let mut report = |report| {
            reports.push(report);
            Ok(())
        };
        rig.device.tell(&mut report).unwrap();
    }
    assert_eq!(reports, [Report::Step(Vec::new())]);
}

#[test]
fn kept_caches_give_way_to_sequences() {
    let runner = FakeRunner::hashing(ANSWER).with_memory(0, 64 * 1000);
    let mut rig = Rig::new(runner, memory(1 << 20), 4);
    rig.ask(&text(1, 400), None);
    rig.ask(&text(2, 400), None);
    assert_eq!(rig.device.caches.bytes(), 64 * 2 * 407);
    rig.ask(&text(3, 500), None);
    assert_eq!(rig.ask(&text(1, 420), None).0.matched, 0, "the oldest was given up");
}

#[test]
fn a_new_limit_is_kept_at_once() {
    let runner = FakeRunner::hashing(ANSWER).with_memory(1000, 1000 + 64 * 1000);
    let mut rig = Rig::new(runner, CacheOptions::default(), 4);
    rig.ask(&text(1, 300), None);
    rig.ask(&text(2, 300), None);
    rig.obey(Command::Limit(1000 + 64 * 400));
    assert_eq!(rig.device.caches.bytes(), 64 * 307, "the older one was given up");
    let id = rig.add(&text(3, 500), 100, None);
    rig.run();
    assert!(matches!(rig.end(id), Some(End::Failed(error)) if error.message.contains("the model leaves only")));
    let (first, second) = (rig.add(&text(4, 300), 100, None), rig.add(&text(5, 300), 100, None));
    rig.turn();
    assert!(rig.updates.contains_key(&first) && !rig.updates.contains_key(&second), "one has to wait");
    rig.obey(Command::Limit(1000 + 64 * 2000));
    rig.turn();
    assert!(rig.updates.contains_key(&second), "and begins when there is room");
    rig.run();
}

#[test]
fn nothing_is_given_up_where_that_would_not_be_enough() {
    let runner = FakeRunner::hashing(ANSWER).with_memory(0, 64 * 1000);
    let mut rig = Rig::new(runner, memory(1 << 20), 4);
    rig.ask(&text(1, 200), None);
    let (first, second) = (rig.add(&text(2, 500), 100, None), rig.add(&text(3, 700), 100, None));
    rig.turn();
    assert!(rig.updates.contains_key(&first) && !rig.updates.contains_key(&second));
    assert_eq!(rig.device.caches.bytes(), 64 * 207, "it has to wait for the first one anyway");
    rig.run();
    assert_eq!(rig.answer(second), expected(&text(3, 700), 100));
}

#[test]
fn what_is_too_large_to_keep_costs_no_other_its_place() {
    let mut rig = Rig::plain(memory(64 * 600));
    let (_, turn) = rig.ask(&text(1, 200), None);
    rig.ask(&text(2, 900), None);
    assert_eq!(rig.ask(&turn, None).0.matched, 206);
}

#[test]
fn a_model_is_called_by_its_folder_or_its_repository() {
    for (dir, name) in [
        ("/models/Qwen3-4B", "Qwen3-4B"),
        ("/hub/models--mlx-community--Qwen3-4B-4bit/snapshots/0123abcd", "mlx-community/Qwen3-4B-4bit"),
        ("/", "/"),
    ] {
        assert_eq!(display_name(Path::new(dir)), name);
    }
}
