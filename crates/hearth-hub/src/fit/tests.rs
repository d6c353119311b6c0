//! Fit against known models and machines.

use serde_json::{Value, json};

use super::*;
use crate::catalog;

const GIB: u64 = 1 << 30;

fn qwen3_8b(bits: u64) -> Value {
    json!({
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
        "tie_word_embeddings": false, "max_position_embeddings": 40960, "torch_dtype": "bfloat16",
        "quantization": {"group_size": 64, "bits": bits},
    })
}

fn needs(config: &Value) -> Needs {
    Needs::new(config, None, None).unwrap()
}

fn message(config: &Value, kv_bits: Option<u8>) -> String {
    Needs::new(config, None, kv_bits).unwrap_err().message
}

fn changed(change: Value) -> Value {
    let mut config = qwen3_8b(4);
    config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    config
}

fn mac(gib: u64) -> Machine {
    Machine { chip: Some("Apple M4".into()), limit: gib * GIB / 3 * 2, bandwidth: Some(120e9), gpu: true }
}

/// Counted by hand from the published shapes: 8,190,735,360 parameters.
#[test]
fn a_known_model_is_counted_to_the_byte() {
    let found = needs(&qwen3_8b(4));
    let matrices: u64 = 2 * 151_936 * 4096 + 36 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 12288 * 4096);
    let norms: u64 = 36 * (2 * 4096 + 2 * 128) + 4096;
    let table: u64 = 151_936 * 4096;
    assert_eq!(found.parameters, Some((8_190_735_360, 8_190_735_360)));
    assert_eq!((matrices + norms, found.weights), (8_190_735_360, matrices / 16 * 9 + norms * 2));
    assert_eq!(found.active, found.weights - table / 16 * 9);
    assert_eq!((found.cache.token_bytes, found.cache.fixed_bytes, found.context), (36 * 2 * 8 * 128 * 2, 0, 40960));
}

#[test]
fn packed_caches_windows_and_states_are_counted_as_they_are() {
    let packed = |bits| Needs::new(&qwen3_8b(4), None, Some(bits)).unwrap().cache.token_bytes;
    assert_eq!([packed(8), packed(4)], [36 * 2 * 8 * (128 + 8), 36 * 2 * 8 * (64 + 8)]);
    let gemma = needs(&json!({"model_type": "gemma3_text", "max_position_embeddings": 32768}));
    let token: u64 = 2 * 256 * 2;
    assert_eq!((gemma.cache.token_bytes, gemma.cache.fixed_bytes), (4 * token, 22 * token * (511 + 640 + 256)));
    assert_eq!(gemma.parameters.unwrap().0, 999_885_952);
    let hybrid = json!({
        "model_type": "other", "hidden_size": 2048, "num_hidden_layers": 2, "num_attention_heads": 16,
        "num_key_value_heads": 2, "head_dim": 256, "full_attention_interval": 2,
        "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
        "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
    });
    let hybrid = Needs::new(&hybrid, Some(1000), None).unwrap().cache;
    assert_eq!(hybrid.token_bytes, 2 * 2 * 256 * 2);
    assert_eq!(hybrid.fixed_bytes, 32 * 128 * 128 * 4 + 3 * (2 * 16 * 128 + 32 * 128) * 2);
}

#[test]
fn layers_that_see_all_may_have_heads_of_their_own_and_the_last_ones_no_cache() {
    let config = json!({
        "model_type": "other", "text_config": {
            "model_type": "other_text", "hidden_size": 2560, "num_hidden_layers": 6, "num_attention_heads": 8,
            "num_key_value_heads": 2, "head_dim": 256, "num_global_key_value_heads": 1, "global_head_dim": 512,
            "sliding_window": 512, "num_kv_shared_layers": 3, "max_position_embeddings": 4096,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention",
                            "sliding_attention", "sliding_attention", "full_attention"],
        },
    });
    let found = Needs::new(&config, Some(1000), None).unwrap();
    assert_eq!((found.layers, found.cache.token_bytes), (6, 2 * 512 * 2));
    assert_eq!(found.cache.fixed_bytes, 2 * (2 * 2 * 256 * 2) * (511 + 640 + 256));
}

