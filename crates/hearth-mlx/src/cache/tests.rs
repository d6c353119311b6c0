//! The rules of each kind of cache: what queries see, where it can be cut, and who owns which memory.

use hearth_core::{
    model::CacheFacts,
    runner::{Cuts, Tensor},
};

use super::*;
use crate::{
    ops::Dtype,
    quantization::{Mode, Scheme},
};

const SCHEME: Scheme = Scheme { mode: Mode::Affine, bits: 8, group_size: 32 };

/// Numbers of a head in these tests.
const DIMS: i32 = 32;

/// Keys that tell the token's position, for two heads.
fn tokens(from: i32, count: i32) -> Array {
    let number = |position: i32| (0..DIMS).map(move |place| (position * DIMS + place) as f32);
    let numbers: Vec<f32> = (0..2).flat_map(|_| (from..from + count).flat_map(number)).collect();
    Array::from_slice(&numbers, &[1, 2, count, DIMS])
}

fn values(array: &Array) -> Vec<f32> {
    ops::contiguous(array).and_then(|array| ops::to_vec(&array)).expect("values")
}

fn packed() -> LayerKind {
    LayerKind::Quantized { keys: SCHEME, values: Scheme { bits: 4, ..SCHEME } }
}

fn feed(cache: &mut LayerCache, count: i32) -> Visible {
    let seen = cache.seen();
    if let LayerCache::Recurrent(state) = cache {
        let numbers = Array::from_slice(&[(seen + count) as f32; 3], &[1, 3]);
        state.replace(vec![numbers.clone(), numbers], count).expect("a state");
        return Visible::Plain { keys: tokens(0, 1), values: tokens(0, 1), before: 0, window: None };
    }
    cache.update(&tokens(seen, count), &tokens(seen, count)).expect("an update")
}

/// A cache that has seen tokens in chunks.
fn fed(kind: &LayerKind, chunks: &[i32]) -> LayerCache {
    let mut cache = LayerCache::new(kind);
    chunks.iter().for_each(|&count| drop(feed(&mut cache, count)));
    cache
}

/// Everything that a query of one more token sees, or the state.
fn seen_next(cache: &LayerCache) -> Vec<Vec<u8>> {
    let mut cache = cache.clone();
    let bytes = |array: &Array| ops::to_bytes(array).expect("bytes");
    match feed(&mut cache, 1) {
        _ if matches!(cache, LayerCache::Recurrent(_)) => cache.arrays().iter().map(bytes).collect(),
        Visible::Plain { keys, values, .. } => vec![bytes(&keys), bytes(&values)],
        Visible::Quantized { keys, values } => {
            let parts =
                [&keys, &values].map(|packed| [Some(&packed.weight), Some(&packed.scales), packed.biases.as_ref()]);
            parts.iter().flatten().flatten().map(|array| bytes(array)).collect()
        }
    }
}

/// Where a buffer lies, once it is computed.
fn place(cache: &LayerCache) -> *const u8 {
    ops::eval(cache.arrays()).expect("an evaluation");
    ops::address(&cache.arrays()[0])
}

fn kinds() -> Vec<LayerKind> {
    let recurrent = LayerKind::Recurrent(["conv".to_owned(), "state".to_owned()].into());
    vec![LayerKind::Growing, packed(), LayerKind::Window(16), LayerKind::Window(1), recurrent]
}

/// Feeds chunks of these sizes and checks what the queries of each see.
fn check(window: Option<i32>, chunks: &[i32]) {
    let mut cache = LayerCache::new(&window.into());
    for &new in chunks {
        let offset = cache.seen();
        let Visible::Plain { keys, values: others, before, .. } = feed(&mut cache, new) else { panic!("packed") };
        let reach = window.map_or(offset, |window| offset.min(window - 1));
        let expected = values(&tokens(offset - reach, reach + new));
        for found in [&keys, &others] {
            assert!(values(found) == expected, "window {window:?}, {new} tokens at {offset} of {chunks:?}");
        }
        assert_eq!((before, cache.seen()), (reach, offset + new));
        let largest = chunks.iter().max().expect("a chunk");
        let most = window.map_or(offset + new, |window| window + largest) + STEP;
        assert!(
            cache.arrays().iter().all(|buffer| buffer.dim(2) <= most),
            "window {window:?}: room for more than {most}"
        );
    }
}

