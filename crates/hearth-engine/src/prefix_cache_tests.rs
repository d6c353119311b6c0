//! What is found, taken, copied and given up: by tables, and against a list that is searched from end to end.

use super::*;
use crate::radix::tests::random;

fn snapshot(id: SnapshotId, len: usize, bytes: u64) -> Snapshot {
    Snapshot { id, len, bytes, shared: Vec::new(), cuts: Cuts::default() }
}

fn marked(id: SnapshotId, len: usize, marks: &[usize]) -> Snapshot {
    Snapshot { id, len, bytes: 1, shared: Vec::new(), cuts: Cuts { from: len, marks: marks.to_vec() } }
}

fn find(cache: &PrefixCache, prompt: &[u32], session: Option<SessionKey>) -> Found {
    cache.find(Query { prompt, most: prompt.len() - 1, session, files: true })
}

/// How many tokens are reused, and how.
fn hit(cache: &PrefixCache, prompt: &[u32], session: Option<SessionKey>) -> Option<(usize, From)> {
    find(cache, prompt, session).hit.map(|hit| (hit.len, hit.from))
}

fn tokens(first: u32, len: u32) -> Vec<u32> {
    (first..first + len).collect()
}

#[test]
fn a_cache_is_taken_where_nobody_else_will_miss_it() {
    let mut cache = PrefixCache::default();
    cache.keep(&tokens(0, 100), snapshot(1, 100, 1), Some(7), 1);
    let with = |common: u32| [tokens(0, common), tokens(500, 10)].concat();
    let cases = [
        (100, None, Some(From::Take(1))),   // all of it is used
        (69, None, Some(From::Take(1))),    // little is cut off
        (68, None, Some(From::Copy(1))),    // others may branch there
        (10, Some(7), Some(From::Take(1))), // its own session has changed its mind
        (32, Some(8), Some(From::Copy(1))),
        (31, Some(8), None), // quicker computed than copied
    ];
    for (common, session, from) in cases {
        assert_eq!(
            hit(&cache, &with(common), session),
            from.map(|from| (common as usize, from)),
            "{common}, {session:?}"
        );
    }
    assert_eq!(hit(&cache, &tokens(0, 50), None), Some((49, From::Copy(1))), "one token is always computed");
    assert_eq!((hit(&cache, &[0], None), hit(&cache, &tokens(1, 9), None)), (None, None));
}

#[test]
fn the_longest_usable_prefix_wins_and_memory_before_a_file_that_has_little_more() {
    let file = FileName::of("model", &[1]);
    let cases = [
        (100, 100, 50, Some((100, From::Copy(1)))),
        (100, 132, 50, Some((100, From::Copy(1)))),
        (100, 133, 50, Some((133, From::File(file)))),
        (100, 133, 1000, Some((100, From::Copy(1)))), // much would be read for little
        (0, 32, 50, None),
        (0, 33, 50, Some((33, From::File(file)))),
        (0, 100, 1600, None),
    ];
    for (in_memory, in_file, more, expected) in cases {
        let mut cache = PrefixCache::default();
        if in_memory > 0 {
            cache.keep(
                &[tokens(0, in_memory), tokens(900, 50)].concat(),
                snapshot(1, in_memory as usize + 50, 1),
                None,
                1,
            );
        }
        cache.add_file(&[tokens(0, in_file), tokens(7000, more)].concat(), file, Cuts::default(), None, 2);
        let prompt = tokens(0, 200);
        assert_eq!(hit(&cache, &prompt, None), expected, "{in_memory}, {in_file}, {more}");
        let in_store = |files| cache.find(Query { prompt: &prompt, most: 199, session: None, files }).in_store;
        assert_eq!((in_store(true), in_store(false)), (in_file as usize, in_memory as usize));
    }
}

#[test]
fn a_cache_is_cut_only_where_it_can_be() {
    let mut cache = PrefixCache::default();
    cache.keep(&tokens(0, 100), marked(1, 100, &[40, 90]), None, 1);
    let prompt = |common| [tokens(0, common), tokens(500, 10)].concat();
    for (common, expected) in [(100, Some(100)), (99, Some(90)), (90, Some(90)), (89, Some(40)), (39, None)] {
        let found = find(&cache, &prompt(common), None);
        assert_eq!(found.hit.map(|hit| hit.len), expected, "{common}");
        assert_eq!((found.shared, found.stored), (common as usize, 100), "what is shared is told all the same");
    }
}

