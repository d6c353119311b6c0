//! Packed KV caches: close to plain ones, the same in any company, refused where a head's size does not allow them.

use hearth_core::runner::Runner;
use hearth_mlx::{LoadOptions, MlxRunner};

use crate::{fixture, tiny};

fn load(architecture: &str, dims: usize, kv_bits: Option<u8>) -> MlxRunner {
    let folder = tiny::folder(architecture, dims);
    hearth_mlx::load(folder.path(), LoadOptions { kv_bits, ..LoadOptions::default() }).expect("a model")
}

/// The root of the mean square of the differences, as a share of that of the second list.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let square = |sum: f32, x: f32| sum + x * x;
    let apart = found.iter().zip(expected).map(|(a, b)| a - b).fold(0.0, square);
    (apart / expected.iter().copied().fold(0.0, square)).sqrt()
}

/// Found: 0.0013 to 0.0103 with 8 bits, 0.022 to 0.18 with 4; these models are random and forgive nothing.
#[test]
fn logits_are_close_to_those_of_plain_caches() {
    let prompt: Vec<u32> = (0..300).map(|place| (place * place + place / 7) % 150).collect();
    for architecture in tiny::ARCHITECTURES {
        for dims in [32, 64] {
            let plain = load(architecture, dims, None).logits(&prompt, 64).expect("logits");
            for (bits, tolerance) in [(8, 0.02), (4, 0.3)] {
                let found = load(architecture, dims, Some(bits)).logits(&prompt, 64).expect("logits");
                let apart = difference(&found, &plain);
                assert!(apart < tolerance && apart > 0.0, "{architecture}, {dims}, {bits} bits: {apart}");
            }
        }
    }
}

/// Masks, shared heads and chunks of one token take different ways through the code.
#[test]
fn a_prompt_in_chunks_gives_the_logits_of_one_pass() {
    let prompt: Vec<u32> = (0..70).map(|place| (place * 7 + 3) % 150).collect();
    for architecture in tiny::ARCHITECTURES {
        let mut runner = load(architecture, 32, Some(8));
        let whole = runner.logits(&prompt, usize::MAX).expect("logits");
        for chunk in [1, 7, 32] {
            let apart = difference(&runner.logits(&prompt, chunk).expect("logits"), &whole);
            assert!(apart < 1e-3, "{architecture}, chunks of {chunk}: {apart}");
        }
    }
}

#[test]
fn they_take_the_memory_that_they_say() {
    let plain = load("llama", 64, None).facts().cache.clone();
    assert_eq!((plain.token_bytes, plain.fixed_bytes, plain.step), (4 * 2 * 2 * 64 * 4, 0, 256));
    for bits in [4, 8] {
        let packed = load("llama", 64, Some(bits)).facts().cache.clone();
        assert_eq!(packed.token_bytes, 4 * 2 * 2 * (64 * u64::from(bits) / 8 + 2 * 4));
        assert_ne!(packed.fingerprint, plain.fingerprint);
    }
    let windows = load("gemma3_text", 32, Some(8)).facts().cache.clone();
    assert_eq!(windows.fixed_bytes, 3 * (15 + 640 + 256) * 2 * 2 * 32 * 4, "windows stay as they are");
    assert!(!windows.cuts_anywhere);
}

#[test]
fn a_model_with_small_heads_is_refused_by_name() {
    let folder = fixture::folder("llama-f32");
    let refused = hearth_mlx::load(&folder, LoadOptions { kv_bits: Some(8), ..LoadOptions::default() });
    let message = refused.err().expect("heads of 8").message;
    let expected =
        "llama-f32 cannot have a KV cache of 8 bits: its head_dim of 8 is no multiple of 32; leave the bits out";
    assert!(message.ends_with(expected), "{message}");
}
