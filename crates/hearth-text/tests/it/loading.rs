//! Model folders whose text files are missing, broken or hostile: each is one clear sentence that names the file.

use std::fs::{self, File};
use std::path::Path;

use hearth_core::chat::{ChatRequest, Message, Role, Tool, ToolChoice};
use hearth_core::{Error, ErrorKind};
use hearth_text::{ChatTemplate, SpecialTokens, Tokenizer, prompt};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{Chance, fixtures};
use crate::templates::NOW;

/// A model folder of these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

fn good_tokenizer() -> Vec<u8> {
    fs::read(fixtures("tokenizers/byte_level/tokenizer.json")).unwrap()
}

/// The good tokenizer with one field changed.
fn tokenizer_with(field: &str, value: Value) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(&good_tokenizer()).unwrap();
    json[field] = value;
    serde_json::to_vec(&json).unwrap()
}

fn check(error: Error, file: &str, says: &str) {
    assert_eq!(error.kind, ErrorKind::ModelLoad, "{error}");
    assert!(error.message.contains(file), "{error} does not name {file}");
    assert!(error.message.contains(says), "{error} does not say {says:?}");
    assert!(error.message.ends_with('.') && !error.message.contains('\n'), "{error:?} is one sentence");
}

#[test]
fn broken_tokenizers_are_named() {
    let good = good_tokenizer();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "is empty"),
        (b"\xef\xbb\xbf{}".to_vec(), "byte order mark"),
        (b"{}".to_vec(), "is not a tokenizer"),
        (b"null".to_vec(), "is not a tokenizer"),
        (b"[1, 2]".to_vec(), "is not a tokenizer"),
        (b"<html>".to_vec(), "is not a tokenizer"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "is not a tokenizer"),
        (good[..good.len() / 2].to_vec(), "is not a tokenizer"),
        (vec![0xff; 100], "is not a tokenizer"),
        (vec![b'['; 100_000], "is not a tokenizer"),
        (tokenizer_with("model", json!({"type": "Nothing"})), "is not a tokenizer"),
        (tokenizer_with("model", json!({"type": "BPE", "vocab": {}, "merges": []})), "has no tokens"),
        (tokenizer_with("model", json!({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})), "is not a tokenizer"),
        (tokenizer_with("model", json!({"type": "BPE", "vocab": {"a": -1}, "merges": []})), "is not a tokenizer"),
        (
            tokenizer_with(
                "pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
            ),
            "is not a tokenizer",
        ),
        (tokenizer_with("decoder", json!({"type": "Nothing"})), "is not a tokenizer"),
        (tokenizer_with("added_tokens", json!([{"id": 1}])), "is not a tokenizer"),
    ];
    for (at, (bytes, says)) in cases.into_iter().enumerate() {
        let dir = folder(&[("tokenizer.json", &bytes)]);
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        let error = Tokenizer::from_dir(dir.path()).err().unwrap_or_else(|| panic!("{at}: {begin} loads"));
        check(error, "tokenizer.json", says);
    }
    let dir = folder(&[]);
    check(Tokenizer::from_dir(dir.path()).err().unwrap(), "tokenizer.json", "cannot be read");
}

#[test]
fn a_giant_tokenizer_is_refused_unread() {
    let dir = tempdir().unwrap();
    File::create(dir.path().join("tokenizer.json")).unwrap().set_len(1 << 30).unwrap();
    check(Tokenizer::from_dir(dir.path()).err().unwrap(), "tokenizer.json", "larger than 256 MiB");
}

#[test]
fn broken_configs_are_named() {
    for (name, bytes, says) in [
        ("tokenizer_config.json", b"{".as_slice(), "is not a JSON object"),
        ("tokenizer_config.json", b"[]", "is not a JSON object"),
        ("special_tokens_map.json", b"", "is empty"),
        ("special_tokens_map.json", b"\xff", "is not a JSON object"),
    ] {
        let dir = folder(&[("tokenizer.json", &good_tokenizer()), (name, bytes)]);
        check(Tokenizer::from_dir(dir.path()).err().unwrap(), name, says);
    }
}