#[test]
fn queries_see_the_tokens_before_them_whatever_the_chunks() {
    let one_by_one = [1; 600];
    let cases: &[&[i32]] = &[&one_by_one, &[7, 1, 1, 300, 1, 1, 256, 255, 1, 1], &[256, 256, 1], &[1000, 1, 30]];
    for window in [None, Some(1), Some(2), Some(16), Some(300)] {
        cases.iter().for_each(|chunks| check(window, chunks));
    }
}

/// 8 bits tell 256 numbers apart, and a group here holds 32 in a row: it gives them back but for rounding.
#[test]
fn packed_tokens_are_those_that_came_whatever_the_chunks() {
    let whole = seen_next(&fed(&packed(), &[600]));
    for chunks in [&[1; 600][..], &[7, 1, 1, 300, 1, 1, 256, 33], &[256, 256, 88]] {
        assert!(seen_next(&fed(&packed(), chunks)) == whole, "chunks of {chunks:?}");
    }
    let Visible::Quantized { keys, .. } = feed(&mut fed(&packed(), &[9]), 1) else { panic!("plain") };
    let unpacked = ops::dequantize(&keys.weight, &keys.scales, keys.biases.as_ref(), &SCHEME).expect("numbers");
    for (found, expected) in values(&unpacked).iter().zip(values(&tokens(0, 10))) {
        assert!((found - expected).abs() < 0.1, "{found} for {expected}");
    }
}

#[test]
fn a_step_that_does_not_grow_writes_in_place() {
    for kind in [LayerKind::Growing, packed(), LayerKind::Window(4)] {
        let mut cache = fed(&kind, &[3]);
        let first = place(&cache);
        for token in 3..20 {
            feed(&mut cache, 1);
            assert_eq!(place(&cache), first, "{kind:?}, token {token}");
        }
    }
}

#[test]
fn a_cut_cache_goes_on_in_place_as_if_the_rest_had_never_come() {
    for kind in [LayerKind::Growing, packed()] {
        for (chunks, len) in [(&[40][..], 17), (&[256], 255), (&[256], 256), (&[300, 1, 1], 256), (&[300, 1, 1], 1)] {
            let mut cache = fed(&kind, chunks);
            let (bytes, first) = (bytes(cache.arrays()), place(&cache));
            assert_eq!(cache.cuts_from(), 0);
            cache.cut(len);
            assert_eq!((cache.seen(), super::bytes(cache.arrays())), (len, bytes), "{kind:?} cut to {len}");
            assert!(seen_next(&cache) == seen_next(&fed(&kind, &[len])), "{kind:?} cut to {len}");
            feed(&mut cache, 1);
            assert_eq!(place(&cache), first, "{kind:?} cut to {len}");
        }
    }
}

#[test]
fn a_window_can_be_cut_back_while_a_whole_one_is_held() {
    for window in [1, 2, 16] {
        let kind = LayerKind::Window(window);
        let mut cache = fed(&kind, &[20]);
        assert_eq!(cache.cuts_from(), 0);
        for seen in 21..700 {
            feed(&mut cache, 1);
            let from = cache.cuts_from();
            assert!(
                (0..=seen).contains(&from) && (from == 0 || from >= window - 1),
                "window {window}: from {from} of {seen}"
            );
            if seen % 90 != 0 {
                continue;
            }
            for len in [from.max(1), (from + seen) / 2, seen] {
                let mut cut = cache.clone();
                cut.cut(len);
                assert!(seen_next(&cut) == seen_next(&fed(&kind, &[len])), "window {window}, {len} of {seen}");
            }
        }
    }
    let long = fed(&LayerKind::Window(16), &[100, 500]);
    assert_eq!(long.cuts_from(), 100, "the first 85 tokens are gone");
}

#[test]
fn a_copy_has_its_own_memory_and_its_source_goes_on_in_place() {
    for kind in kinds().into_iter().filter(|kind| *kind != LayerKind::Window(1)) {
        for (chunks, len) in [(&[40][..], 40), (&[40], 17), (&[256], 256), (&[300, 5], 301), (&[512], 512)] {
            let mut cache = fed(&kind, chunks);
            let len = len.max(cache.cuts_from());
            let first = place(&cache);
            let mut copy = cache.copy(len).expect("a copy");
            let second = place(&copy);
            assert_ne!(first, second, "{kind:?}");
            assert_eq!((copy.seen(), cache.seen()), (len, chunks.iter().sum()));
            assert!(seen_next(&copy) == seen_next(&fed(&kind, &[len])), "{kind:?} copied to {len}");
            if kind.holds_tokens() {
                feed(&mut cache, 1);
                feed(&mut copy, 1);
                assert_eq!((place(&cache), place(&copy)), (first, second), "{kind:?}: {chunks:?} copied to {len}");
            }
        }
    }
}

