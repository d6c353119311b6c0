//! What is reckoned before a download is what the worker counts after it: caches and weights to the byte, for every
//! architecture of this build.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use hearth_core::{
    model::{CacheFacts, ModelFacts},
    runner::Runner,
};
use hearth_hub::fit::{Needs, tensor_bytes};
use hearth_mlx::LoadOptions;
use serde_json::Value;

/// The repository's model folders: every architecture in several formats.
fn models() -> Vec<(PathBuf, Value)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fixtures =
        fs::read_dir(root.join("tests/fixtures/parity")).expect("fixtures").flatten().map(|entry| entry.path());
    // That one holds single layers, and no model.
    let models = fixtures.filter(|dir| !dir.ends_with("quantized-layers")).chain([root.join("models/ember")]);
    models.map(|dir| (dir.clone(), config(&dir))).collect()
}

fn config(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("config.json")).expect("config.json")).expect("JSON")
}

/// What has to agree: not the names of files and machine, nor what a pass takes besides, which depends on the device.
fn shape(cache: &CacheFacts) -> CacheFacts {
    CacheFacts { fingerprint: String::new(), memory_limit: 0, scratch_bytes: 0, ..cache.clone() }
}

#[test]
fn an_estimate_is_what_the_worker_counts() {
    let mut packed = 0;
    for (dir, config) in models() {
        let (files, dir_name) = (tensor_bytes(&dir).expect("safetensors files"), dir.display());
        for kv_bits in [None, Some(8), Some(4)] {
            let needs = Needs::new(&config, Some(files), kv_bits);
            let Ok(runner) = hearth_mlx::load(&dir, LoadOptions { kv_bits, ..LoadOptions::default() }) else {
                assert!(kv_bits.is_some() && needs.is_err(), "{dir_name}: {kv_bits:?} bits");
                continue;
            };
            let (needs, facts) = (needs.expect("an estimate"), runner.facts());
            assert_eq!(shape(&needs.cache), shape(&facts.cache), "{dir_name}: {kv_bits:?} bits");
            assert!([0, needs.cache.scratch_bytes].contains(&facts.cache.scratch_bytes), "{dir_name}");
            assert_eq!((needs.weights, needs.context), (facts.weight_bytes, facts.context_length), "{dir_name}");
            packed += usize::from(kv_bits.is_some());
        }
    }
    assert!(packed > 0, "no model could have a packed cache");
}

#[test]
fn every_architecture_is_among_the_models() {
    let found: BTreeSet<_> =
        models().iter().filter_map(|(_, config)| Some(config["model_type"].as_str()?.to_owned())).collect();
    assert_eq!(found, hearth_mlx::models::names().map(str::to_owned).collect());
}

#[test]
fn weights_follow_from_the_configuration_alone() {
    for (dir, mut config) in models() {
        let facts = hearth_mlx::load(&dir, LoadOptions::default()).expect("a model").facts().clone();
        // The fixtures' configurations do not name the type of floats; the worker's caches tell it.
        let implied = ["bfloat16", "float32"].into_iter().find_map(|name| {
            config["torch_dtype"] = name.into();
            let needs = Needs::new(&config, None, None).expect("an estimate");
            (shape(&needs.cache) == shape(&facts.cache)).then_some(needs.weights)
        });
        assert!(implied.is_some_and(|implied| agrees(implied, &facts)), "{}: {implied:?}", dir.display());
    }
}

fn agrees(implied: u64, facts: &ModelFacts) -> bool {
    implied.abs_diff(facts.weight_bytes) * 50 <= facts.weight_bytes
}