#[test]
fn a_newer_cache_stands_in_for_its_prefixes() {
    let mut cache = PrefixCache::default();
    cache.keep(&tokens(0, 50), snapshot(1, 50, 10), None, 1);
    cache.keep(&tokens(0, 70), marked(2, 70, &[60]), None, 2);
    assert_eq!(cache.bytes(), 11, "the newer one cannot be cut back to 50");
    cache.keep(&tokens(0, 60), snapshot(3, 60, 10), None, 3);
    assert_eq!(cache.keep(&tokens(0, 80), snapshot(4, 80, 5), None, 4), [3, 2], "shortest first");
    assert_eq!(cache.keep(&tokens(0, 80), snapshot(5, 80, 6), None, 5), [4], "the same tokens again");
    assert_eq!(cache.bytes(), 6);
}

#[test]
fn a_running_sequence_is_branched_from_and_waited_for() {
    let mut cache = PrefixCache::default();
    let prompt = tokens(0, 1000);
    cache.opened(3, &prompt, 0, 1);
    cache.fed(3, 64, Cuts::default());
    let found = find(&cache, &prompt, None);
    assert_eq!((found.hit.map(|hit| (hit.len, hit.from)), found.soon), (Some((64, From::Branch(3))), Some((3, 999))));
    let short = [tokens(0, 95), tokens(2000, 9)].concat();
    assert_eq!(find(&cache, &short, None).soon, None, "not for a few tokens");
    let longer = [tokens(0, 96), tokens(2000, 9)].concat();
    assert_eq!(find(&cache, &longer, None).soon, Some((3, 96)));
    cache.fed(3, 1000, Cuts::default());
    assert_eq!((find(&cache, &prompt, None).soon, hit(&cache, &prompt, None)), (None, Some((999, From::Branch(3)))));
    cache.closed(3);
    assert_eq!(find(&cache, &prompt, None), Found::default());
}

#[test]
fn sessions_are_forgotten_and_what_is_lost_is_bounded() {
    let mut cache = PrefixCache::default();
    let file = FileName::of("model", &[2]);
    cache.keep(&tokens(0, 10), snapshot(1, 10, 5), Some(7), 1);
    cache.add_file(&tokens(100, 10), file, Cuts::default(), Some(7), 2);
    cache.keep(&tokens(200, 10), snapshot(2, 10, 5), None, 3);
    let mut gone = cache.forget(7);
    gone.sort_by_key(|place| matches!(place, Place::Disk(_)));
    assert_eq!(gone, [Place::Memory(1), Place::Disk(file)]);
    assert_eq!((cache.bytes(), cache.file(file)), (5, None));
    for at in 0..9 {
        let long = tokens(1000 + at, LOST_TOKENS as u32 / 4);
        cache.keep(&long, snapshot(10 + u64::from(at), long.len(), 1), None, 10 + u64::from(at));
        cache.moved(cache.oldest(None).unwrap(), Place::Lost);
    }
    assert!(cache.lost <= LOST_TOKENS);
    for at in 0..LOST_ENTRIES as u32 + 9 {
        let key = cache.keep_beside(&[3_000_000 + at], snapshot(100 + u64::from(at), 1, 1), None, 100 + u64::from(at));
        cache.moved(key, Place::Lost);
    }
    assert_eq!(cache.lost_entries, LOST_ENTRIES);
}

#[test]
fn a_file_stands_in_for_shorter_ones_but_not_for_much_shorter_ones() {
    let mut cache = PrefixCache::default();
    let name = |len: u32| FileName::of("model", &[len]);
    for len in [49, 50, 99, 100] {
        cache.add_file(&tokens(0, len), name(len), Cuts::default(), None, 1);
    }
    assert_eq!(cache.covered_files(name(100)), [name(50), name(99)]);
}

