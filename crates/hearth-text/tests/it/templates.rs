//! Chat templates against what transformers rendered: `tests/fixtures/templates`, written by its `generate.py`.

use std::path::{Path, PathBuf};

use hearth_core::chat::{ChatRequest, Message, Role, Tool, ToolCall};
use hearth_core::{Error, ErrorKind};
use hearth_text::{ChatTemplate, LocalTime, SpecialTokens};
use serde_json::Value;

use crate::support::{fixtures, json};

/// That of `generate.py`.
pub(crate) const NOW: LocalTime =
    LocalTime { year: 2026, month: 3, day: 7, hour: 15, minute: 4, second: 9, weekday: 6 };

/// A case as the server would hand it on.
fn request(case: &Value) -> ChatRequest {
    let list = |name: &str| case[name].as_array().cloned().unwrap_or_default();
    ChatRequest {
        messages: list("messages").iter().map(message).collect(),
        tools: list("tools").into_iter().map(|definition| Tool { name: name(&definition), definition }).collect(),
        documents: list("documents"),
        template_args: case["args"].as_object().cloned().unwrap_or_default(),
        ..ChatRequest::default()
    }
}

fn name(definition: &Value) -> String {
    definition["function"]["name"].as_str().unwrap_or_default().to_owned()
}

fn message(json: &Value) -> Message {
    let text = |field: &str| json[field].as_str().map(str::to_owned);
    let role = [Role::System, Role::User, Role::Assistant, Role::Tool].into_iter();
    Message {
        role: role.into_iter().find(|role| role.as_str() == json["role"]).unwrap(),
        content: text("content"),
        reasoning: text("reasoning_content"),
        tool_calls: json["tool_calls"].as_array().into_iter().flatten().map(tool_call).collect(),
        tool_call_id: text("tool_call_id"),
        name: text("name"),
    }
}

fn tool_call(json: &Value) -> ToolCall {
    ToolCall {
        id: json["id"].as_str().unwrap_or_default().to_owned(),
        name: name(json),
        arguments: json["function"]["arguments"].as_object().cloned().unwrap_or_default(),
    }
}

fn render(template: &str, request: &ChatRequest) -> Result<String, Error> {
    ChatTemplate::new(template, &SpecialTokens::default())?.render(request, NOW)
}

#[test]
fn constructs_render_as_in_python() {
    let request = request(&json(&fixtures("templates/constructs.json")));
    let lines = std::fs::read_to_string(fixtures("templates/constructs.txt")).unwrap();
    let expected = json(&fixtures("templates/constructs.expected.json"));
    let expected = expected.as_array().unwrap();
    assert_eq!(lines.lines().count(), expected.len(), "run generate.py");
    let mut wrong = Vec::new();
    for (line, expected) in lines.lines().zip(expected) {
        let rendered = render(line, &request);
        if rendered.as_deref().ok() != expected.as_str() {
            wrong.push(format!("{line}\n    python: {expected}\n    here:   {rendered:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
}

/// Folders with a template, and their cases.
fn families() -> Vec<(PathBuf, Vec<PathBuf>)> {
    let listed = std::fs::read_dir(fixtures("templates")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = listed.filter(|path| path.join("chat_template.jinja").exists()).collect();
    folders.sort();
    folders.into_iter().map(|folder| (folder.clone(), cases(&folder))).collect()
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_case =
        |path: &PathBuf| path.extension().is_some_and(|it| it == "json") && !path.ends_with("special_tokens_map.json");
    listed.filter(is_case).collect()
}

#[test]
fn families_render_as_in_transformers() {
    let mut count = 0;
    for (folder, cases) in families() {
        let special = SpecialTokens::from_dir(&folder).unwrap();
        let template = ChatTemplate::from_dir(&folder, &special).unwrap().unwrap();
        for case in cases {
            let rendered = template.render(&request(&json(&case)), NOW);
            check_case(&case, rendered);
            count += 1;
        }
    }
    assert!(count >= 80, "only {count} cases");
}

fn check_case(case: &Path, rendered: Result<String, Error>) {
    if let Ok(expected) = std::fs::read_to_string(case.with_extension("txt")) {
        assert_eq!(rendered.unwrap_or_else(|error| panic!("{case:?}: {error}")), expected, "{case:?}");
        return;
    }
    let expected = std::fs::read_to_string(case.with_extension("error")).expect("run generate.py");
    let error = rendered.expect_err(&format!("{case:?} is refused by the template"));
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(error.param.as_deref(), Some("messages"));
    assert!(error.message.ends_with(&expected), "{case:?}: {error} does not end in {expected}");
}
