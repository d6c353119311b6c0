//! The output parser against fixtures (`tests/fixtures/parser`: one output and its events a file), cut in every way.

use crate::support::{Chance, files, json};
use hearth_core::event::Event;
use hearth_text::OutputParser;
use serde_json::{Value, json};

/// Events of an answer with neighbours joined, in the fixtures' form; and whether a call came whole.
fn parse(prompt_end: &str, tools: bool, pieces: &[&str]) -> (Vec<Value>, bool) {
    let mut parser = OutputParser::new(prompt_end, tools);
    let mut events: Vec<Event> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    events.extend(parser.finish());
    (joined(events), parser.called_tools())
}

fn joined(events: Vec<Event>) -> Vec<Value> {
    let mut joined: Vec<Value> = Vec::new();
    let mut calls = 0;
    for event in events {
        let (key, text) = match event {
            Event::Text { text, logprobs } => {
                assert!(logprobs.is_empty() && !text.is_empty());
                ("text", text)
            }
            Event::Reasoning(text) => ("reasoning", text),
            Event::ToolCallStart { index, id, name } => {
                assert_eq!(index, calls, "calls are counted from 0");
                assert_eq!(id.len(), 29);
                calls += 1;
                joined.push(json!({"call": name, "arguments": ""}));
                continue;
            }
            Event::ToolCallArguments { index, fragment } => {
                assert_eq!(index + 1, calls, "fragments belong to the last call");
                ("arguments", fragment)
            }
            Event::Finished { .. } => panic!("the parser does not know when an answer is over"),
        };
        assert!(!text.is_empty(), "an empty {key}");
        match joined.last_mut().and_then(|last| last.get_mut(key)) {
            Some(Value::String(before)) => before.push_str(&text),
            _ => joined.push(json!({key: text})),
        }
    }
    joined
}

fn characters(text: &str) -> Vec<&str> {
    text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect()
}

fn random_pieces<'a>(chance: &mut Chance, text: &'a str) -> Vec<&'a str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let mut at = (1 + chance.below(9)).min(rest.len());
        while !rest.is_char_boundary(at) {
            at += 1;
        }
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[test]
fn outputs_become_their_events_however_they_are_cut() {
    for path in files("parser", "json") {
        let case = json(&path);
        let prompt = case["prompt_end"].as_str().unwrap();
        let output = case["output"].as_str().unwrap();
        let tools = case["tools"].as_bool().unwrap();
        let expected = (case["events"].as_array().unwrap().clone(), case["called_tools"].as_bool().unwrap());
        assert_eq!(parse(prompt, tools, &[output]), expected, "{path:?}");
        assert_eq!(parse(prompt, tools, &characters(output)), expected, "{path:?} by characters");
        for (at, _) in output.char_indices() {
            assert_eq!(parse(prompt, tools, &[&output[..at], &output[at..]]), expected, "{path:?} cut at {at}");
        }
    }
}

const SNIPPETS: [&str; 34] = [
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "{\"name\": \"f\", \"arguments\": {",
    "{\"name\":",
    "\"f\"",
    "}}",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\u00e9",
    ",",
    ":",
    " ",
    "\n",
    "\t",
    "null",
    "12",
    "-",
    "é",
    "👩‍👧",
    "<",
    "<tool",
    "</",
    "\"arguments\"",
    "\"parameters\"",
    "\"function\"",
    "word",
    "{\"a\": 1}",
    "\"x\": \"y\"",
];

#[test]
fn random_output_is_never_a_panic_and_cuts_change_nothing() {
    let mut chance = Chance::new(7);
    for round in 0..4_000 {
        let output = chance.text(&SNIPPETS, 24);
        let prompt = *chance.pick(&["", "<think>\n"]);
        let tools = round % 5 > 0;
        let whole = parse(prompt, tools, &[&output]);
        let pieces = random_pieces(&mut chance, &output);
        assert_eq!(parse(prompt, tools, &pieces), whole, "{output:?} as {pieces:?}");
        assert_eq!(parse(prompt, tools, &characters(&output)), whole, "{output:?} by characters");
    }
}

#[test]
fn a_call_is_whole_exactly_if_its_arguments_are_json() {
    let mut chance = Chance::new(11);
    let mut seen = 0;
    for _ in 0..3_000 {
        let inner = chance.text(&SNIPPETS[6..], 8);
        let output = format!("<tool_call>{{\"name\": \"f\", \"arguments\": {{{inner}}}}}</tool_call>");
        let (events, called) = parse("", true, &[&output]);
        let calls = events.iter().filter(|event| event["call"].is_string());
        let parsed = calls.filter_map(|call| serde_json::from_str(call["arguments"].as_str().unwrap()).ok());
        let whole = parsed.inspect(|arguments: &Value| assert!(arguments.is_object(), "{output:?}")).count();
        assert_eq!(called, whole > 0, "{output:?}: {events:?}");
        seen += usize::from(called);
    }
    assert!(seen > 30, "only {seen} outputs were calls");
}

#[test]
fn a_call_is_told_as_soon_as_its_name_is_whole_and_arguments_as_they_come() {
    let mut parser = OutputParser::new("", true);
    assert_eq!(parser.push("Sure. <tool_call>\n{\"name\": \"fetch_ti"), [text("Sure.")]);
    let start = parser.push("de\"");
    assert!(matches!(&start[..], [Event::ToolCallStart { index: 0, name, .. }] if name == "fetch_tide"), "{start:?}");
    assert_eq!(parser.push(", \"arguments\": {\"pl"), [fragment("{\"pl")]);
    assert_eq!(parser.push("ace\": \"Ob"), [fragment("ace\": \"Ob")]);
    assert!(!parser.called_tools());
    assert_eq!(parser.push("an\"}}\n</tool_c"), [fragment("an\"}")]);
    assert!(parser.called_tools());
    assert_eq!(parser.push("all>\n"), []);
    assert_eq!(parser.finish(), []);
}

#[test]
fn text_is_passed_on_at_once_unless_it_may_be_markup() {
    let mut parser = OutputParser::new("", true);
    assert_eq!(parser.push("One"), [text("One")]);
    assert_eq!(parser.push(" two\n"), [text(" two")]);
    assert_eq!(parser.push("a <"), [text("\na")]);
    assert_eq!(parser.push("b"), [text(" <b")]);
    let mut parser = OutputParser::new("<think>\n", true);
    assert_eq!(parser.push("\nHm, </"), [Event::Reasoning("Hm, ".into())]);
    assert_eq!(parser.push("x"), [Event::Reasoning("</x".into())]);
}

fn text(text: &str) -> Event {
    Event::Text { text: text.into(), logprobs: vec![] }
}

fn fragment(fragment: &str) -> Event {
    Event::ToolCallArguments { index: 0, fragment: fragment.into() }
}
