//! What many conversations begin with is in memory once, before any of them is given up.

use super::*;

/// Bytes of a token's cache.
const TOKEN: u64 = 64;

/// A prompt that begins as all others do.
fn prompt(common: usize, who: u64) -> Vec<u32> {
    [text(0, common), text(who, 50)].concat()
}

#[test]
fn many_more_conversations_with_one_system_prompt_stay_in_memory_than_would_fit_one_by_one() {
    for runner in [FakeRunner::hashing(ANSWER), FakeRunner::hashing(ANSWER).uncuttable()] {
        // Room for four of them.
        let mut rig = Rig::new(runner, memory(TOKEN * 4 * 2057), 4);
        let mut turns: Vec<_> = (1..=40).map(|who| rig.ask(&prompt(2000, who), Some(who)).1).collect();
        assert!(rig.count(|counts| &counts.shares) > 30);
        for round in 0..2 {
            for (who, turn) in (1..).zip(&mut turns) {
                let (reuse, next) = rig.ask(&[turn.as_slice(), &text(100 + round, 20)].concat(), Some(who));
                assert_eq!((reuse.source, reuse.matched), (CacheSource::Memory, turn.len()), "{who}");
                *turn = next;
            }
        }
    }
}

#[test]
fn what_fits_is_left_as_it_is() {
    let mut rig = Rig::plain(memory(TOKEN * (4 * 1057 + 57)));
    (1..=4).for_each(|who| drop(rig.ask(&prompt(1000, who), Some(who))));
    assert_eq!((rig.count(|counts| &counts.shares), rig.device.caches.bytes()), (0, TOKEN * 4 * 1057));
    rig.ask(&prompt(1000, 5), Some(5));
    assert_eq!(rig.count(|counts| &counts.shares), 1, "no more than has to be, the oldest first");
    assert_eq!(rig.device.caches.bytes(), TOKEN * (1000 + 2 * 57 + 3 * 1057));
}

/// A sequence that takes over a cache gets back only what nobody else holds of it, and may not pass the limit with that.
#[test]
fn a_shared_cache_that_is_taken_over_gives_back_what_is_its_own() {
    // The caches' own cap, the limit of everything, and how many of the others are still there.
    for (cap, limit, left) in [(1 << 20, 920, 0), (TOKEN * 700, 920, 0), (1 << 20, 1100, 1), (TOKEN * 700, 1100, 1)] {
        let runner = FakeRunner::hashing(ANSWER).with_memory(0, TOKEN * limit);
        let mut rig = Rig::new(runner, memory(cap), 4);
        let (_, turn) = rig.ask(&prompt(400, 1), Some(1));
        rig.ask(&prompt(400, 2), Some(2));
        let id = rig.add(&[turn.as_slice(), &text(9, 20)].concat(), 100, Some(1));
        rig.device.begin_waiting();
        let demand = rig.device.budget.demand(rig.device.scheduler.loads());
        let kept = rig.device.caches.bytes();
        assert!(kept + demand <= TOKEN * limit, "{kept} and {demand} bytes under a limit of {limit} tokens");
        rig.run();
        assert_eq!((rig.reuse(id).matched, rig.count(|counts| &counts.takes)), (turn.len(), 1));
        assert_eq!(kept, left * TOKEN * 457, "cap {cap}, limit {limit}");
    }
}

#[test]
fn sequences_begin_where_sharing_makes_room_and_nothing_is_lost() {
    let runner = FakeRunner::hashing(ANSWER).with_memory(0, TOKEN * 1100);
    let mut rig = Rig::new(runner, memory(1 << 20), 4);
    rig.ask(&prompt(400, 1), None);
    rig.ask(&prompt(400, 2), None);
    rig.ask(&text(7, 500), None);
    assert_eq!((rig.count(|counts| &counts.shares), rig.device.caches.bytes()), (1, TOKEN * (400 + 2 * 57 + 507)));
}