#[test]
fn special_tokens_are_read_in_all_their_spellings() {
    let config = json!({
        "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": false}, "eos_token": "</s>", "unk_token": null,
        "add_bos_token": true, "pad_token": {"no": "content"}, "chat_template": "x",
    });
    let map = json!({"eos_token": {"content": "other"}, "pad_token": "<pad>", "additional_special_tokens": ["<a>"]});
    let dir = folder(&[
        ("tokenizer.json", &good_tokenizer()),
        ("tokenizer_config.json", config.to_string().as_bytes()),
        ("special_tokens_map.json", map.to_string().as_bytes()),
    ]);
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    let tokens: Vec<(&str, &str)> =
        tokenizer.special().iter().map(|(name, text)| (name, text.as_str().unwrap())).collect();
    assert_eq!(tokens, [("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<pad>")]);
    assert_eq!(tokenizer.special().get("unk_token"), None);
    let dir = folder(&[("tokenizer.json", &good_tokenizer())]);
    assert_eq!(Tokenizer::from_dir(dir.path()).unwrap().special(), &SpecialTokens::default());
}

#[test]
fn markers_are_text_even_where_they_are_special() {
    let markers = ["<think>", "</think>", "<tool_call>", "</tool_call>"];
    let special = |(at, text): (usize, &&str)| {
        json!({"id": 900 + at, "content": text, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false})
    };
    let added: Vec<Value> = markers.iter().chain(&["<|end|>"]).enumerate().map(special).collect();
    let dir = folder(&[("tokenizer.json", &tokenizer_with("added_tokens", json!(added)))]);
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    let ids = tokenizer.encode("<think>a</think><tool_call></tool_call><|end|>").unwrap();
    assert_eq!(ids.len(), 6);
    assert_eq!(tokenizer.decode(&ids), "<think>a</think><tool_call></tool_call>");
}

#[test]
fn a_text_that_the_pattern_cannot_split_fails_alone() {
    let split = json!({"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": false});
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let bytes = tokenizer_with("pre_tokenizer", json!({"type": "Sequence", "pretokenizers": [split, byte_level]}));
    let dir = folder(&[("tokenizer.json", &bytes)]);
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    let error = tokenizer.encode(&format!("{}!", "a".repeat(40))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.contains("tokenizer"), "{error}");
    assert_eq!(tokenizer.decode(&tokenizer.encode("aaa").unwrap()), "aaa");
}