#[test]
fn of_many_experts_a_token_reads_a_few() {
    let found = needs(&changed(json!({
        "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "num_key_value_heads": 4,
        "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
    })));
    let (all, active) = found.parameters.unwrap();
    assert_eq!((all, active), (30_532_122_624, 3_353_032_704 - 151_936 * 2048));
    assert!(found.active < found.weights / 9, "{}", found.active);
}

/// A configuration often names the type of before a conversion.
#[test]
fn the_size_of_the_files_tells_the_type_of_floats() {
    let half = needs(&qwen3_8b(4)).weights;
    let full = needs(&changed(json!({"torch_dtype": "float32"}))).weights;
    let token_bytes = |files| Needs::new(&qwen3_8b(4), Some(files), None).unwrap().cache.token_bytes;
    assert_eq!(token_bytes(full + 5_000_000), 2 * token_bytes(half + 5_000_000));
}

#[test]
fn a_model_that_sees_is_read_by_its_part_about_text() {
    let config =
        json!({"model_type": "gemma3", "text_config": qwen3_8b(4), "vision_config": {"num_hidden_layers": 27}});
    let found = Needs::new(&config, Some(5 * GIB), None).unwrap();
    assert_eq!((found.weights, found.layers, found.cache.token_bytes), (5 * GIB, 36, 147_456));
    assert!(message(&config, None).contains("type \"gemma3\" cannot be told before its files are known"));
}

