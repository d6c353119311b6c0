//! Tables of configurations, sound and broken, and what is read or said.

use serde_json::{Value, json};

use super::*;
use crate::testing::{Folder, config};

fn read(files: &[(&str, &[u8])]) -> Result<Config, String> {
    let folder = files.iter().fold(Folder::new(), |folder, (name, content)| folder.with(name, content));
    let shown = folder.path().display().to_string();
    Config::from_dir(folder.path()).map_err(|error| error.message.replace(&shown, "DIR"))
}

fn read_config(changes: Value) -> Result<Config, String> {
    read(&[("config.json", config(changes).to_string().as_bytes())])
}

fn read_generation(generation: &str) -> Result<Config, String> {
    read(&[
        ("config.json", config(json!({})).to_string().as_bytes()),
        ("generation_config.json", generation.as_bytes()),
    ])
}

#[test]
fn a_sound_config_is_read() {
    let config = read_config(json!({})).unwrap();
    assert_eq!((config.model_type.as_str(), config.vocab_size, config.context_length), ("llama", 100, 2048));
    assert_eq!(config.eos_token_ids, [2]);
    assert_eq!((config.quantization, config.sampling), (None, SamplingOverrides::default()));
}

#[test]
fn a_missing_folder_is_named() {
    let error = Config::from_dir(Path::new("/no/such/folder")).unwrap_err();
    assert_eq!(error.message, "there is no model folder /no/such/folder");
}

#[test]
fn broken_files_are_named() {
    let good = config(json!({})).to_string();
    let with_mark = format!("\u{feff}{good}");
    let long = vec![b' '; (16 << 20) + 1];
    let cases: &[(&[u8], &str)] = &[
        (good.as_bytes(), "read"),
        (with_mark.as_bytes(), "read"),
        (b"", "config.json is empty"),
        (b"\xef\xbb\xbf", "config.json is not valid JSON: EOF while parsing a value at line 1 column 0"),
        (b"hello", "config.json is not valid JSON: expected value at line 1 column 1"),
        (&good.as_bytes()[..20], "config.json is not valid JSON: EOF while parsing a string at line 1 column 20"),
        (b"[]", "config.json must hold a JSON object"),
        (b"{}", "config.json: model_type is missing"),
        (b"\xff\xfe{}", "config.json is not valid JSON: expected value at line 1 column 1"),
        (&long, "config.json is larger than the 16 MB that are read"),
    ];
    for (content, expected) in cases {
        let outcome = read(&[("config.json", content)]).map_or_else(|message| message, |_| "read".to_owned());
        assert_eq!(&outcome, expected);
    }
}

#[test]
fn a_folder_without_config_says_what_it_lacks() {
    let expected =
        "the folder DIR holds no config.json; a model folder needs config.json, tokenizer.json and model.safetensors";
    assert_eq!(read(&[("model.safetensors", b"")]).unwrap_err(), expected);
}

#[test]
fn what_is_no_file_is_not_opened() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("config.json")).unwrap();
    assert_eq!(Config::from_dir(folder.path()).unwrap_err().message, "config.json is not a file");
}

#[test]
fn deep_json_is_refused() {
    let deep = "[".repeat(100_000);
    let message = read(&[("config.json", deep.as_bytes())]).unwrap_err();
    assert!(message.starts_with("config.json is not valid JSON: recursion limit exceeded"), "{message}");
}