#[test]
fn a_mark_is_what_is_needed_and_outlives_what_comes_later() {
    for kind in kinds() {
        let mut cache = fed(&kind, &[100, 7]);
        let mark = cache.mark().expect("a mark");
        place(&cache);
        ops::eval(mark.arrays()).expect("an evaluation");
        let expected = seen_next(&fed(&kind, &[107]));
        (0..300).for_each(|_| drop(feed(&mut cache, 1)));
        place(&cache);
        assert_eq!(mark.seen(), 107);
        assert!(seen_next(&mark) == expected, "{kind:?}");
        let unit: u64 = mark.content().expect("arrays").iter().map(|array| array.nbytes() as u64).sum();
        assert_eq!(bytes(mark.arrays()), unit, "{kind:?}: a mark has no room");
    }
}

/// A mark of a sliding window is small, whatever lies in the buffer that it is taken from.
#[test]
fn a_mark_of_a_window_holds_no_more_than_a_window() {
    let mark = fed(&LayerKind::Window(16), &[1000]).mark().expect("a mark");
    assert!(mark.arrays().iter().all(|array| array.dim(2) == 15));
}

#[test]
fn a_recurrent_state_cannot_be_cut_and_is_known_by_its_names() {
    let names: std::rc::Rc<[String]> = ["conv".to_owned(), "state".to_owned()].into();
    let mut state = Recurrent::new(&names);
    assert!(state.state("conv").is_none());
    assert_eq!(state.cuts_from(), 0);
    let array = Array::from_f32(1.0);
    assert_eq!(
        state.replace(vec![array.clone()], 1).expect_err("too few").message,
        "a recurrent state of 2 arrays was given 1"
    );
    state.replace(vec![array.clone(), Array::from_f32(2.0)], 5).expect("a state");
    assert_eq!((state.seen(), state.cuts_from()), (5, 5));
    assert_eq!(state.state("state").map(values), Some(vec![2.0]));
    assert!(state.state("other").is_none());
    let refused = LayerCache::Recurrent(state).update(&array, &array).expect_err("no keys");
    assert_eq!(refused.message, "a layer with a recurrent state was given keys and values");
}

/// A sequence of a model with one layer of each kind.
fn sequence(chunks: &[i32], marks: &[i32]) -> SequenceCache {
    let mut cache = SequenceCache::new(&kinds());
    for &count in chunks {
        (0..kinds().len()).for_each(|layer| drop(feed(cache.layer(layer), count)));
        if marks.contains(&cache.offset()) {
            cache.mark(&kinds()).expect("a mark");
        }
    }
    cache
}

fn check_same(found: &SequenceCache, expected: &SequenceCache, what: &str) {
    assert_eq!(found.offset(), expected.offset(), "{what}");
    assert!(found.is_whole());
    for ((found, expected), kind) in found.layers().iter().zip(expected.layers()).zip(kinds()) {
        assert!(seen_next(found) == seen_next(expected), "{what}: {kind:?}");
    }
}

#[test]
fn a_sequence_is_cut_back_to_its_marks_and_to_nothing_else() {
    let chunks = [100, 300, 200, 7];
    let whole = sequence(&chunks, &[100, 400]);
    assert_eq!(whole.cuts(), Cuts { from: 607, marks: vec![100, 400] });
    for (len, rest) in [(100, vec![100]), (400, vec![100, 400]), (607, vec![100, 400])] {
        let expected = sequence(&[len], &[]);
        let copy = whole.copy(len as usize).expect("a copy");
        check_same(&copy, &expected, "copy");
        let cut = sequence(&chunks, &[100, 400]).cut(len as usize).expect("a cut");
        check_same(&cut, &expected, "cut");
        for resumed in [copy, cut] {
            assert_eq!(resumed.marks().iter().map(|mark| mark.len).collect::<Vec<_>>(), rest);
        }
    }
    for len in [0, 99, 101, 606, 608] {
        let refused = whole.copy(len).expect_err("no such length").message;
        assert_eq!(refused, format!("a cache of 607 tokens cannot be cut back to {len}"));
    }
}

