//! Encoding piece by piece gives what encoding the whole gives, and costs what is new.

use std::path::{Path, PathBuf};

use hearth_core::chat::{ChatRequest, Message, Role, ToolCall};
use hearth_text::{ChatTemplate, LocalTime, SpecialTokens, Tokenizer, history, prompt};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Chance, fixtures, json};

fn folders() -> Vec<PathBuf> {
    let names = ["byte_level", "byte_fallback", "unigram", "gemma", "word_piece"];
    let mut folders: Vec<PathBuf> = names.iter().map(|name| fixtures("tokenizers").join(name)).collect();
    folders.push(ember());
    folders
}

fn ember() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/ember")
}

/// Tokens that take white space along, look at their neighbours, are normalized, or overlap with others.
const NASTY: [(&str, &[&str]); 6] = [
    ("<left>", &["lstrip"]),
    ("<right>", &["rstrip"]),
    ("<both>", &["lstrip", "rstrip"]),
    ("<Tide>", &["normalized"]),
    ("<|im_start|><|im_end|>", &["special"]),
    ("\n\n", &[]),
];

/// A copy of a model folder's tokenizer, with those tokens added.
fn nasty(folder: &Path, word: bool) -> TempDir {
    let mut file = json(&folder.join("tokenizer.json"));
    let added = file["added_tokens"].as_array_mut().unwrap();
    let word: &[(&str, &[&str])] = if word { &[("tide", &["single_word"])] } else { &[] };
    for (at, (content, flags)) in NASTY.iter().chain(word).enumerate() {
        let mut token = json!({"id": 5000 + at, "content": content});
        for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
            token[flag] = Value::Bool(flags.contains(&flag));
        }
        added.push(token);
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), file.to_string()).unwrap();
    dir
}

const SNIPPETS: [&str; 40] = [
    "<|im_start|>",
    "<|im_end|>",
    "<s>",
    "</s>",
    "<think>",
    "</think>",
    "<tool_call>",
    "<left>",
    "<right>",
    "<both>",
    "<Tide>",
    "<|endoftext|>",
    "<|im_sta",
    "rt|>",
    "<|im_",
    "|>",
    "<",
    ">",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "the",
    " tide",
    "tide",
    "'s",
    "12",
    "345",
    "é",
    "e\u{301}",
    "\u{301}",
    "日本",
    "👩\u{200d}👧",
    "\u{fffd}",
    "\u{0}",
    "▁",
    "Ġ",
    "ﬁ",
    "\u{2028}",
];

#[test]
fn pieces_together_are_the_tokens_of_the_whole() {
    for (folder, added) in
        folders().iter().flat_map(|folder| [(folder, None), (folder, Some(false)), (folder, Some(true))])
    {
        let dir = added.map(|word| nasty(folder, word));
        let dir = dir.as_ref().map_or(folder.as_path(), TempDir::path);
        let tokenizer = Tokenizer::from_dir(dir).unwrap();
        let library = tokenizers::Tokenizer::from_file(dir.join("tokenizer.json")).unwrap();
        let mut chance = Chance::new(7);
        let mut pieces = 0;
        for _ in 0..600 {
            let text = chance.text(&SNIPPETS, 24);
            let encoded = tokenizer.encode_pieces(&text).unwrap();
            let whole = library.encode_fast(text.as_str(), false).unwrap();
            assert_eq!(encoded.tokens, whole.get_ids(), "{folder:?} {added:?}: {text:?}");
            pieces += encoded.pieces.len();
            for piece in encoded.pieces.iter().filter(|piece| piece.cut) {
                let token = library.id_to_token(encoded.tokens[piece.token]).unwrap();
                assert!(text[piece.text..].starts_with(&token), "{folder:?}: {text:?} {piece:?} {token:?}");
            }
        }
        assert_eq!(pieces > 1_200, added != Some(true), "{folder:?} {added:?}: {pieces} pieces");
    }
}

fn turns(count: usize) -> ChatRequest {
    let turn = |n: usize| {
        let role = if n.is_multiple_of(2) { Role::User } else { Role::Assistant };
        Message::text(role, format!("Turn {n}: the tide at Oban is high at noon, and low in the evening."))
    };
    ChatRequest { messages: (0..count).map(turn).collect(), ..Default::default() }
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, &SpecialTokens::default()).unwrap()
}

#[test]
fn a_new_turn_costs_no_more_than_itself() {
    let tokenizer = Tokenizer::from_dir(&ember()).unwrap();
    let template = ChatTemplate::from_dir(&ember(), tokenizer.special()).unwrap().unwrap();
    let now = LocalTime::from_unix(0);
    let cost = |count: usize| {
        let before = tokenizer.encoded_bytes();
        let prompt = prompt(&template, &tokenizer, &turns(count), now).unwrap();
        (tokenizer.encoded_bytes() - before, prompt.text.len() as u64)
    };
    let (first, text) = cost(201);
    assert!(first > text * 8 / 10, "all of it is new: {first} of {text}");
    let (second, longer) = cost(203);
    assert!(second > 0 && second < longer - text + 20, "{second} of {longer} bytes, where {} are new", longer - text);
    assert_eq!(cost(203).0, 0);
}

