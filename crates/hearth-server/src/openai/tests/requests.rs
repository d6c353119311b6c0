//! What is read from a request's body, and what is refused, field by field.

use hearth_core::{
    Error,
    chat::{ChatRequest, Role, ToolChoice},
};
use serde_json::{Value, json};

use crate::openai::convert::{ChatCall, chat_call};

/// A minimal request with more fields.
fn with(more: &str) -> Result<ChatCall, Error> {
    let comma = if more.is_empty() { "" } else { "," };
    chat_call(format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}]{comma}{more}}}"#).as_bytes(), None)
}

fn request(more: &str) -> ChatRequest {
    with(more).unwrap_or_else(|error| panic!("{more}: {error}")).request
}

/// A request of these messages.
fn conversation(messages: &str) -> Result<ChatRequest, Error> {
    chat_call(format!(r#"{{"messages":{messages}}}"#).as_bytes(), None).map(|call| call.request)
}

#[test]
fn a_field_out_of_range_is_refused_by_name() {
    for (body, param, part) in [
        (r#""model":1"#, "model", "must be a string, not 1"),
        (r#""temperature":2.01"#, "temperature", "a number from 0 to 2, not 2.01"),
        (r#""temperature":-0.1"#, "temperature", "a number from 0 to 2"),
        (r#""temperature":"1""#, "temperature", r#"not "1""#),
        (r#""temperature":1e308"#, "temperature", "not 1e308"),
        (r#""top_p":0"#, "top_p", "above 0"),
        (r#""top_p":1.1"#, "top_p", "a number from 0 to 1"),
        (r#""top_k":-2"#, "top_k", "a whole number from -1"),
        (r#""min_p":1.5"#, "min_p", "a number from 0 to 1"),
        (r#""repetition_penalty":0"#, "repetition_penalty", "a number from 0.1 to 10"),
        (r#""presence_penalty":2.5"#, "presence_penalty", "a number from -2 to 2"),
        (r#""frequency_penalty":-3"#, "frequency_penalty", "a number from -2 to 2"),
        (r#""max_tokens":0"#, "max_tokens", "at least 1, not 0"),
        (r#""max_tokens":-1"#, "max_tokens", "at least 1, not -1"),
        (r#""max_tokens":1.5"#, "max_tokens", "a whole number"),
        (r#""max_tokens":9223372036854775808"#, "max_tokens", "a whole number"),
        (r#""max_completion_tokens":0"#, "max_completion_tokens", "at least 1"),
        (r#""n":0"#, "n", "from 1 to 8, not 0"),
        (r#""n":9"#, "n", "from 1 to 8, not 9"),
        (r#""n":1000000"#, "n", "from 1 to 8"),
        (r#""seed":"x""#, "seed", "a whole number of 64 bits"),
        (r#""logprobs":1"#, "logprobs", "true or false, not 1"),
        (r#""logprobs":true,"top_logprobs":21"#, "top_logprobs", "from 0 to 20, not 21"),
        (r#""logprobs":true,"top_logprobs":-1"#, "top_logprobs", "from 0 to 20"),
        (r#""top_logprobs":1"#, "top_logprobs", "needs logprobs"),
        (r#""logit_bias":{"x":1}"#, "logit_bias", r#""x" is not a token's id"#),
        (r#""logit_bias":{"-1":1}"#, "logit_bias", "is not a token's id"),
        (r#""logit_bias":{"5":101}"#, "logit_bias.5", "from -100 to 100, not 101"),
        (r#""logit_bias":[]"#, "logit_bias", "an object"),
        (r#""stop":5"#, "stop", "a string or a list of strings, not 5"),
        (r#""stop":"""#, "stop", "1 to 256 bytes, not 0"),
        (r#""stop":["a",""]"#, "stop[1]", "1 to 256 bytes"),
        (r#""stop":["a",7]"#, "stop[1]", "a string, not 7"),
        (r#""stream":"yes""#, "stream", "true or false"),
        (r#""stream_options":true"#, "stream_options", "an object"),
        (r#""stream_options":{"include_usage":1}"#, "stream_options.include_usage", "true or false"),
        (r#""user":5"#, "user", "a string"),
        (r#""metadata":"x""#, "metadata", "an object"),
        (r#""prompt_cache_key":5"#, "prompt_cache_key", "a string"),
        (r#""session_id":{"any":"thing"}"#, "session_id", "a string"),
        (r#""store":"x""#, "store", "true or false"),
        (r#""parallel_tool_calls":1"#, "parallel_tool_calls", "true or false"),
        (r#""functions":[]"#, "functions", "functions is not supported: use tools"),
        (r#""function_call":"auto""#, "function_call", "use tool_choice"),
        (r#""audio":{"voice":"x"}"#, "audio", "answers are text"),
        (r#""modalities":["text","audio"]"#, "modalities", r#""audio" is not supported"#),
        (r#""prediction":{}"#, "prediction", "is not supported"),
        (r#""verbosity":"low""#, "verbosity", "is not supported"),
        (r#""web_search_options":{}"#, "web_search_options", "is not supported"),
        (r#""chat_template":"{{x}}""#, "chat_template", "is not supported"),
        (r#""response_format":{"type":"json_object"}"#, "response_format", "json_object is not supported"),
        (r#""response_format":{"type":"json_schema"}"#, "response_format", "json_schema is not supported"),
        (r#""response_format":{}"#, "response_format", "no type is not supported"),
        (r#""tool_choice":"required""#, "tool_choice", "cannot be forced yet"),
        (r#""tool_choice":{"type":"function","function":{"name":"f"}}"#, "tool_choice", "cannot be forced yet"),
        (r#""tool_choice":"always""#, "tool_choice", r#"must be "auto" or "none", not "always""#),
        (r#""reasoning_effort":3"#, "reasoning_effort", "a string"),
        (r#""documents":["x"]"#, "documents[0]", "an object"),
    ] {
        let error = with(body).map(|_| ()).expect_err(body);
        assert_eq!(error.param.as_deref(), Some(param), "{body}: {error}");
        assert!(error.message.contains(part), "{body}: {error}");
        assert!(error.message.starts_with(param) || error.message.contains(param), "{body}: {error}");
    }
}

#[test]
fn a_template_is_told_allowed_scalars_only() {
    for key in ["tokenize", "chat_template", "messages", "tools", "add_generation_prompt", "documents", "bos_token"] {
        let error = with(&format!(r#""chat_template_kwargs":{{"{key}":true}}"#)).expect_err(key);
        assert_eq!(error.param, Some(format!("chat_template_kwargs.{key}")));
    }
    let error = with(r#""chat_template_kwargs":{"enable_thinking":{"a":1}}"#).expect_err("an object");
    assert!(error.message.contains("must be a string, a number, true or false"), "{error}");

    let args =
        request(r#""reasoning_effort":"low","chat_template_kwargs":{"enable_thinking":false,"reasoning_effort":null}"#);
    assert_eq!(Value::Object(args.template_args), json!({ "reasoning_effort": "low", "enable_thinking": false }));
}

#[test]
fn limits_are_kept_to_the_last_element() {
    let list = |count: usize, element: &str| format!("[{}]", vec![element; count].join(","));
    let biases = |count: usize| {
        let entries: Vec<_> = (0..count).map(|i| format!(r#""{i}":1"#)).collect();
        format!(r#""logit_bias":{{{}}}"#, entries.join(","))
    };
    let tool = r#"{"type":"function","function":{"name":"f"}}"#;
    for (fits, exceeds) in [
        (biases(1024), biases(1025)),
        (format!(r#""stop":{}"#, list(16, r#""x""#)), format!(r#""stop":{}"#, list(17, r#""x""#))),
        (format!(r#""stop":"{}""#, "x".repeat(256)), format!(r#""stop":"{}""#, "x".repeat(257))),
        (format!(r#""tools":{}"#, list(128, tool)), format!(r#""tools":{}"#, list(129, tool))),
    ] {
        request(&fits);
        assert!(with(&exceeds).is_err(), "{exceeds}");
    }
    let hi = r#"{"role":"user","content":"Hi"}"#;
    conversation(&list(4096, hi)).expect("4096 messages fit");
    let error = conversation(&list(4097, hi)).expect_err("one too many");
    assert_eq!(error.message, "messages has more than 4096 elements, which is the limit.");
}

#[test]
fn nulls_and_unknown_fields_mean_nothing() {
    let names = [
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "stop",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "seed",
        "user",
        "response_format",
        "modalities",
        "audio",
        "metadata",
        "session_id",
        "prompt_cache_key",
        "chat_template_kwargs",
        "presence_penalty",
        "documents",
    ];
    let nulls: Vec<_> = names.iter().map(|name| format!(r#""{name}":null"#)).collect();
    let call = with(&nulls.join(",")).expect("nulls are nothing");
    assert_eq!((call.request.sampling, call.request.session), (Default::default(), None));
    assert_eq!((call.choices, call.request.one_call, call.stream, call.include_usage), (1, false, false, false));
    request(r#""session":{"any":"thing"},"guided":[[[]]],"cache_prompt":true"#);
}

#[test]
fn sampling_and_limits_are_taken_over() {
    let call = with(
        r#""model":"m","temperature":0,"top_p":0.5,"top_k":-1,"min_p":0.1,"repetition_penalty":1.1,"presence_penalty":-2,
        "frequency_penalty":2,"seed":-1,"logprobs":true,"top_logprobs":20,"logit_bias":{"7":-100,"8":0.5,"9":null},
        "max_tokens":5,"max_completion_tokens":6,"stop":["a","b"],"n":8,"stream":true,"stream_options":{"include_usage":true},
        "tool_choice":"none","parallel_tool_calls":false,"modalities":["text"],"response_format":{"type":"text"},"store":true,"documents":[{"text":"x"}]"#,
    );
    let ChatCall { request, choices, stream, include_usage } = call.expect("all of it is valid");
    let sampling = request.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (Some(0.0), Some(0.5), Some(0)));
    assert_eq!((sampling.min_p, sampling.repetition_penalty), (Some(0.1), Some(1.1)));
    assert_eq!((sampling.presence_penalty, sampling.frequency_penalty), (Some(-2.0), Some(2.0)));
    assert_eq!((sampling.seed, sampling.logprobs), (Some(u64::MAX), Some(20)));
    assert_eq!(sampling.logit_bias, [(7, -100.0), (8, 0.5)]);
    assert_eq!((request.max_tokens, request.stop), (Some(6), vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!((choices, request.one_call, stream, include_usage), (8, true, true, true));
    assert_eq!((request.model.as_str(), request.tool_choice), ("m", ToolChoice::None));
    assert_eq!(request.documents, [json!({ "text": "x" })]);
}

#[test]
fn messages_become_turns() {
    let turns = conversation(
        r#"[
        {"role":"developer","content":[{"type":"text","text":"Be "},{"type":"text","text":"brief."}]},
        {"role":"user","content":"What is the tide?","name":"Ada"},
        {"role":"assistant","content":null,"reasoning_content":"Ask.","refusal":null,"function_call":null,"audio":null,"tool_calls":[
            {"id":"c1","type":"function","function":{"name":"tide","arguments":"{\"z\":1,\"a\":[2]}"}},
            {"id":"c2","function":{"name":"now","arguments":{}}}]},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"high"}]},
        {"role":"function","name":"now","content":null},
        {"role":"assistant","content":[{"type":"refusal","refusal":"No."}],"reasoning":"Hm."},
        {"role":"assistant","content":null}
        ]"#,
    )
    .expect("valid")
    .messages;
    let seen: Vec<_> = turns.iter().map(|turn| (turn.role, turn.content.as_deref())).collect();
    let expected = [
        (Role::System, Some("Be brief.")),
        (Role::User, Some("What is the tide?")),
        (Role::Assistant, None),
        (Role::Tool, Some("high")),
        (Role::Tool, Some("")),
        (Role::Assistant, Some("No.")),
        (Role::Assistant, Some("")),
    ];
    assert_eq!(seen, expected);
    assert_eq!(turns[1].name.as_deref(), Some("Ada"));
    assert_eq!((turns[2].reasoning.as_deref(), turns[5].reasoning.as_deref()), (Some("Ask."), Some("Hm.")));
    let calls: Vec<_> = turns[2].tool_calls.iter().map(|c| (c.id.as_str(), c.name.as_str())).collect();
    assert_eq!(calls, [("c1", "tide"), ("c2", "now")]);
    let arguments = serde_json::to_string(&turns[2].tool_calls[0].arguments).expect("JSON");
    assert_eq!(arguments, r#"{"z":1,"a":[2]}"#, "the client's order is kept");
    assert_eq!(turns[3].tool_call_id.as_deref(), Some("c1"));
}

#[test]
fn a_message_that_cannot_be_read_is_refused_where_it_stands() {
    let call = |arguments: &str| {
        format!(
            r#"[{{"role":"assistant","tool_calls":[{{"id":"x","function":{{"name":"f","arguments":{arguments}}}}}]}}]"#
        )
    };
    let arguments = "messages[0].tool_calls[0].function.arguments";
    let part = |part: &str| format!(r#"[{{"role":"user","content":[{{"type":"text","text":"a"}},{part}]}}]"#);
    let kind = "messages[0].content[1].type";
    for (messages, param, says) in [
        ("[]".to_owned(), "messages", "at least one message"),
        ("null".to_owned(), "messages", "at least one message"),
        ("{}".to_owned(), "messages", "a list, not {}"),
        ("[5]".to_owned(), "messages[0]", "an object, not 5"),
        (r#"[{"content":"x"}]"#.to_owned(), "messages[0].role", "is missing"),
        (r#"[{"role":"robot","content":"x"}]"#.to_owned(), "messages[0].role", r#"not "robot""#),
        (r#"[{"role":"user"}]"#.to_owned(), "messages[0].content", "is missing"),
        (r#"[{"role":"system","content":null}]"#.to_owned(), "messages[0].content", "is missing"),
        (r#"[{"role":"user","content":7}]"#.to_owned(), "messages[0].content", "a string or a list of parts, not 7"),
        (r#"[{"role":"user","content":["x"]}]"#.to_owned(), "messages[0].content[0]", r#"an object, not "x""#),
        (part(r#"{"type":"image_url","image_url":{"url":"data:"}}"#), kind, "image_url is not supported"),
        (part(r#"{"type":"input_audio","input_audio":{}}"#), kind, "input_audio is not supported"),
        (part(r#"{"type":"file","file":{}}"#), kind, "file is not supported"),
        (part(r#"{"text":"x"}"#), kind, "no type is not supported"),
        (part(r#"{"type":"text"}"#), "messages[0].content[1].text", "is missing"),
        (call(r#""[1]""#), arguments, r#"a JSON object in a string, not "[1]""#),
        (call(r#""{\"a\":""#), arguments, "a JSON object in a string"),
        (call(r#""""#), arguments, "a JSON object in a string"),
        (call("[1]"), arguments, "not [1]"),
        (call("5"), arguments, "not 5"),
        (call("null"), arguments, "is missing"),
        (
            r#"[{"role":"assistant","function_call":{"name":"f"}}]"#.to_owned(),
            "messages[0].function_call",
            "is not supported",
        ),
    ] {
        let error = conversation(&messages).expect_err(&messages);
        assert_eq!(error.param.as_deref(), Some(param), "{messages}: {error}");
        assert!(error.message.contains(says), "{messages}: {error}");
    }
}

#[test]
fn the_billing_line_is_dropped_from_system_prompts_alone() {
    let line = "x-anthropic-billing-header: cc_version=2; cch=7af3;";
    for (messages, expected) in [
        (format!(r#"[{{"role":"system","content":"{line}\nYou are\n"}}]"#), "You are\n"),
        (format!(r#"[{{"role":"system","content":"Above\n{line}"}}]"#), "Above\n"),
        (
            format!(
                r#"[{{"role":"system","content":[{{"type":"text","text":"{line}"}},{{"type":"text","text":"Be"}}]}}]"#
            ),
            "Be",
        ),
        (format!(r#"[{{"role":"system","content":"say {line}"}}]"#), &format!("say {line}")),
        (format!(r#"[{{"role":"user","content":"{line}"}}]"#), line),
    ] {
        let turns = conversation(&messages).expect("valid").messages;
        assert_eq!(turns[0].content.as_deref(), Some(expected), "{messages}");
    }
}

#[test]
fn tools_keep_the_order_in_which_they_are_described() {
    let described = r#"{"description":"d","name":"fetch_tide","parameters":{"type":"object","properties":{"z":{},"a":{}}},"strict":true}"#;
    let tools =
        request(&format!(r#""tools":[{{"type":"function","function":{described},"x":1}}],"tool_choice":"auto""#)).tools;
    assert_eq!(tools[0].name, "fetch_tide");
    assert_eq!(tools[0].definition.to_string(), format!(r#"{{"type":"function","function":{described}}}"#));
    for (tools, param, says) in [
        (r#"[{"type":"web_search"}]"#, "tools[0].type", r#"must be "function""#),
        (r#"[{"function":{"name":"f"}}]"#, "tools[0].type", "not \"missing\""),
        (r#"[{"type":"function"}]"#, "tools[0].function", "is missing"),
        (r#"[{"type":"function","function":{}}]"#, "tools[0].function.name", "is missing"),
        (r#"[{"type":"function","function":{"name":""}}]"#, "tools[0].function.name", "must not be empty"),
        (r#"[{"type":"function","function":{"name":"f","parameters":5}}]"#, "tools[0].function.parameters", "not 5"),
    ] {
        let error = with(&format!(r#""tools":{tools}"#)).expect_err(tools);
        assert_eq!(error.param.as_deref(), Some(param), "{tools}: {error}");
        assert!(error.message.contains(says), "{tools}: {error}");
    }
    let huge = format!(r#""tools":[{{"type":"function","function":{{"name":"f","x":"{}"}}}}]"#, "x".repeat(1 << 20));
    assert!(with(&huge).expect_err("too much").message.contains("1048576 is the limit"));
}
