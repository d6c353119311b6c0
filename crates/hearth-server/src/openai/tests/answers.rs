//! The shapes of answers: what a stream adds up to is what a whole answer says.

use futures_util::{FutureExt, StreamExt, stream};
use hearth_core::{
    Error, ErrorKind, Result,
    event::{AnswerReport, Event, FinishReason, TokenLogprob, Usage},
    task::CacheSource,
};
use serde_json::{Value, json};

use crate::openai::{stream::frames, types::Head, whole};

fn head() -> Head {
    Head { id: "chatcmpl-1".to_owned(), created: 7, model: "ember".to_owned() }
}

fn text(text: &str) -> Event {
    Event::Text { text: text.to_owned(), logprobs: Vec::new() }
}

fn finished(reason: FinishReason) -> Event {
    let usage = Usage { prompt_tokens: 11, completion_tokens: 5, reasoning_tokens: 2, cached_tokens: 8 };
    let report = AnswerReport { source: CacheSource::Memory, matched_tokens: 8, ..AnswerReport::default() };
    Event::Finished { reason, usage, report: Box::new(report) }
}

/// An answer with everything in it.
fn rich() -> Vec<Event> {
    vec![
        Event::Reasoning("Hm, ".into()),
        Event::Reasoning("the tide.".into()),
        text("Let me \u{1f30a}\n\ndata: look"),
        text(" it up.\u{1b}[0m"),
        start(0, "tide"),
        more(0, r#"{"place":"#),
        more(0, r#""Oban"}"#),
        start(1, "now"),
        more(1, "{}"),
        finished(FinishReason::ToolCalls),
    ]
}

fn whole(answers: Vec<Vec<Event>>) -> Value {
    serde_json::from_slice(&whole::completion(&head(), answers).expect("finished")).expect("JSON")
}

/// The frames of a stream without their `data: ` and blank line.
fn streamed(choices: usize, include_usage: bool, events: Vec<Result<(usize, Event)>>) -> Vec<String> {
    let frames = frames(head(), choices, include_usage, stream::iter(events)).collect::<Vec<_>>();
    let frames = frames.now_or_never().expect("nothing to wait for");
    let text: String = frames.iter().map(|frame| std::str::from_utf8(frame).expect("UTF-8")).collect();
    let frames = text.strip_suffix("\n\n").expect("a blank line ends the last frame").split("\n\n");
    frames.map(|frame| frame.strip_prefix("data: ").expect("a data line").to_owned()).collect()
}

fn ok(events: Vec<Event>) -> Vec<Result<(usize, Event)>> {
    events.into_iter().map(|event| Ok((0, event))).collect()
}

/// What a client puts together from the deltas of one choice.
fn joined(chunks: &[Value], index: usize) -> Value {
    let mut message = json!({});
    let mut calls: Vec<Value> = Vec::new();
    let mut reasons = Vec::new();
    for choice in chunks.iter().flat_map(|chunk| chunk["choices"].as_array().expect("choices")) {
        if choice["index"] != index {
            continue;
        }
        for key in ["role", "content", "reasoning_content"] {
            if let Some(more) = choice["delta"][key].as_str() {
                message[key] = (message[key].as_str().unwrap_or_default().to_owned() + more).into();
            }
        }
        choice["delta"]["tool_calls"].as_array().into_iter().flatten().for_each(|delta| join_call(&mut calls, delta));
        if !choice["finish_reason"].is_null() {
            assert_eq!(choice["delta"], json!({}));
            reasons.push(choice["finish_reason"].clone());
        }
    }
    assert_eq!(reasons.len(), 1, "one finish chunk");
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({ "message": message, "finish_reason": reasons[0] })
}

fn join_call(calls: &mut Vec<Value>, delta: &Value) {
    let arguments = delta["function"]["arguments"].as_str().expect("arguments");
    let index = delta["index"].as_u64().expect("an index") as usize;
    if index == calls.len() {
        assert_eq!(arguments, "", "the first delta of a call has everything but the arguments");
        calls.push(json!({ "id": delta["id"], "type": delta["type"], "function": delta["function"] }));
        return;
    }
    assert_eq!(
        *delta,
        json!({ "index": index, "function": { "arguments": arguments } }),
        "and the others nothing else"
    );
    let so_far = calls[index]["function"]["arguments"].as_str().expect("text").to_owned();
    calls[index]["function"]["arguments"] = (so_far + arguments).into();
}

/// A whole answer's choice, without what deltas do not carry.
fn comparable(choice: &Value) -> Value {
    let mut message = choice["message"].clone();
    message.as_object_mut().expect("an object").remove("refusal");
    json!({ "message": message, "finish_reason": choice["finish_reason"] })
}

fn chunks(frames: &[String]) -> Vec<Value> {
    assert_eq!(frames.last().expect("frames"), "[DONE]");
    frames[..frames.len() - 1].iter().map(|frame| serde_json::from_str(frame).expect("JSON")).collect()
}

#[test]
fn a_whole_answer_has_openais_shape() {
    let answer = whole(vec![vec![text("Hel"), text("lo"), finished(FinishReason::Stop)]]);
    let expected = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "ember",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": "Hello", "refusal": null },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16,
            "prompt_tokens_details": { "cached_tokens": 8 },
            "completion_tokens_details": { "reasoning_tokens": 2 },
        },
        "hearth": hearth(),
    });
    assert_eq!(answer, expected);
}