#[test]
fn a_token_is_traced_to_its_text_and_its_message() {
    let plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    let blocks = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}\
        {% for call in m.tool_calls %}{{ call.function.name }}({{ call.function.arguments | tojson }}){% endfor %}\
        <|im_end|>\n{% endfor %}<|im_start|>assistant\n";
    let call =
        ToolCall { id: "1".into(), name: "fetch".into(), arguments: json!({"n": 1}).as_object().unwrap().clone() };
    let mut request = turns(3);
    request.messages[2].content = Some(" the sea \n".into());
    request.messages.push(Message { content: None, tool_calls: vec![call], ..Message::text(Role::Assistant, "") });
    request.messages.push(Message::text(Role::Tool, "eleven"));
    let tokenizer = Tokenizer::from_dir(&ember()).unwrap();
    for source in [plain, blocks] {
        let prompt = prompt(&template(source), &tokenizer, &request, LocalTime::from_unix(0)).unwrap();
        let message = |text: &str| {
            let byte = prompt.text.find(text).unwrap();
            let tokens = 0..prompt.tokens.len();
            let token = tokens.rev().find(|&token| prompt.text_position(token, &tokenizer) <= byte).unwrap();
            prompt.message_at(prompt.text_position(token, &tokenizer), &request.messages).unwrap()
        };
        for (text, index) in [("user", 0), ("0: the", 0), ("Turn 1", 1), ("1: the", 1), ("the sea", 2)] {
            assert_eq!(message(text), index, "{text:?} in {:?}", prompt.text);
        }
        if source == blocks {
            assert_eq!(["fetch", "\": 1", "<|im_start|>tool", "eleven"].map(message), [3, 3, 4, 4]);
        }
        assert_eq!(prompt.message_at(prompt.text.len(), &request.messages), Some(5));
        assert_eq!(prompt.text_position(prompt.tokens.len(), &tokenizer), prompt.text.len());
    }
}

#[test]
fn messages_that_a_template_does_not_write_are_not_looked_for_without_end() {
    let tokenizer = Tokenizer::from_dir(&ember()).unwrap();
    let silent = template("{{ messages | length }} messages");
    for (count, expected) in [(4, Some(0)), (5, None), (4000, None)] {
        let request = turns(count);
        let prompt = prompt(&silent, &tokenizer, &request, LocalTime::from_unix(0)).unwrap();
        assert_eq!(prompt.message_at(prompt.text.len(), &request.messages), expected, "{count}");
    }
}

#[test]
fn the_history_is_what_any_next_turn_begins_with() {
    let tokenizer = Tokenizer::from_dir(&ember()).unwrap();
    let now = LocalTime::from_unix(0);
    let block = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n";
    let keeps = format!("{{% for m in messages %}}{block}{{% endfor %}}<|im_start|>assistant\n");
    let drops = format!(
        "{{% for m in messages %}}{{% if m.reasoning_content and loop.last %}}<think>{{{{ m.reasoning_content }}}}</think>\
         {{% endif %}}{block}{{% endfor %}}"
    );
    for source in [keeps.as_str(), drops.as_str()] {
        let mut request = turns(4);
        request.messages[3].reasoning = Some("hm".into());
        let known = history(&template(source), &tokenizer, &request, now).unwrap();
        for content in ["", "\n", " x", "zebra", "<|im_end|>"] {
            let mut next = request.clone();
            next.messages.push(Message::text(Role::User, content));
            let next = prompt(&template(source), &tokenizer, &next, now).unwrap();
            assert!(next.tokens.starts_with(&known), "{content:?}");
        }
        assert!(known.last().is_some_and(|&last| tokenizer.token_bytes(last).starts_with(b"<|im_")), "{known:?}");
        let text = prompt(&template(source), &tokenizer, &turns(4), now).unwrap();
        let common = text.tokens.iter().zip(&known).take_while(|(a, b)| a == b).count();
        assert!(common >= known.len() - 1 && known.len() > 60, "{} of {common}", known.len());
    }
    let bare = template("{% for m in messages %}{{ m.content }}\n{% endfor %}");
    assert!(history(&bare, &tokenizer, &turns(2), now).unwrap().is_empty());
    let strict = template("{% if messages|length > 2 %}{{ raise_exception('no') }}{% endif %}");
    assert!(history(&strict, &tokenizer, &turns(2), now).is_err());
}