#[test]
fn what_cannot_be_reckoned_with_is_named() {
    let table = [
        (json!([]), None, "config.json: it must hold a JSON object"),
        (json!({}), None, "config.json: model_type is missing"),
        (changed(json!({"hidden_size": null})), None, "hidden_size is missing"),
        (changed(json!({"num_hidden_layers": 1 << 20})), None, "num_hidden_layers must be a whole number up to 1024"),
        (changed(json!({"vocab_size": -1})), None, "vocab_size must be a whole number up to 4194304, not -1"),
        (
            changed(json!({"quantization": {"quant_method": "gptq"}})),
            None,
            "weights quantized by gptq are not supported",
        ),
        (changed(json!({"quantization": {"mode": "gguf"}})), None, "\"gguf\" is no quantization that MLX knows"),
        (changed(json!({"quantization": {"group_size": 0}})), None, "group_size must be a whole number from 1"),
        (changed(json!({"head_dim": 24})), Some(8), "a head_dim that is a multiple of 32, not 24"),
    ];
    for (config, kv_bits, part) in table {
        let message = message(&config, kv_bits);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn extremes_that_are_still_believed_do_not_overflow() {
    let most: serde_json::Map<_, _> =
        fields::SIZES.iter().map(|(name, most)| ((*name).to_owned(), Value::from(*most))).collect();
    for name in ["qwen3_moe", "gpt_oss", "gemma3_text", "glm4_moe"] {
        let mut config = most.clone();
        let own = json!({
            "model_type": name, "first_k_dense_replace": 0, "torch_dtype": "float32",
            "quantization": {"bits": 32, "group_size": 1},
        });
        config.extend(own.as_object().unwrap().clone());
        let needs = needs(&config.into());
        let fit = fit(&needs, &mac(64));
        assert_eq!(fit.verdict, Verdict::WillNotFit, "{name}");
    }
}

#[test]
fn verdicts_follow_the_machine() {
    let table = [
        (6, 40960, Verdict::WillNotFit, 0..2048),
        (7, 1024, Verdict::Tight, 1024..1025),
        (8, 40960, Verdict::Tight, 2048..8192),
        (12, 40960, Verdict::FitsWell, 24_000..28_000),
        (64, 40960, Verdict::FitsWell, 40960..40961),
    ];
    for (gib, context, verdict, largest) in table {
        let fit = fit(&needs(&changed(json!({"max_position_embeddings": context}))), &mac(gib));
        assert_eq!(fit.verdict, verdict, "{gib} GiB: {}", fit.sentence);
        assert!(largest.contains(&fit.largest_context), "{gib} GiB: {}", fit.sentence);
    }
}

#[test]
fn the_largest_context_is_the_last_that_has_room() {
    let (needs, machine) = (needs(&qwen3_8b(4)), mac(12));
    let fit = fit(&needs, &machine);
    let bytes = |tokens| needs.weights + conversation(&needs, &machine, tokens);
    assert!(bytes(fit.largest_context) <= machine.limit && bytes(fit.largest_context + 1) > machine.limit);
}

#[test]
fn a_sentence_says_the_figures_and_what_to_do() {
    let say = |machine| fit(&needs(&qwen3_8b(4)), &machine).sentence;
    assert_eq!(
        say(mac(16)),
        "It fits well: 4.6 GB for the weights and 1.2 GB for a conversation of 8192 tokens, of 11.5 GB; up to 40960 tokens \
         have room."
    );
    assert!(say(mac(4)).ends_with("but this machine can hold 2.9 GB; choose a smaller model or one of fewer bits."));
    assert!(say(Machine { limit: 0, ..mac(4) }).ends_with("how much this machine can hold is not known."));
}

/// Published for an M4 Max of 546 GB/s, most of them by mlx-lm after a prompt of 2,048 tokens.
#[test]
fn speed_is_within_ten_per_cent_of_published_figures() {
    let table = [
        ("Llama-3.2-1B-Instruct-4bit", 128, 421.0),
        ("Qwen3-1.7B-4bit", 128, 293.0),
        ("Qwen3-4B-Instruct-2507-4bit", 2048, 134.5),
        ("Qwen3-4B-Instruct-2507-8bit", 2048, 86.9),
        ("Mistral-7B-Instruct-v0.3-4bit", 128, 103.0),
        ("Qwen3-30B-A3B-Instruct-2507-4bit", 2048, 113.3),
        ("Qwen3-30B-A3B-Instruct-2507-8bit", 2048, 83.2),
    ];
    for (repo, tokens, published) in table {
        let (model, variant) = catalog::find(&format!("mlx-community/{repo}")).unwrap();
        let found = tokens_per_second(&model.needs(variant, None).unwrap(), 546e9, tokens);
        assert!((0.9..1.1).contains(&(found / published)), "{repo}: {found} for {published}");
    }
}

/// The index of `mlx-community/Llama-3.1-Nemotron-70B-Instruct-HF-4bit`, a Llama 70B, says 39,688,355,840 bytes; that of 8 bits
/// 74,964,549,632.
#[test]
fn an_estimate_is_what_an_index_says() {
    let llama = |bits| {
        json!({
            "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
            "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128_256,
            "quantization": {"group_size": 64, "bits": bits},
        })
    };
    assert_eq!([4, 8].map(|bits| needs(&llama(bits)).weights), [39_688_355_840, 74_964_549_632]);
}

#[test]
fn only_the_headers_of_files_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, header: u64, data: usize| {
        let content = [&header.to_le_bytes()[..], &vec![b' '; header as usize], &vec![0; data]].concat();
        std::fs::write(folder.path().join(name), content).unwrap();
    };
    file("model-00001-of-00002.safetensors", 40, 1000);
    file("model-00002-of-00002.safetensors", 50, 200);
    file("adapters.safetensors", 8, 5000);
    assert_eq!(tensor_bytes(folder.path()).unwrap(), 1200);
    std::fs::write(folder.path().join("model-3.safetensors"), "short").unwrap();
    assert!(tensor_bytes(folder.path()).is_err());
}