/// What is left of a long cache takes no more than is reckoned for one that goes on from there.
#[test]
fn a_sequence_that_is_cut_short_moves_to_smaller_buffers() {
    let kinds = [LayerKind::Growing, packed()];
    let fed = |count: i32| {
        let mut cache = SequenceCache::new(&kinds);
        (0..2).for_each(|layer| drop(feed(cache.layer(layer), count)));
        cache
    };
    for (len, moves) in [(100, true), (2000, true), (2559, true), (2560, false), (2900, false)] {
        let cache = fed(3000);
        let token_bytes = cache.bytes() / 3072;
        let before = place(&cache.layers()[0]);
        let cut = cache.cut(len).expect("a cut");
        assert_eq!(place(&cut.layers()[0]) != before, moves, "cut to {len}");
        let facts = CacheFacts { token_bytes, step: STEP as usize, ..CacheFacts::default() };
        let (taken, reckoned) = (cut.bytes(), facts.sequence_bytes(len + 1, len + 1));
        assert!(taken <= reckoned, "cut to {len}: {taken} bytes, not {reckoned}");
        let expected = fed(len as i32);
        assert_eq!((cut.offset(), seen_next(&cut.layers()[1])), (len as i32, seen_next(&expected.layers()[1])));
    }
}

#[test]
fn a_sequence_has_only_so_many_marks() {
    let ends: Vec<i32> = (1..=20).map(|turn| turn * 10).collect();
    let cache = sequence(&[10; 20], &ends);
    assert_eq!(cache.cuts().marks, [130, 140, 150, 160, 170, 180, 190, 200]);
    check_same(&cache.copy(130).expect("a copy"), &sequence(&[130], &[]), "the oldest that is left");
}

/// The marked lengths of a sequence that was resumed twice hold what they held first.
#[test]
fn marks_survive_what_is_resumed_from_them() {
    let mut cache = sequence(&[100, 300], &[100]).cut(100).expect("a cut");
    (0..kinds().len()).for_each(|layer| drop(feed(cache.layer(layer), 300)));
    check_same(&cache, &sequence(&[400], &[]), "again");
    check_same(&cache.cut(100).expect("a cut"), &sequence(&[100], &[]), "and back");
}

#[test]
fn only_layers_that_need_it_are_marked() {
    let kinds = [LayerKind::Growing, packed()];
    let mut cache = SequenceCache::new(&kinds);
    (0..2).for_each(|layer| drop(feed(cache.layer(layer), 9)));
    let bytes = cache.bytes();
    cache.mark(&kinds).expect("a mark");
    assert_eq!((cache.bytes(), cache.cuts()), (bytes, Cuts { from: 0, marks: Vec::new() }));
    let marked = sequence(&[100, 300], &[100, 400]);
    let states = marked.marks()[1].states.iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(states, [false, false, true, true, true]);
    let window = 15 * 2 * 2 * DIMS as u64 * 4;
    assert_eq!(marked.bytes() - sequence(&[100, 300], &[]).bytes(), 2 * (window + 2 * 3 * 4));
}

#[test]
fn facts_are_those_of_the_buffers() {
    let facts = facts(&forms(), 4096);
    let plain = 2 * 2 * DIMS as u64 * 4;
    let packed = 2 * (DIMS as u64 + 8) + 2 * (DIMS as u64 / 2 + 8);
    assert_eq!(facts.token_bytes, plain + packed);
    assert_eq!(facts.fixed_bytes, (15 + 640 + 256 + 640 + 256) * plain + 2 * 3 * 4);
    assert_eq!((facts.step, facts.cuts_anywhere), (256, false));
    let grown = sequence(&[640, 640], &[]);
    assert_eq!(grown.bytes(), 1536 * facts.token_bytes + facts.fixed_bytes, "after the largest chunks");
    let marked = sequence(&[640, 640], &[640, 1280]);
    assert_eq!(marked.bytes() - grown.bytes(), 2 * facts.mark_bytes);
    let endless = super::facts(&[Form { kind: LayerKind::Window(i32::MAX), ..forms()[2].clone() }], 4096);
    assert_eq!((endless.fixed_bytes, endless.mark_bytes), ((4096 + 256) * plain, 4096 * plain));
}