/// What Hearth says of [`finished`].
fn hearth() -> Value {
    let timings = json!({
        "queue_ms": 0.0, "load_ms": 0.0, "restore_ms": 0.0, "prefill_ms": 0.0, "decode_ms": 0.0,
        "prefill_tokens_per_second": null, "decode_tokens_per_second": null,
    });
    let cache = json!({ "source": "memory", "matched_tokens": 8, "miss": null });
    json!({ "session": null, "cache": cache, "timings": timings })
}

fn start(index: usize, name: &str) -> Event {
    Event::ToolCallStart { index, id: format!("call_{index}"), name: name.into() }
}

fn more(index: usize, fragment: &str) -> Event {
    Event::ToolCallArguments { index, fragment: fragment.into() }
}

#[test]
fn content_is_null_beside_calls_and_empty_without() {
    for (events, expected) in [
        (vec![start(0, "f"), more(0, "{}"), finished(FinishReason::ToolCalls)], json!(null)),
        (vec![text("x"), start(0, "f"), more(0, "{}"), finished(FinishReason::ToolCalls)], json!("x")),
        (vec![start(0, "f"), more(0, "{\"x\": "), finished(FinishReason::Length)], json!("")),
        (vec![finished(FinishReason::Length)], json!("")),
        (vec![Event::Reasoning("x".into()), finished(FinishReason::Length)], json!("")),
    ] {
        assert_eq!(whole(vec![events])["choices"][0]["message"]["content"], expected);
    }
}

