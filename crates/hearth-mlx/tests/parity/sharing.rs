//! Snapshots that begin with the same tokens hold them once, and are to the bit what they were.

use std::collections::HashMap;

use hearth_core::runner::{Runner, Sampled, Snapshot, SnapshotId, Source, Tensor};

use crate::resume::{Case, answer, cases, cold, joined, prompt, watch};

/// Snapshots that shared, and what is expected of them.
#[derive(Default)]
struct Kept {
    snapshots: HashMap<SnapshotId, Snapshot>,
    tensors: HashMap<SnapshotId, Vec<Tensor>>,
}

impl Kept {
    fn add(&mut self, case: &mut Case, snapshot: Snapshot) -> SnapshotId {
        let id = snapshot.id;
        self.tensors.insert(id, case.runner.export(id).expect("tensors"));
        self.snapshots.insert(id, snapshot);
        id
    }

    /// Bytes of all, pieces once.
    fn bytes(&self) -> u64 {
        let pieces: HashMap<_, _> =
            self.snapshots.values().flat_map(|kept| &kept.shared).map(|piece| (piece.id, piece.bytes)).collect();
        self.snapshots.values().map(|kept| kept.bytes).chain(pieces.into_values()).sum()
    }

    /// Shares, and checks that at least `tokens` are saved by it and nothing else is changed.
    fn share(&mut self, case: &mut Case, from: SnapshotId, to: SnapshotId, tokens: usize) {
        let before = self.bytes();
        for changed in case.runner.share(from, to, tokens).expect("what has changed") {
            let known = self.snapshots.insert(changed.id, changed.clone()).expect("a snapshot");
            assert_eq!((changed.len, changed.cuts), (known.len, known.cuts), "{}", case.name);
        }
        let saved = tokens as u64 * case.runner.facts().cache.token_bytes;
        assert!(self.bytes() + saved <= before, "{}: {} bytes of {before}", case.name, self.bytes());
        self.check(case);
    }

    fn check(&self, case: &mut Case) {
        for (&id, tensors) in &self.tensors {
            assert!(case.runner.export(id).expect("tensors") == *tensors, "{}: snapshot {id}", case.name);
        }
    }

    fn pieces(&self, id: SnapshotId) -> Vec<u64> {
        self.snapshots[&id].shared.iter().map(|piece| piece.id).collect()
    }
}

/// What follows on each length to which a snapshot can be cut back, with all log-probabilities.
fn continuations(case: &mut Case, snapshot: &Snapshot, text: &[u32]) -> Vec<Vec<Vec<Sampled>>> {
    let lengths = [1, 200, 250, 320, snapshot.len];
    let lengths = lengths.into_iter().filter(|&len| snapshot.cuts.longest(len) == len);
    let texts = lengths.map(|len| (len, joined(&text[..len], &prompt(9, 0, 5), &[])));
    texts.map(|(len, text)| watch(case, &text, &[(Source::Copy(snapshot.id), len)])).collect()
}

#[test]
fn snapshots_that_share_answer_to_the_bit() {
    for mut case in cases() {
        let mut kept = Kept::default();
        let texts = [(300, 2), (300, 3), (200, 4), (300, 6)].map(|(shared, seed)| prompt(340, shared, seed));
        let mut answers = Vec::new();
        let [a, b, c, d] = texts.each_ref().map(|text| {
            let (tokens, snapshot) = answer(&mut case, 0, text, None);
            answers.push(tokens);
            kept.add(&mut case, snapshot)
        });
        let whole = joined(&texts[0], &answers[0], &[]);
        let longer = joined(&whole, &prompt(50, 0, 7), &[]);
        let (_, snapshot) = answer(&mut case, 0, &longer, Some((Source::Copy(a), whole.len())));
        let e = kept.add(&mut case, snapshot);
        let expected = continuations(&mut case, &kept.snapshots[&a], &whole);

        kept.share(&mut case, a, b, 300);
        assert_eq!(kept.pieces(a), kept.pieces(b));
        kept.share(&mut case, b, c, 200);
        assert_eq!((kept.pieces(a), kept.pieces(a).len()), (kept.pieces(b), 2), "{}: split for both", case.name);
        assert_eq!(kept.pieces(c), kept.pieces(a)[..1]);
        kept.share(&mut case, a, d, 300);
        kept.share(&mut case, a, e, whole.len());
        assert_eq!((kept.pieces(d), kept.pieces(e)), (kept.pieces(b), kept.pieces(a)));
        assert!(continuations(&mut case, &kept.snapshots[&a], &whole) == expected, "{}: copies", case.name);

        let next = joined(&whole, &[7, 8], &[]);
        let fresh = cold(&mut case, &next);
        kept.tensors.remove(&a);
        let (found, taken) = answer(&mut case, 0, &next, Some((Source::Take(a), whole.len())));
        assert_eq!((found, taken.shared), (fresh, Vec::new()), "{}: taken", case.name);
        kept.check(&mut case);
        for gone in [e, b, c] {
            kept.tensors.remove(&gone);
            case.runner.forget(gone);
            kept.check(&mut case);
        }
    }
}

/// A part of a shared snapshot that is all in its pieces, and one that is cut in the middle of one, are taken over.
#[test]
fn a_shared_snapshot_is_taken_at_any_length_that_it_allows() {
    for mut case in cases() {
        for len in [120, 300, 350] {
            let texts = [2, 3].map(|seed| prompt(350, 300, seed));
            let [one, other] = texts.each_ref().map(|text| answer(&mut case, 0, text, None).1);
            case.runner.share(one.id, other.id, 300).expect("what has changed");
            for (snapshot, text) in [one, other].iter().zip(&texts) {
                if snapshot.cuts.longest(len) == len {
                    let next = joined(&text[..len], &prompt(30, 0, 8), &[]);
                    let expected = cold(&mut case, &next);
                    let (found, kept) = answer(&mut case, 0, &next, Some((Source::Take(snapshot.id), len)));
                    assert_eq!(found, expected, "{}: cut to {len}", case.name);
                    case.runner.forget(kept.id);
                }
                case.runner.forget(snapshot.id);
            }
        }
    }
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let mut case = cases().remove(0);
    let mut snapshot = || answer(&mut case, 0, &prompt(100, 100, 1), None).1.id;
    let [a, b, c, d] = [snapshot(), snapshot(), snapshot(), snapshot()];
    let mut refused = |from, to, tokens| case.runner.share(from, to, tokens).expect_err("a refusal").message;
    assert_eq!(refused(a, 99, 50), "there is no snapshot 99");
    assert_eq!(refused(a, b, 113), format!("snapshots {a} and {b} cannot share 113 tokens"));
    assert_eq!(refused(a, b, 50), format!("there is no snapshot {b}"), "it is gone");
    assert_eq!(refused(c, c, 50), format!("there is no snapshot {c}"));
    assert_eq!(refused(a, d, 0), format!("snapshots {a} and {d} cannot share 0 tokens"));
}