fn forms() -> Vec<Form> {
    Form::of(&kinds(), &sequence(&[1], &[]))
}

#[test]
fn what_is_exported_comes_back_bit_by_bit() {
    for (chunks, marks) in [(&[1][..], &[][..]), (&[256], &[256]), (&[100, 300, 7], &[100, 400]), (&[1; 300], &[30])] {
        let cache = sequence(chunks, marks);
        let tensors = export(&cache, &forms()).expect("tensors");
        let back = import(&forms(), tensors.clone()).expect("a cache");
        check_same(&back, &cache, "back");
        assert_eq!(back.cuts(), cache.cuts());
        assert_eq!(export(&back, &forms()).expect("tensors"), tensors);
        let held: u64 = tensors.iter().skip(1).map(|tensor| tensor.data.len() as u64).sum();
        assert_eq!(back.bytes(), held, "no more than was exported");
    }
}

#[test]
fn whatever_is_not_an_export_is_refused() {
    let tensors = export(&sequence(&[100, 300, 7], &[100]), &forms()).expect("tensors");
    let place = |name: &str| tensors.iter().position(|tensor| tensor.name == name).expect(name);
    let refused = |change: &dyn Fn(&mut Vec<Tensor>)| {
        let mut changed = tensors.clone();
        change(&mut changed);
        import(&forms(), changed).expect_err("a refusal").message
    };
    for index in 0..tensors.len() {
        refused(&|all| drop(all.remove(index)));
        refused(&|all| all.push(all[index].clone()));
        refused(&|all| all[index].data = all[index].data[1..].to_vec());
        refused(&|all| all[index].data.push(0));
        refused(&|all| all[index].dtype = "F16".to_owned());
        refused(&|all| all[index].name.push('s'));
        for axis in 0..tensors[index].shape.len() {
            refused(&|all| all[index].shape[axis] += 1);
            refused(&|all| all[index].shape[axis] = usize::MAX);
            refused(&|all| all[index].shape[axis] = 0);
        }
        refused(&|all| all[index].shape.push(1));
        refused(&|all| all[index].shape = all[index].shape[1..].to_vec());
    }
    for seen in [0_u32, 1, 406, 408, u32::MAX] {
        refused(&|all| all[0].data = seen.to_le_bytes().to_vec());
    }
    refused(&Vec::clear);
    let cases = [
        ("layers.0.keys", "layers.0.keys has shape [1, 2, 406, 32], not [1, 2, 407, 32]"),
        ("layers.2.values", "layers.2.values has shape [1, 2, 321, 32], not [1, 2, 322, 32]"),
        ("marks.100.layers.2.keys", "marks.100.layers.2.keys holds 14 of 100 tokens"),
    ];
    for (name, reason) in cases {
        let message = refused(&|all| all[place(name)].shape[2] -= 1);
        assert_eq!(message, format!("a stored cache does not fit the model: {reason}"));
    }
    let foreign = refused(&|all| all[place("layers.0.keys")].name = "layers.0.\u{1b}[2J".to_owned());
    assert_eq!(foreign, "a stored cache does not fit the model: layers.0.keys is missing");
}

#[test]
fn bits_that_cannot_be_had_are_refused_with_the_reason() {
    let part = |dims| PartForm { name: "keys".to_owned(), dtype: Dtype::Float32, shape: vec![1, 2, 1, dims] };
    let form = |dims| Form { kind: LayerKind::Growing, parts: vec![part(dims), part(dims)] };
    assert_eq!(
        quantize(&[form(64)], 3, "/models/a").expect_err("3 bits").message,
        "a KV cache can have 4 or 8 bits, not 3"
    );
    let message = quantize(&[form(64), form(80)], 8, "/models/a").expect_err("heads of 80").message;
    assert!(message.starts_with("/models/a cannot have a KV cache of 8 bits: its head_dim of 80 is"), "{message}");
    for (dims, group_size) in [(32, 32), (64, 64), (96, 32), (128, 64)] {
        let scheme = Scheme { mode: Mode::Affine, bits: 4, group_size };
        let expected = [LayerKind::Quantized { keys: scheme, values: scheme }, LayerKind::Window(4)];
        let window = Form { kind: LayerKind::Window(4), ..form(dims) };
        assert_eq!(quantize(&[form(dims), window], 4, "/models/a").expect("kinds"), expected);
    }
}