#[test]
fn limits_of_training_are_not_limits_here() {
    let mut json: Value = serde_json::from_slice(&good_tokenizer()).unwrap();
    json["truncation"] = json!({"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = json!({"strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<s>"});
    let dir = folder(&[("tokenizer.json", json.to_string().as_bytes())]);
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    let ids = tokenizer.encode("zqzqzqzq").unwrap();
    assert_eq!((ids.len(), tokenizer.decode(&ids).as_str()), (8, "zqzqzqzq"));
}

fn request(tools: usize) -> ChatRequest {
    let tool = Tool { name: "f".into(), definition: json!({"type": "function", "function": {"name": "f"}}) };
    ChatRequest { messages: vec![Message::text(Role::User, "Hi")], tools: vec![tool; tools], ..ChatRequest::default() }
}

fn rendered(dir: &Path, request: &ChatRequest) -> String {
    let template = ChatTemplate::from_dir(dir, &SpecialTokens::default()).unwrap().expect("a template");
    template.render(request, NOW).unwrap()
}

#[test]
fn templates_are_found_where_models_keep_them() {
    let text = json!({"chat_template": "in config"}).to_string();
    let list =
        json!({"chat_template": [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]});
    let list = list.to_string();
    let config = |text: &'static str| ("tokenizer_config.json", text.as_bytes());
    for (files, plain, tools) in [
        (vec![("chat_template.jinja", b"a file".as_slice())], "a file", "a file"),
        (vec![("tokenizer_config.json", text.as_bytes())], "in config", "in config"),
        (vec![("tokenizer_config.json", list.as_bytes())], "plain", "tools"),
        (vec![("chat_template.json", text.as_bytes())], "in config", "in config"),
        (vec![("tokenizer_config.json", b"{}"), ("chat_template.json", text.as_bytes())], "in config", "in config"),
        (vec![("tokenizer_config.json", text.as_bytes()), ("chat_template.jinja", b"a file")], "a file", "a file"),
        (
            vec![("chat_template.jinja", b"a file"), ("additional_chat_templates/tool_use.jinja", b"tool file")],
            "a file",
            "tool file",
        ),
    ] {
        let dir = folder(&files);
        assert_eq!(rendered(dir.path(), &request(0)), plain);
        assert_eq!(rendered(dir.path(), &request(1)), tools);
        let switched_off = ChatRequest { tool_choice: ToolChoice::None, ..request(1) };
        assert_eq!(rendered(dir.path(), &switched_off), plain);
    }
    for files in [vec![], vec![config("{}")], vec![config("{\"chat_template\": null}")]] {
        let dir = folder(&files);
        assert!(ChatTemplate::from_dir(dir.path(), &SpecialTokens::default()).unwrap().is_none());
    }
}

#[test]
fn broken_templates_are_named() {
    for (name, bytes, says) in [
        ("chat_template.jinja", b"a\n{% if x %}".as_slice(), "has a syntax error in line 2"),
        ("chat_template.jinja", b"{{ x | unknown_filter }", "has a syntax error in line 1"),
        ("chat_template.jinja", b"\xff", "is not UTF-8"),
        ("chat_template.jinja", b"", "is empty"),
        ("tokenizer_config.json", b"{\"chat_template\": \"{% endif %}\"}", "has a syntax error in line 1"),
        ("tokenizer_config.json", b"{\"chat_template\": 7}", "is neither a text nor a list"),
        ("tokenizer_config.json", b"{\"chat_template\": [{\"name\": \"default\"}]}", "is neither a text nor a list"),
    ] {
        let dir = folder(&[(name, bytes)]);
        check(ChatTemplate::from_dir(dir.path(), &SpecialTokens::default()).err().unwrap(), name, says);
    }
    let error = ChatTemplate::new("x\n\n{% for %}", &SpecialTokens::default()).err().unwrap();
    assert!(error.message.contains("syntax error in line 3"), "{error}");
}

#[test]
fn templates_without_a_default_say_so() {
    let list = json!({"chat_template": [{"name": "rag", "template": "x"}]}).to_string();
    let dir = folder(&[("tokenizer_config.json", list.as_bytes())]);
    let template = ChatTemplate::from_dir(dir.path(), &SpecialTokens::default());
    let error = template.and_then(|template| template.unwrap().render(&request(0), NOW)).unwrap_err();
    assert!(error.message.contains("default"), "{error}");
}

#[test]
fn what_a_template_reserves_cannot_be_replaced_by_arguments() {
    let mut request = request(0);
    for name in ["messages", "tools", "add_generation_prompt", "strftime_now"] {
        request.template_args.insert(name.into(), json!("mine"));
    }
    let template = "{{ messages[0].content }} {{ tools is none }} {{ add_generation_prompt }} {{ strftime_now('%Y') }}";
    let template = ChatTemplate::new(template, &SpecialTokens::default()).unwrap();
    assert_eq!(template.render(&request, NOW).unwrap(), "Hi True True 2026");
}

#[test]
fn a_prompt_is_the_template_s_text_and_its_tokens() {
    let tokenizer = Tokenizer::from_dir(&fixtures("tokenizers/byte_level")).unwrap();
    let template = ChatTemplate::new("<|im_start|>{{ messages[0].content }}", &SpecialTokens::default()).unwrap();
    let made = prompt(&template, &tokenizer, &request(0), NOW).unwrap();
    assert_eq!(made.text, "<|im_start|>Hi");
    assert_eq!(made.tokens, tokenizer.encode("<|im_start|>Hi").unwrap());
    assert_eq!(made.tokens[0], tokenizer.token_to_id("<|im_start|>").unwrap());
    let nothing = ChatTemplate::new("{% if false %}{% endif %}", &SpecialTokens::default()).unwrap();
    let error = prompt(&nothing, &tokenizer, &request(0), NOW).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
}

#[test]
fn damaged_tokenizers_load_or_say_why() {
    let good = good_tokenizer();
    let mut chance = Chance::new(19);
    let mut refused = 0;
    for round in 0..120 {
        let mut bytes = good.clone();
        for _ in 0..=round / 20 {
            let at = chance.below(bytes.len());
            bytes[at] = *chance.pick(b"\"{}[],:0-a\\\xff");
        }
        if round % 3 == 0 {
            bytes.truncate(chance.below(good.len()));
        }
        let dir = folder(&[("tokenizer.json", &bytes)]);
        match Tokenizer::from_dir(dir.path()) {
            Ok(tokenizer) => drop(tokenizer.encode("the tide 日本 <think>").map(|ids| tokenizer.decode(&ids))),
            Err(error) => {
                check(error, "tokenizer.json", "");
                refused += 1;
            }
        }
    }
    assert!(refused > 60, "only {refused} were refused");
}