#[test]
fn a_call_that_broke_off_is_no_call() {
    let whole = |events: Vec<Event>| {
        let choice = whole(vec![events])["choices"][0].take();
        let calls = choice["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
        let calls: Vec<_> = calls.iter().map(|call| call["function"]["name"].clone()).collect();
        (json!(calls), choice["finish_reason"].clone())
    };
    for (arguments, reason, expected) in [
        ("", FinishReason::Length, (json!([]), json!("length"))),
        (r#"{"x": [1, "#, FinishReason::Length, (json!([]), json!("length"))),
        (r#"{"x": "#, FinishReason::Stop, (json!([]), json!("stop"))),
        (r#"{"x": 1}"#, FinishReason::Length, (json!(["f"]), json!("length"))),
    ] {
        assert_eq!(whole(vec![start(0, "f"), more(0, arguments), finished(reason)]), expected, "{arguments}");
    }
    let events = [start(0, "f"), more(0, "{\"x\": "), start(1, "g"), more(1, "{}"), finished(FinishReason::ToolCalls)];
    assert_eq!(whole(events.to_vec()), (json!(["g"]), json!("tool_calls")));
}

#[test]
fn a_stream_joined_is_the_whole_answer() {
    let plain = vec![text("Grüß"), text(" dich"), finished(FinishReason::Length)];
    for events in [rich(), plain] {
        let chunks = chunks(&streamed(1, false, ok(events.clone())));
        assert_eq!(joined(&chunks, 0), comparable(&whole(vec![events])["choices"][0]));
    }
}

#[test]
fn every_chunk_keeps_the_rules() {
    for include_usage in [false, true] {
        let mut chunks = chunks(&streamed(1, include_usage, ok(rich())));
        let usage = include_usage.then(|| chunks.pop().expect("a usage chunk"));
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
        assert_eq!(chunks[1..].iter().filter(|chunk| !chunk["choices"][0]["delta"]["role"].is_null()).count(), 0);
        for chunk in &chunks {
            assert_eq!((&chunk["id"], &chunk["object"]), (&json!("chatcmpl-1"), &json!("chat.completion.chunk")));
            assert_eq!((&chunk["created"], &chunk["model"]), (&json!(7), &json!("ember")));
            assert_eq!(chunk["choices"].as_array().map(Vec::len), Some(1));
            assert_eq!(chunk.get("usage"), include_usage.then_some(&Value::Null));
            let last = !chunk["choices"][0]["finish_reason"].is_null();
            assert_eq!(chunk.get("hearth"), last.then(hearth).as_ref(), "beside the finish reason alone");
        }
        let Some(usage) = usage else { continue };
        assert_eq!((&usage["id"], &usage["choices"]), (&json!("chatcmpl-1"), &json!([])));
        assert_eq!(usage["usage"], whole(vec![rich()])["usage"]);
        assert_eq!(usage.get("hearth"), None);
    }
}

#[test]
fn choices_are_told_apart_by_their_index() {
    let events = [(1, text("b")), (0, text("a")), (1, text("B")), (1, finished(FinishReason::Stop))];
    let rest = [(0, finished(FinishReason::Length))];
    let events: Vec<_> = events.into_iter().chain(rest).map(Ok).collect();
    let mut chunks = chunks(&streamed(2, true, events));
    let usage = &chunks.pop().expect("a usage chunk")["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&json!(11), &json!(10)),
        "the prompt counts once"
    );
    assert_eq!(joined(&chunks, 0)["message"]["content"], "a");
    let told = chunks.iter().filter(|chunk| chunk.get("hearth").is_some());
    let told: Vec<_> = told.map(|chunk| &chunk["choices"][0]["index"]).collect();
    assert_eq!(told, [&json!(0)], "the first choice speaks for all");
    assert_eq!(
        joined(&chunks, 1),
        json!({ "message": { "role": "assistant", "content": "bB" }, "finish_reason": "stop" })
    );
}

#[test]
fn log_probabilities_stand_beside_their_text() {
    let token = |token: &str, logprob: f32, top: Vec<TokenLogprob>| TokenLogprob {
        token: token.into(),
        bytes: token.as_bytes().to_vec(),
        logprob,
        top,
    };
    let top = vec![token("a", -0.5, vec![]), token("b", f32::NEG_INFINITY, vec![])];
    let events = vec![
        Event::Text { text: "a".into(), logprobs: vec![token("a", -0.5, top)] },
        Event::Text { text: String::new(), logprobs: vec![token("b", -1.5, vec![])] },
        finished(FinishReason::Stop),
    ];
    let first = json!({
        "token": "a", "logprob": -0.5, "bytes": [97],
        "top_logprobs": [
            { "token": "a", "logprob": -0.5, "bytes": [97] },
            { "token": "b", "logprob": -9999.0, "bytes": [98] },
        ],
    });
    let second = json!({ "token": "b", "logprob": -1.5, "bytes": [98], "top_logprobs": [] });
    let whole = whole(vec![events.clone()]);
    assert_eq!(whole["choices"][0]["logprobs"], json!({ "content": [first, second], "refusal": null }));

    let chunks = chunks(&streamed(1, false, ok(events)));
    let content = |chunk: &Value| chunk["choices"][0]["logprobs"]["content"].clone();
    assert_eq!((content(&chunks[1]), content(&chunks[2])), (json!([first]), json!([second])));
    assert_eq!(chunks[3]["choices"][0].get("logprobs"), None);
}

#[test]
fn an_error_is_the_last_frame() {
    let died = Error::new(ErrorKind::WorkerDied, "the model's process ended");
    let frames = streamed(1, true, vec![Ok((0, text("a"))), Err(died), Ok((0, text("b")))]);
    let error: Value = serde_json::from_str(frames.last().expect("frames")).expect("JSON");
    let expected =
        json!({ "message": "the model's process ended", "type": "server_error", "param": null, "code": "worker_died" });
    assert_eq!((error, frames.len()), (json!({ "error": expected }), 3));

    let frames = streamed(1, false, vec![Ok((0, text("a")))]);
    assert!(frames.last().expect("frames").contains("ended without a reason"), "{frames:?}");
    assert!(whole::completion(&head(), vec![vec![text("a")]]).is_err());
}

/// The later choices find the prompt that the first one computed; the client is told what the first one found.
#[test]
fn several_choices_tell_of_the_first_ones_cache() {
    let found = |cached_tokens| {
        let usage = Usage { prompt_tokens: 11, completion_tokens: 5, reasoning_tokens: 0, cached_tokens };
        let report = AnswerReport { matched_tokens: cached_tokens, ..AnswerReport::default() };
        vec![text("a"), Event::Finished { reason: FinishReason::Stop, usage, report: Box::new(report) }]
    };
    let answer = whole(vec![found(3), found(10)]);
    let usage = &answer["usage"];
    assert_eq!(
        (&usage["prompt_tokens_details"]["cached_tokens"], &usage["completion_tokens"]),
        (&json!(3), &json!(10))
    );
    assert_eq!(answer["hearth"]["cache"]["matched_tokens"], 3);
}