#[test]
fn nonsense_sizes_are_refused() {
    let most = i32::MAX;
    let cases = [
        (
            json!({"num_attention_heads": 0}),
            "num_attention_heads must be a whole number from 1 to 4096, not 0".to_owned(),
        ),
        (json!({"hidden_size": -64}), "hidden_size must be a whole number from 1 to 131072, not -64".to_owned()),
        (json!({"hidden_size": "64"}), "hidden_size must be a whole number from 1 to 131072, not \"64\"".to_owned()),
        (json!({"hidden_size": 64.5}), "hidden_size must be a whole number from 1 to 131072, not 64.5".to_owned()),
        (
            json!({"num_hidden_layers": 1e30}),
            "num_hidden_layers must be a whole number from 1 to 1024, not 1e+30".to_owned(),
        ),
        (
            json!({"vocab_size": u64::MAX}),
            format!("vocab_size must be a whole number from 1 to 4194304, not {}", u64::MAX),
        ),
        (json!({"vocab_size": null}), "vocab_size is missing".to_owned()),
        (json!({"model_type": ""}), "model_type is missing".to_owned()),
        (json!({"model_type": 7}), "model_type must be a string, not 7".to_owned()),
        (
            json!({"num_key_value_heads": 3}),
            "num_attention_heads (4) must be a multiple of num_key_value_heads (3)".to_owned(),
        ),
        (json!({"hidden_size": 66}), "hidden_size (66) must be a multiple of num_attention_heads (4)".to_owned()),
        (
            json!({"max_position_embeddings": 1_u64 << 40}),
            format!("max_position_embeddings must be a whole number from 1 to {most}, not 1099511627776"),
        ),
        (json!({"eos_token_id": "</s>"}), "eos_token_id must be a token id or a list of them, not \"</s>\"".to_owned()),
        (json!({"eos_token_id": [1, -1]}), "eos_token_id must be a token id or a list of them, not -1".to_owned()),
    ];
    for (changes, expected) in cases {
        assert_eq!(read_config(changes).unwrap_err(), format!("config.json: {expected}"));
    }
}

#[test]
fn a_head_dim_frees_the_hidden_size() {
    assert!(read_config(json!({"hidden_size": 66, "head_dim": 32})).is_ok());
}

#[test]
fn eos_tokens_are_a_number_a_list_or_nothing() {
    for (value, expected) in
        [(json!(7), vec![7]), (json!([7, 9]), vec![7, 9]), (json!(null), vec![]), (json!([]), vec![])]
    {
        assert_eq!(read_config(json!({"eos_token_id": value})).unwrap().eos_token_ids, expected);
    }
}

#[test]
fn generation_config_goes_before_config() {
    for (generation, expected) in
        [("{\"eos_token_id\": [5, 6]}", vec![5, 6]), ("{}", vec![2]), ("{\"eos_token_id\": null}", vec![2])]
    {
        assert_eq!(read_generation(generation).unwrap().eos_token_ids, expected);
    }
}

#[test]
fn generation_config_sets_sampling_defaults() {
    let all = r#"{"do_sample": true, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0, "repetition_penalty": 1.05, "max_length": 99}"#;
    let expected = SamplingOverrides {
        temperature: Some(0.6),
        top_p: Some(0.95),
        top_k: Some(20),
        min_p: Some(0.0),
        repetition_penalty: Some(1.05),
        ..SamplingOverrides::default()
    };
    assert_eq!(read_generation(all).unwrap().sampling, expected);
}

#[test]
fn without_sampling_the_temperature_is_zero() {
    let sampling = read_generation(r#"{"do_sample": false, "temperature": 0.7, "top_k": -1}"#).unwrap().sampling;
    assert_eq!((sampling.temperature, sampling.top_k), (Some(0.0), Some(0)));
}

#[test]
fn a_broken_generation_config_is_named() {
    let cases = [
        ("", "generation_config.json is empty"),
        ("{", "generation_config.json is not valid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "generation_config.json must hold a JSON object"),
        (
            r#"{"temperature": "hot"}"#,
            r#"generation_config.json: temperature must be a number from 0 to 100, not "hot""#,
        ),
        (r#"{"temperature": -1}"#, "generation_config.json: temperature must be a number from 0 to 100, not -1"),
        (r#"{"top_p": 2}"#, "generation_config.json: top_p must be a number from 0 to 1, not 2"),
        (r#"{"do_sample": "yes"}"#, r#"generation_config.json: do_sample must be true or false, not "yes""#),
        (
            r#"{"eos_token_id": 1.5}"#,
            "generation_config.json: eos_token_id must be a token id or a list of them, not 1.5",
        ),
    ];
    for (content, expected) in cases {
        assert_eq!(read_generation(content).unwrap_err(), expected);
    }
}

#[test]
fn architectures_read_their_own_arguments() {
    #[derive(Debug, serde::Deserialize)]
    struct ModelArgs {
        hidden_size: usize,
        #[expect(dead_code, reason = "only its absence matters")]
        rms_norm_eps: f32,
    }
    let config = read_config(json!({"rms_norm_eps": 1e-6})).unwrap();
    assert_eq!(config.args::<ModelArgs>().unwrap().hidden_size, 64);
    let error = read_config(json!({})).unwrap().args::<ModelArgs>().unwrap_err();
    assert_eq!(error.message, "config.json (llama): missing field `rms_norm_eps`");
}
