//! A check is worth what it finds: runners that are wrong on purpose, in each of the ways, and found out.

use super::fake::{Fake, Fault};
use super::*;

fn report(fault: Fault, cuts_anywhere: bool) -> Report {
    let mut runner = Fake::new(fault, cuts_anywhere);
    let report = verify(&mut runner, &mut |_| {}).unwrap();
    assert_eq!(runner.left_over(), 0, "{fault:?}: everything is given back");
    report
}

#[test]
fn a_sound_runner_passes_in_every_kind() {
    for cuts_anywhere in [true, false] {
        let report = report(Fault::None, cuts_anywhere);
        assert_eq!(report.failed(), []);
        assert_eq!((report.prompts.len(), report.different), (6, 12));
        for (kind, tally) in &report.kinds {
            assert!(tally.answers >= 6, "{kind:?} {tally:?}");
            assert_eq!((tally.same, tally.agreed, tally.least), (tally.answers, tally.tokens, ANSWER), "{kind:?}");
        }
    }
}

/// Each fault is found, and blamed on no kind that has no part in it.
#[test]
fn a_fault_is_found_in_its_kind() {
    use Kind::*;
    for (fault, expected) in [
        (Fault::Take, &[Memory, Disk, Batched][..]),
        (Fault::Keep, &[Memory, Cut, Disk, Batched]),
        (Fault::Cut, &[Cut, Branch, Disk]),
        (Fault::Copy, &[Cut]),
        (Fault::Branch, &[Branch]),
        (Fault::Trunk, &[Branch]),
        (Fault::Export, &[Disk]),
        (Fault::Import, &[Disk]),
        (Fault::Batch, &[Batched]),
        (Fault::WarmBatch, &[Batched]),
        (Fault::Rounding, &[]),
    ] {
        for cuts_anywhere in [true, false] {
            assert_eq!(report(fault, cuts_anywhere).failed(), expected, "{fault:?} {cuts_anywhere}");
        }
    }
    assert!(report(Fault::Cold, true).failed().contains(&Cold), "answers that change from time to time");
}

#[test]
fn rounding_is_counted_and_forgiven() {
    let report = report(Fault::Rounding, true);
    let (_, tally) = report.kinds.iter().find(|(kind, _)| *kind == Kind::Batched).unwrap();
    assert_eq!((tally.faults, tally.failed()), (0, false));
    assert!(tally.same < tally.answers && tally.agreed < tally.tokens && tally.least >= 10, "{tally:?}");
}

#[test]
fn an_error_is_told_as_it_came() {
    let report = report(Fault::Import, true);
    let (_, tally) = report.kinds.iter().find(|(kind, _)| *kind == Kind::Disk).unwrap();
    assert_eq!((tally.error.as_deref(), tally.answers), (Some("That is not a cache."), 0));
    let report = self::report(Fault::Keep, true);
    let (_, tally) = report.kinds.iter().find(|(kind, _)| *kind == Kind::Memory).unwrap();
    assert_eq!(tally.error.as_deref(), Some("A cache holds 15 tokens where 16 were fed."));
}

#[test]
fn prompts_fit_the_context() {
    for (context, expected) in [(2048, &[24, 290, 300, 300, 600, 1500][..]), (400, &[24, 290, 300, 300]), (80, &[24])] {
        let report = verify(&mut Fake::new(Fault::None, true).with_context(context), &mut |_| {}).unwrap();
        assert_eq!(report.prompts, expected);
    }
}

#[test]
fn a_file_gives_back_what_it_was_given() {
    use hearth_core::runner::Tensor;
    let tensor = |name: &str, dtype: &str, shape: &[usize], data: Vec<u8>| Tensor {
        name: name.into(),
        dtype: dtype.into(),
        shape: shape.into(),
        data,
    };
    let tensors = vec![
        tensor("layers.1.keys", "BF16", &[2, 3], (0..12).collect()),
        tensor("layers.0.keys", "F32", &[1, 2], (0..8).collect()),
        tensor("bits", "U32", &[0], Vec::new()),
        tensor("bytes", "U8", &[3], vec![1, 2, 3]),
    ];
    assert_eq!(file::through_a_file(tensors.clone()).unwrap(), tensors);
    let unknown = file::through_a_file(vec![tensor("x", "F31", &[1], vec![0])]).unwrap_err();
    assert!(unknown.message.contains("x cannot be written"), "{unknown}");
    let short = file::through_a_file(vec![tensor("x", "F32", &[2], vec![0; 4])]).unwrap_err();
    assert!(short.message.contains("x cannot be written"), "{short}");
}
