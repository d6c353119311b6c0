//! Small checkpoints, whole and broken, loaded and used through MLX.

use serde_json::{Value, json};

use super::*;
use crate::{
    ops,
    testing::{Folder, config, floats, safetensors},
};

fn open(folder: &Folder, changes: Value) -> Result<Weights, String> {
    let config = Config::new(config(changes), None).expect("a sound config");
    let shown = folder.path().display().to_string();
    Weights::open(folder.path(), &config).map_err(|error| error.message.replace(&shown, "DIR"))
}

fn single(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Folder {
    Folder::new().with("model.safetensors", safetensors(tensors))
}

/// `x · Wᵀ` for the unit vectors `x`: the columns of the weight, one after the other.
fn columns(linear: &Linear, input: usize) -> Vec<f32> {
    let unit: Vec<f32> = (0..input * input).map(|i| if i % (input + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let x = Array::from_slice(&unit, &[input as i32, input as i32]);
    ops::to_vec(&linear.forward(&x).unwrap()).unwrap()
}

#[test]
fn tensors_are_read_as_they_were_written() {
    let folder = single(&[
        ("a.weight", "F32", &[2, 3], floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("b.c", "BF16", &[2], vec![0x80, 0x3f, 0x00, 0xc0]),
        ("b.d", "F16", &[1], vec![0x00, 0x3c]),
    ]);
    let weights = open(&folder, json!({})).unwrap();
    let values = |array: Array| ops::to_vec::<f32>(&ops::astype(&array, ops::Dtype::Float32).unwrap()).unwrap();
    assert_eq!(values(weights.tensor("a.weight", &[2, 3]).unwrap()), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(values(weights.sub("b").tensor("c", &[2]).unwrap()), [1.0, -2.0]);
    assert_eq!(values(weights.sub("b").tensor("d", &[1]).unwrap()), [1.0]);
    let mut told = Vec::new();
    assert_eq!(weights.finish(&mut |done, total| told.push((done, total))), Ok(24 + 4 + 2));
    assert_eq!(told, [(0, 30), (30, 30)]);
}

#[test]
fn layers_are_built_from_their_tensors() {
    let folder = single(&[
        ("m.up.weight", "F32", &[1, 2], floats(&[3.0, 4.0])),
        ("m.up.bias", "F32", &[1], floats(&[10.0])),
        ("m.norm.weight", "F32", &[2], floats(&[1.0, 1.0])),
        ("m.embed.weight", "F32", &[2, 1], floats(&[7.0, 8.0])),
    ]);
    let weights = open(&folder, json!({})).unwrap().sub("m");
    assert_eq!(columns(&weights.linear_with_bias("up", 1, 2).unwrap(), 2), [13.0, 14.0]);
    assert!(weights.rms_norm("norm", 2, 1e-6).is_ok());
    let rows = weights.embedding("embed", 2, 1).unwrap().forward(&Array::from_slice(&[1_u32], &[1])).unwrap();
    assert_eq!(ops::to_vec::<f32>(&rows).unwrap(), [8.0]);
}

#[test]
fn what_does_not_fit_the_config_is_refused_before_it_is_read() {
    let folder = single(&[
        ("a.weight", "F32", &[2, 3], vec![0; 24]),
        ("i.weight", "I64", &[1], vec![0; 8]),
        ("up.weight", "F32", &[2, 2], vec![0; 16]),
        ("up.bias", "F32", &[2], vec![0; 8]),
    ]);
    let weights = open(&folder, json!({})).unwrap();
    let cases = [
        (weights.tensor("a.weight", &[3, 2]).err(), "a.weight has shape [2, 3], config.json implies [3, 2]"),
        (weights.tensor("i.weight", &[1]).err(), "i.weight has type I64, expected F32 or F16 or BF16"),
        (
            weights.sub("model.layers.3.self_attn").linear("q_proj", 2, 2).err(),
            "missing model.layers.3.self_attn.q_proj.weight",
        ),
        (weights.linear_with_bias("a", 2, 3).err(), "missing a.bias"),
        (weights.linear("up", 2, 2).err(), "up.bias is not expected: config.json describes a layer without bias"),
    ];
    for (error, expected) in cases {
        assert_eq!(error.expect("an error").message, format!("model.safetensors: {expected}"));
    }
    assert_eq!(weights.finish(&mut |_, _| ()), Ok(0));
}

#[test]
fn a_quantized_layer_is_known_by_its_scales() {
    // One row of 32 numbers of 4 bits: 0 to 7 four times, times 2, plus 1.
    let packed = [0x7654_3210_u32; 4].iter().flat_map(|word| word.to_le_bytes()).collect();
    let folder = single(&[
        ("up.weight", "U32", &[1, 4], packed),
        ("up.scales", "F32", &[1, 1], floats(&[2.0])),
        ("up.biases", "F32", &[1, 1], floats(&[1.0])),
    ]);
    let weights = open(&folder, json!({"quantization": {"group_size": 32, "bits": 4}})).unwrap();
    let linear = weights.linear("up", 1, 32).unwrap();
    let expected: Vec<f32> = (0..32).map(|i| 1.0 + 2.0 * (i % 8) as f32).collect();
    assert_eq!(columns(&linear, 32), expected);
}

#[test]
fn every_quantization_of_mlx_is_read() {
    // Weights of one repeated byte, a scale of 2 (in each format's own way) and, where there is one, a bias of 1.
    let cases = [
        ("affine", 2, 32, 0xff, 7.0),
        ("affine", 3, 64, 0xff, 15.0),
        ("affine", 4, 128, 0xff, 31.0),
        ("affine", 5, 32, 0xff, 63.0),
        ("affine", 6, 64, 0xff, 127.0),
        ("affine", 8, 128, 0xff, 511.0),
        ("mxfp4", 4, 32, 0xff, -12.0),
        ("nvfp4", 4, 16, 0x55, 6.0),
        ("mxfp8", 8, 32, 0x38, 2.0),
    ];
    for (mode, bits, group_size, byte, expected) in cases {
        let count = 2 * 128 / group_size;
        let (shape, packed) = ([2, 128 / group_size], [2, 4 * bits]);
        let scales = match mode {
            "affine" => ("up.scales", "F32", shape.as_slice(), floats(&vec![2.0; count])),
            "nvfp4" => ("up.scales", "U8", shape.as_slice(), vec![0x40; count]),
            _ => ("up.scales", "U8", shape.as_slice(), vec![128; count]),
        };
        let mut tensors = vec![("up.weight", "U32", packed.as_slice(), vec![byte; 2 * 128 * bits / 8]), scales];
        if mode == "affine" {
            tensors.push(("up.biases", "F32", &shape, floats(&vec![1.0; count])));
        }
        let folder = single(&tensors);
        let quantization = json!({"mode": mode, "bits": bits, "group_size": group_size});
        let weights = open(&folder, json!({ "quantization": quantization })).unwrap();
        let linear = weights.linear("up", 2, 128).unwrap_or_else(|error| panic!("{mode} {bits}: {error}"));
        assert_eq!(columns(&linear, 128), vec![expected; 256], "{mode} {bits}");
    }
}

#[test]
fn a_wrong_quantization_is_refused() {
    let parts = |weight: usize, scales: &'static str| -> Folder {
        let bytes = if scales == "U8" { 1 } else { 4 };
        single(&[
            ("up.weight", "U32", &[1, weight], vec![0; 4 * weight]),
            ("up.scales", scales, &[1, 2], vec![0; 2 * bytes]),
            ("up.biases", "F32", &[1, 2], vec![0; 8]),
        ])
    };
    let four_bits = json!({"quantization": {"group_size": 32, "bits": 4}});
    let cases = [
        (parts(8, "F32"), json!({}), 64, "up is stored quantized, but config.json has no quantization for it"),
        (
            parts(8, "F32"),
            json!({"quantization": {"group_size": 32, "bits": 4, "up": false}}),
            64,
            "up is stored quantized, but config.json has no quantization for it",
        ),
        (
            parts(9, "F32"),
            four_bits.clone(),
            64,
            "model.safetensors: up.weight has shape [1, 9], config.json implies [1, 8]",
        ),
        (
            parts(8, "U8"),
            four_bits.clone(),
            64,
            "model.safetensors: up.scales has type U8, expected F32 or F16 or BF16",
        ),
        (parts(8, "F32"), four_bits, 60, "up.weight has 60 columns, which groups of 32 do not divide"),
        (
            parts(8, "F32"),
            json!({"quantization": {"mode": "mxfp4"}}),
            64,
            "model.safetensors: up.scales has type F32, expected U8",
        ),
    ];
    for (folder, changes, input, expected) in cases {
        let weights = open(&folder, changes).unwrap();
        assert_eq!(weights.linear("up", 1, input).expect_err("an error").message, expected);
    }
}

fn sharded(map: Value) -> Folder {
    Folder::new()
        .with("model-00001-of-00002.safetensors", safetensors(&[("a", "F32", &[1], floats(&[1.0]))]))
        .with("model-00002-of-00002.safetensors", safetensors(&[("b", "F32", &[1], floats(&[2.0]))]))
        .with("model.safetensors.index.json", json!({"weight_map": map}).to_string())
}

#[test]
fn shards_make_one_checkpoint() {
    let map = json!({"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"});
    let folder = sharded(map);
    let weights = open(&folder, json!({})).unwrap();
    for (name, value) in [("a", 1.0), ("b", 2.0)] {
        assert_eq!(ops::to_vec::<f32>(&weights.tensor(name, &[1]).unwrap()).unwrap(), [value]);
    }
    assert_eq!(weights.tensor("c", &[1]).unwrap_err().message, "the checkpoint: missing c");
}

/// The scan takes these names, too.
#[test]
fn shards_may_be_called_as_their_makers_like() {
    for name in ["my model--part 1.safetensors", "~model.safetensors", "modèle.safetensors"] {
        let folder = sharded(json!({"a": name})).with(name, safetensors(&[("a", "F32", &[1], floats(&[1.0]))]));
        open(&folder, json!({})).unwrap().tensor("a", &[1]).unwrap();
    }
}

#[test]
fn an_index_names_files_of_its_own_folder_only() {
    let names = [
        "../model.safetensors",
        "/etc/passwd",
        "..",
        "",
        ".safetensors",
        "a/b.safetensors",
        "a\\b.safetensors",
        "model.bin",
        "model\u{0}.safetensors",
        "C:model.safetensors",
        ".model.safetensors",
    ];
    for name in names.map(|name| json!(name)).into_iter().chain([json!(null), json!(7)]) {
        let message = open(&sharded(json!({"a": name})), json!({})).err().expect("an error");
        let expected =
            format!("model.safetensors.index.json: \"a\" must name a safetensors file of the same folder, not {name}");
        assert_eq!(message, expected);
    }
}

#[test]
fn an_incomplete_checkpoint_is_refused() {
    let tensor = || safetensors(&[("a", "F32", &[1], floats(&[1.0]))]);
    let cases = [
        (Folder::new(), "the folder DIR holds no model.safetensors"),
        (Folder::new().with("pytorch_model.bin", ""), "the folder DIR holds no model.safetensors"),
        (
            sharded(json!({"a": "model-3.safetensors"})),
            "model-3.safetensors cannot be read: No such file or directory (os error 2)",
        ),
        (sharded(json!({})), "model.safetensors.index.json: weight_map names no file"),
        (sharded(json!(7)), "model.safetensors.index.json: weight_map is missing"),
        (
            single(&[("vision_tower.patch.weight", "F32", &[1], vec![0; 4])]),
            "the checkpoint holds images' weights (vision_tower.patch.weight), and models that see are not supported yet",
        ),
        (
            Folder::new().with("model-1.safetensors", tensor()).with("model-2.safetensors", tensor()),
            "a is both in model-1.safetensors and in model-2.safetensors",
        ),
    ];
    for (folder, expected) in cases {
        assert_eq!(open(&folder, json!({})).err().as_deref(), Some(expected));
    }
}

#[test]
fn a_read_that_fails_is_reported_for_small_and_large_tensors() {
    for count in [1 << 10, 1 << 20, 10 << 20] {
        let folder = single(&[("a", "F32", &[4], vec![0; 16]), ("b", "F32", &[count], vec![0; 4 * count])]);
        let weights = open(&folder, json!({})).unwrap();
        let file = std::fs::File::options().write(true).open(folder.path().join("model.safetensors")).unwrap();
        file.set_len(1000).unwrap();
        let _arrays = [weights.tensor("a", &[4]).unwrap(), weights.tensor("b", &[count]).unwrap()];
        let message = weights.finish(&mut |_, _| ()).unwrap_err().message;
        assert!(message.starts_with("model.safetensors: b cannot be read"), "{message}");
    }
}

#[test]
fn a_file_replaced_after_its_check_is_not_looked_at() {
    let file = |value| safetensors(&[("a", "F32", &[1], floats(&[value]))]);
    let folder = Folder::new().with("model.safetensors", file(1.0)).with("other", file(2.0));
    let weights = open(&folder, json!({})).unwrap();
    std::fs::rename(folder.path().join("other"), folder.path().join("model.safetensors")).unwrap();
    let array = weights.tensor("a", &[1]).unwrap();
    assert_eq!((weights.finish(&mut |_, _| ()), ops::to_vec::<f32>(&array).unwrap()), (Ok(4), vec![1.0]));
}

/// A file of one dense and one quantized layer.
fn sound_file() -> Vec<u8> {
    safetensors(&[
        ("a.weight", "F32", &[2, 3], floats(&[1.0; 6])),
        ("up.weight", "U32", &[1, 4], vec![7; 16]),
        ("up.scales", "F32", &[1, 1], floats(&[2.0])),
        ("up.biases", "F32", &[1, 1], floats(&[1.0])),
    ])
}

/// Loads and uses everything that [`sound_file`] holds.
fn load_all(bytes: &[u8]) -> Result<(), String> {
    let folder = Folder::new().with("model.safetensors", bytes);
    let weights = open(&folder, json!({"quantization": {"group_size": 32, "bits": 4}}))?;
    let load = || -> Result<()> {
        ops::eval([&weights.linear("up", 1, 32)?.forward(&ops::zeros(&[1, 32], ops::Dtype::Float32)?)?])?;
        ops::eval([&weights.linear("a", 2, 3)?.forward(&ops::zeros(&[1, 3], ops::Dtype::Float32)?)?])?;
        weights.finish(&mut |_, _| ()).map(drop)
    };
    load().map_err(|error| error.message)
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let whole = sound_file();
    assert_eq!(load_all(&whole), Ok(()));
    for step in 0..50 {
        let length = whole.len() * step / 50;
        let message = load_all(&whole[..length]).expect_err("a truncated file");
        assert!(message.starts_with("model.safetensors is truncated"), "{length}: {message}");
    }
}

#[test]
fn a_flipped_bit_in_the_header_never_crashes() {
    let whole = sound_file();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut refused = 0;
    // 7 is coprime to 8, so every place of a bit in its byte comes up.
    for bit in (0..header * 8).step_by(7) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(load_all(&bytes).is_err());
    }
    assert!(refused > header * 6 / 7, "only {refused} of {} flips were noticed", header * 8 / 7);
}
