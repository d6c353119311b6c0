//! An assistant's turn, put together from the events of its answer as they are produced.

use hearth_core::chat::{Message, Role, ToolCall};
use hearth_core::event::Event;

/// What an answer has said so far, and its tokens.
#[derive(Default)]
pub(crate) struct Gathered {
    content: String,
    reasoning: String,
    calls: Vec<Call>,
    /// As they were sampled, markup and stop token included.
    pub(crate) tokens: Vec<u32>,
}

#[derive(Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Gathered {
    pub(crate) fn add(&mut self, event: &Event) {
        match event {
            Event::Text { text, .. } => self.content.push_str(text),
            Event::Reasoning(text) => self.reasoning.push_str(text),
            Event::ToolCallStart { id, name, .. } => {
                self.calls.push(Call { id: id.clone(), name: name.clone(), arguments: String::new() });
            }
            Event::ToolCallArguments { index, fragment } => {
                if let Some(call) = self.calls.get_mut(*index) {
                    call.arguments.push_str(fragment);
                }
            }
            Event::Finished { .. } => {}
        }
    }

    /// The turn. Calls that were cut off are not part of it: no template could render them.
    pub(crate) fn message(&mut self) -> Message {
        let calls = std::mem::take(&mut self.calls).into_iter();
        let tool_calls: Vec<ToolCall> = calls.filter_map(Call::whole).collect();
        let content = Some(std::mem::take(&mut self.content)).filter(|text| !text.is_empty() || tool_calls.is_empty());
        let reasoning = Some(std::mem::take(&mut self.reasoning)).filter(|text| !text.is_empty());
        Message { content, reasoning, tool_calls, ..Message::text(Role::Assistant, "") }
    }
}

impl Call {
    fn whole(self) -> Option<ToolCall> {
        let arguments = serde_json::from_str(&self.arguments).ok()?;
        Some(ToolCall { id: self.id, name: self.name, arguments })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gather(events: Vec<Event>) -> Message {
        let mut gathered = Gathered::default();
        events.iter().for_each(|event| gathered.add(event));
        gathered.message()
    }

    fn text(text: &str) -> Event {
        Event::Text { text: text.into(), logprobs: Vec::new() }
    }

    fn call(index: usize, arguments: &[&str]) -> Vec<Event> {
        let start = Event::ToolCallStart { index, id: format!("c{index}"), name: format!("f{index}") };
        let fragment = |fragment: &&str| Event::ToolCallArguments { index, fragment: (*fragment).into() };
        std::iter::once(start).chain(arguments.iter().map(fragment)).collect()
    }

    #[test]
    fn a_turn_is_what_was_said_thought_and_called() {
        let message = gather(vec![Event::Reasoning("h".into()), Event::Reasoning("m".into()), text("o"), text("k")]);
        assert_eq!((message.content.as_deref(), message.reasoning.as_deref()), (Some("ok"), Some("hm")));
        assert_eq!(gather(Vec::new()), Message::text(Role::Assistant, ""));
    }

    #[test]
    fn calls_that_are_not_whole_are_left_out() {
        let calls = [call(0, &["{\"a\"", ": 1}"]), call(1, &["[1]"]), call(2, &["{}"]), call(3, &["{\"b\": "])];
        let message = gather(calls.concat());
        assert_eq!(message.content, None);
        let kept: Vec<_> = message.tool_calls.iter().map(|call| (call.id.as_str(), call.name.as_str())).collect();
        assert_eq!(kept, [("c0", "f0"), ("c2", "f2")]);
        assert_eq!(json!(message.tool_calls[0].arguments), json!({"a": 1}));
        let message = gather(call(0, &["{"]));
        assert_eq!((message.content.as_deref(), message.tool_calls.len()), (Some(""), 0));
    }
}