#[test]
fn what_several_share_counts_once_until_the_last_of_them_goes() {
    let mut cache = PrefixCache::default();
    for id in 1..=3 {
        cache.keep(&[tokens(0, 300), tokens(1000 * id, 50)].concat(), snapshot(id.into(), 350, 35), None, id.into());
    }
    let piece = |id, bytes| Piece { id, bytes };
    let sharing = |id, bytes, pieces: &[Piece]| Snapshot { shared: pieces.to_vec(), ..snapshot(id, 350, bytes) };
    let (whole, halves) = (piece(9, 30), [piece(10, 12), piece(11, 18)]);
    cache.changed(vec![sharing(1, 5, &[whole]), sharing(2, 5, &[whole])]);
    assert_eq!(cache.bytes(), 30 + 5 + 5 + 35);
    cache.changed(vec![sharing(2, 5, &halves), sharing(1, 5, &halves), sharing(3, 23, &halves[..1])]);
    assert_eq!(cache.bytes(), 30 + 5 + 5 + 23, "a piece was split for all who hold it");
    let keys = [1, 2, 3].map(|id| cache.kept[&id]);
    assert_eq!(keys.map(|key| cache.bytes_of(key)), [5, 5, 23], "all that each could give back");
    assert_eq!(keys.map(|key| cache.entry(key).unwrap().whole_bytes()), [35; 3]);
    cache.moved(keys[1], Place::Lost);
    assert_eq!((cache.bytes(), cache.bytes_of(keys[0])), (30 + 5 + 23, 5 + 18), "nobody else holds the second half");
    cache.remove(keys[0]);
    assert_eq!((cache.bytes(), cache.bytes_of(keys[2])), (12 + 23, 35));
    cache.remove(keys[2]);
    assert_eq!((cache.bytes(), cache.holders.len(), cache.kept.len()), (0, 0, 0));
}

#[test]
fn each_cache_is_once_looked_at_for_the_one_that_is_most_like_it() {
    let mut cache = PrefixCache::default();
    let keep = |cache: &mut PrefixCache, id: u64, common: u32| {
        let tokens = [tokens(0, common), tokens(10_000 * id as u32, 700)].concat();
        cache.keep(&tokens, snapshot(id, tokens.len(), 1), None, id);
    };
    for (id, common) in [(1, 600), (2, 255), (3, 256), (4, 1000)] {
        keep(&mut cache, id, common);
    }
    let all = |cache: &mut PrefixCache, spare| -> Vec<_> { std::iter::from_fn(|| cache.alike(spare)).collect() };
    let spare = cache.kept[&1];
    assert_eq!(all(&mut cache, Some(spare)), [Alike { from: 3, to: 4, tokens: 256 }], "2 has too little in common");
    let first = all(&mut cache, None);
    let [Alike { from, to: 1, tokens: 600 }] = first[..] else { panic!("{first:?}") };
    assert_eq!(from, 4);
    assert_eq!(all(&mut cache, None), [], "never again");
    keep(&mut cache, 5, 900);
    assert_eq!(all(&mut cache, None), [Alike { from: 4, to: 5, tokens: 900 }]);
    cache.remove(cache.kept[&5]);
    cache.moved(cache.kept[&4], Place::Lost);
    keep(&mut cache, 6, 1000);
    assert_eq!(all(&mut cache, None), [Alike { from: 1, to: 6, tokens: 600 }], "only with what is in memory");
}

/// An entry of the list that the cache is compared with.
#[derive(Debug, Clone)]
struct Plain {
    tokens: Vec<u32>,
    place: Place,
    cuts: Cuts,
    bytes: u64,
    used: u64,
}

fn usable(plain: &Plain, prompt: &[u32], most: usize) -> usize {
    let common = plain.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    let len = plain.cuts.longest(common.min(most));
    let worth = match plain.place {
        Place::Memory(_) => len >= FEW || plain.tokens.len() - len < FEW,
        _ => len > FEW,
    };
    if worth { len } else { 0 }
}

