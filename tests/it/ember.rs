//! Ember answers, measured on dialogues that it has never seen, through HTTP as any client would ask.

use hearth_tests::http::joined;
use hearth_tests::{Server, root};
use serde_json::{Value, json};

/// Of the 100 held-out dialogues.
const ENOUGH: usize = 90;

#[test]
fn it_gets_the_held_out_dialogues_right() {
    let text = std::fs::read_to_string(root().join("tests/fixtures/ember/held_out.json")).unwrap();
    let dialogues: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(dialogues.len(), 100);
    let server = Server::start(&[]);
    let wrong = faults(&server, &dialogues);
    let right = dialogues.len() - wrong.len();
    println!("{right} of {} right", dialogues.len());
    assert!(right >= ENOUGH, "{right} right; wrong:\n{}", wrong.join("\n"));
}

/// Asks from several clients at once, as the batch is there to be used.
fn faults(server: &Server, dialogues: &[Value]) -> Vec<String> {
    std::thread::scope(|scope| {
        let client = |part: &'_ [Value]| part.iter().filter_map(|dialogue| fault(server, dialogue)).collect::<Vec<_>>();
        let clients: Vec<_> = dialogues.chunks(25).map(|part| scope.spawn(move || client(part))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// `None` where the answer is what the dialogue expects.
fn fault(server: &Server, dialogue: &Value) -> Option<String> {
    // A right answer is short; a model that has lost its way should not hold up the test.
    let mut body = json!({"model": "ember", "messages": dialogue["messages"], "max_tokens": 200});
    if !dialogue["tools"].is_null() {
        body["tools"] = dialogue["tools"].clone();
    }
    let message = server.chat(&body).message();
    let expected = &dialogue["expect"];
    (!meets(&message, expected)).then(|| format!("{}: {} is not {expected}", dialogue["kind"], message))
}

fn meets(message: &Value, expected: &Value) -> bool {
    if let Some(call) = expected.get("tool_call") {
        let function = &message["tool_calls"][0]["function"];
        let arguments: Option<Value> = function["arguments"].as_str().and_then(|text| serde_json::from_str(text).ok());
        return function["name"] == call["name"] && arguments.as_ref() == call.get("arguments");
    }
    let content = message["content"].as_str().unwrap_or_default();
    let parts = expected["contains"].as_array().map(Vec::as_slice).unwrap_or_default();
    !parts.is_empty() && parts.iter().all(|part| part.as_str().is_some_and(|part| content.contains(part)))
}

fn tide() -> Value {
    json!({
        "messages": [{"role": "user", "content": "What is the tide in Oban?"}],
        "tools": [{"type": "function", "function": {
            "name": "fetch_tide",
            "description": "Tide times at a harbour.",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
        }}],
        "temperature": 0,
    })
}

#[test]
fn it_calls_a_tool_and_uses_what_comes_back() {
    let server = Server::start(&[]);
    let answer = server.chat(&tide());
    let message = answer.message();
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "tool_calls", "{answer:?}");
    assert_eq!(message["content"], Value::Null);
    let call = &message["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("fetch_tide")));
    assert_eq!(call["function"]["arguments"], r#"{"place": "Oban"}"#);

    let mut next = tide();
    let result = json!({"role": "tool", "tool_call_id": call["id"], "content": "High tide at 14:05"});
    next["messages"].as_array_mut().unwrap().extend([message.clone(), result]);
    let answer = server.chat(&next).message();
    assert!(answer["content"].as_str().unwrap().contains("14:05"), "{answer}");
}

#[test]
fn a_streamed_tool_call_is_the_same_call_and_shows_no_markup() {
    let server = Server::start(&[]);
    let chunks: Vec<Value> = server.stream(&tide()).collect();
    let deltas: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    let calls: Vec<&Value> =
        deltas.iter().map(|delta| &delta["tool_calls"][0]).filter(|call| !call.is_null()).collect();
    assert_eq!(calls[0]["function"]["name"], "fetch_tide");
    assert_eq!(calls[0]["function"]["arguments"], "");
    assert!(calls[1..].iter().all(|call| call["function"]["name"].is_null() && call["id"].is_null()), "{calls:?}");
    let arguments: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(arguments, r#"{"place": "Oban"}"#);
    assert_eq!(joined(&chunks), "");
    assert_eq!(chunks.last(), Some(&json!("[DONE]")));
}

#[test]
fn a_stream_joined_is_the_answer_unstreamed() {
    let server = Server::start(&[]);
    let questions = ["Who are you?", "Repeat: Caf\u{e9} cr\u{e8}me br\u{fb}l\u{e9}e \u{1f36e}", "What is 3 + 4?"];
    for question in questions {
        let body = json!({"messages": [{"role": "user", "content": question}], "temperature": 0});
        let chunks: Vec<Value> = server.stream(&body).collect();
        let whole = server.chat(&body).message();
        assert_eq!(Some(joined(&chunks).as_str()), whole["content"].as_str(), "{question}");
    }
}
