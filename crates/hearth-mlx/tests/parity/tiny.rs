//! Tiny random models in a temporary folder: of every architecture, with heads large enough for packed caches.

use std::{collections::BTreeMap, fs};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Sizes of all of them.
const HIDDEN: usize = 32;
const INNER: usize = 64;
const QUERIES: usize = 4;
const KEYS: usize = 2;
const LAYERS: usize = 4;
const VOCAB: usize = 160;

pub(crate) const ARCHITECTURES: &[&str] = &["llama", "qwen2", "qwen3", "gemma3_text"];

/// The folder of a model of this architecture, in float32, with heads of `dims` numbers.
pub(crate) fn folder(architecture: &str, dims: usize) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("config.json"), config(architecture, dims).to_string()).expect("config.json");
    let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = shapes(architecture, dims)
        .into_iter()
        .zip(1_u64..)
        .map(|((name, shape), seed)| {
            let numbers = weights(architecture, &name, &shape, seed);
            (name, (shape, numbers.iter().flat_map(|number| number.to_le_bytes()).collect()))
        })
        .collect();
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor of this shape"))
    });
    let file = safetensors::serialize(views, None).expect("a file");
    fs::write(folder.path().join("model.safetensors"), file).expect("model.safetensors");
    folder
}

fn config(architecture: &str, dims: usize) -> Value {
    json!({
        "model_type": architecture,
        "hidden_size": if architecture == "qwen2" { QUERIES * dims } else { HIDDEN },
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": QUERIES,
        "num_key_value_heads": KEYS,
        "head_dim": dims,
        "rms_norm_eps": 1e-5,
        "vocab_size": VOCAB,
        "max_position_embeddings": 4096,
        "rope_theta": 10000.0,
        "tie_word_embeddings": false,
        "eos_token_id": 2,
        "query_pre_attn_scalar": dims,
        "rope_local_base_freq": 10000.0,
        "sliding_window": if architecture == "gemma3_text" { json!(16) } else { Value::Null },
        "sliding_window_pattern": 3,
    })
}

fn shapes(architecture: &str, dims: usize) -> Vec<(String, Vec<usize>)> {
    // Qwen 2 has no head_dim: its heads share the hidden size.
    let hidden = if architecture == "qwen2" { QUERIES * dims } else { HIDDEN };
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
        ("lm_head.weight".to_owned(), vec![VOCAB, hidden]),
    ];
    for layer in 0..LAYERS {
        let mut add =
            |name: &str, shape: &[usize]| shapes.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        add("self_attn.q_proj.weight", &[QUERIES * dims, hidden]);
        add("self_attn.k_proj.weight", &[KEYS * dims, hidden]);
        add("self_attn.v_proj.weight", &[KEYS * dims, hidden]);
        add("self_attn.o_proj.weight", &[hidden, QUERIES * dims]);
        add("mlp.gate_proj.weight", &[INNER, hidden]);
        add("mlp.up_proj.weight", &[INNER, hidden]);
        add("mlp.down_proj.weight", &[hidden, INNER]);
        add("input_layernorm.weight", &[hidden]);
        add("post_attention_layernorm.weight", &[hidden]);
        match architecture {
            "qwen2" => {
                add("self_attn.q_proj.bias", &[QUERIES * dims]);
                add("self_attn.k_proj.bias", &[KEYS * dims]);
                add("self_attn.v_proj.bias", &[KEYS * dims]);
            }
            "qwen3" | "gemma3_text" => {
                add("self_attn.q_norm.weight", &[dims]);
                add("self_attn.k_norm.weight", &[dims]);
            }
            _ => {}
        }
        if architecture == "gemma3_text" {
            add("pre_feedforward_layernorm.weight", &[hidden]);
            add("post_feedforward_layernorm.weight", &[hidden]);
        }
    }
    shapes
}

/// Numbers spread evenly around a centre, wide enough that the greedy text is not one token for ever, and not so wide
/// that attention is all on one token.
fn weights(architecture: &str, name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let gemma = architecture == "gemma3_text";
    let inputs = shape.last().copied().unwrap_or(1) as f32;
    let (centre, width) = match name {
        _ if gemma && name.contains("post_") => (8.0, 1.0),
        _ if name.ends_with("norm.weight") => (if gemma { 0.0 } else { 1.0 }, 0.3),
        _ if name.contains("embed_tokens") => (0.0, if gemma { 0.5 } else { 1.5 }),
        _ if name.contains("q_proj") || name.contains("k_proj") => (0.0, 1.5 * inputs.sqrt().recip()),
        _ => (0.0, 3.4 * inputs.sqrt().recip()),
    };
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        centre + width * ((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..shape.iter().product()).map(|_| next()).collect()
}