/// The longest usable prefix in memory and in files.
fn longest(all: &[Plain], prompt: &[u32], most: usize) -> (usize, usize) {
    let of = |memory: bool| {
        let places =
            all.iter().filter(|plain| matches!(plain.place, Place::Memory(_)) == memory && plain.place != Place::Lost);
        places.map(|plain| usable(plain, prompt, most)).max().unwrap_or(0)
    };
    (of(true), of(false))
}

#[test]
fn lookups_and_evictions_are_those_of_a_list() {
    for seed in 1..=60 {
        let mut next = random(seed);
        let mut cache = PrefixCache::default();
        let mut all: Vec<Plain> = Vec::new();
        for now in 1..150 {
            let tokens: Vec<u32> =
                (0..next(150) + 1).map(|at| if at % 40 == 39 { next(2) as u32 } else { 7 }).collect();
            check(&cache, &all, &tokens, seed);
            let marks = if next(2) == 0 { None } else { Some(next(tokens.len() as u64) as usize) };
            let cuts = marks.map_or(Cuts::default(), |mark| Cuts { from: tokens.len(), marks: vec![mark] });
            let snapshot = Snapshot { cuts: cuts.clone(), ..snapshot(now, tokens.len(), next(50) + 1) };
            let plain = Plain { place: Place::Memory(now), cuts, bytes: snapshot.bytes, used: now, tokens };
            let mut gone = cache.keep(&plain.tokens, snapshot, None, now);
            let mut covered: Vec<_> = all.iter().filter(|old| covers(&plain, old)).filter_map(id).collect();
            all.retain(|old| {
                !covers(&plain, old) && (old.place != Place::Lost || !plain.tokens.starts_with(&old.tokens))
            });
            all.push(plain);
            gone.sort_unstable();
            covered.sort_unstable();
            assert_eq!(gone, covered, "seed {seed}, {now}");
            while cache.bytes() > 400 {
                evict(&mut cache, &mut all, next(2) == 0, seed);
            }
            let bytes: u64 = all.iter().filter_map(|plain| id(plain).map(|_| plain.bytes)).sum();
            assert_eq!(cache.bytes(), bytes, "seed {seed}, {now}");
        }
    }
}

fn id(plain: &Plain) -> Option<SnapshotId> {
    if let Place::Memory(id) = plain.place { Some(id) } else { None }
}

fn covers(new: &Plain, old: &Plain) -> bool {
    let len = old.tokens.len();
    id(old).is_some()
        && new.tokens.starts_with(&old.tokens)
        && (len == new.tokens.len() || new.cuts.longest(len) == len)
}

/// The one that was of no use for longest goes to a file, or is lost.
fn evict(cache: &mut PrefixCache, all: &mut [Plain], to_file: bool, seed: u64) {
    let key = cache.oldest(None).unwrap();
    let oldest = all.iter_mut().filter(|plain| id(plain).is_some()).min_by_key(|plain| plain.used).unwrap();
    assert_eq!(
        (cache.entry(key).unwrap().place, cache.tokens(key)),
        (oldest.place, oldest.tokens.clone()),
        "seed {seed}"
    );
    let place = if to_file { Place::Disk(FileName::of(&oldest.used.to_string(), &[])) } else { Place::Lost };
    oldest.place = place;
    cache.moved(key, place);
}

fn check(cache: &PrefixCache, all: &[Plain], prompt: &[u32], seed: u64) {
    let most = prompt.len() - 1;
    let found = find(cache, prompt, None);
    let (memory, file) = longest(all, prompt, most);
    let len = if file > memory + FEW { file } else { memory };
    assert_eq!(found.hit.map_or(0, |hit| hit.len), len, "seed {seed}: {memory} in memory, {file} in files");
    if let Some(hit) = found.hit {
        let entry = cache.entry(hit.key).unwrap();
        assert!(cache.tokens(hit.key).starts_with(&prompt[..hit.len]) && entry.cuts.longest(hit.len) == hit.len);
    }
    let common = |plain: &Plain| plain.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    let alike =
        all.iter().map(|plain| (common(plain), plain.used, plain.tokens.len())).filter(|alike| alike.0 > 0).max();
    assert_eq!((found.shared, found.stored), alike.map_or((0, 0), |(common, _, len)| (common, len)), "seed {seed}");
}
