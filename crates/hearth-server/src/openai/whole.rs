//! A whole answer: the events of each choice gathered into one `chat.completion`.
//!
//! A call of a tool that broke off in its arguments, at the token limit or because the model wrote something else, is left
//! out: there is nothing that a client could do with it. A stream has given it away by then, and only its finish reason
//! tells.

use hearth_core::{
    Error, Result,
    event::{AnswerReport, Event, FinishReason, TokenLogprob, Usage},
};
use serde::de::IgnoredAny;

use super::types::{
    AnswerMessage, CallShape, Choice, Completion, FunctionShape, Head, LogprobsShape, finish_reason, total,
};
use crate::report::ReportShape;

/// The answer's JSON; `answers` holds the events of each choice.
pub(super) fn completion(head: &Head, answers: Vec<Vec<Event>>) -> Result<Vec<u8>> {
    let answers: Vec<_> = answers.into_iter().map(Answer::gather).collect::<Result<_>>()?;
    let first = answers.first().ok_or_else(|| Error::internal("The answer has no choices."))?;
    let completion = Completion {
        id: &head.id,
        object: "chat.completion",
        created: head.created,
        model: &head.model,
        choices: answers.iter().enumerate().map(|(index, answer)| answer.choice(index)).collect(),
        usage: total(answers.iter().map(|answer| answer.usage)).into(),
        hearth: ReportShape::of(&first.report, &first.usage),
    };
    serde_json::to_vec(&completion).map_err(|e| Error::internal(format!("The answer does not serialize: {e}.")))
}

/// What the events of one answer add up to.
struct Answer {
    content: String,
    reasoning: String,
    calls: Vec<Call>,
    logprobs: Vec<TokenLogprob>,
    reason: FinishReason,
    usage: Usage,
    report: Box<AnswerReport>,
}

struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Answer {
    fn gather(events: Vec<Event>) -> Result<Self> {
        let Some(Event::Finished { reason, usage, report }) = events.last().cloned() else {
            return Err(Error::internal("The answer ended without a reason."));
        };
        let (content, reasoning) = Default::default();
        let mut answer = Self { content, reasoning, calls: Vec::new(), logprobs: Vec::new(), reason, usage, report };
        events.into_iter().for_each(|event| answer.push(event));
        Ok(answer)
    }

    fn push(&mut self, event: Event) {
        match event {
            Event::Text { text, logprobs } => {
                self.content.push_str(&text);
                self.logprobs.extend(logprobs);
            }
            Event::Reasoning(text) => self.reasoning.push_str(&text),
            Event::ToolCallStart { id, name, .. } => self.calls.push(Call { id, name, arguments: String::new() }),
            Event::ToolCallArguments { index, fragment } => {
                if let Some(call) = self.calls.get_mut(index) {
                    call.arguments.push_str(&fragment);
                }
            }
            Event::Finished { .. } => {}
        }
    }

    fn choice(&self, index: usize) -> Choice<'_> {
        let calls: Vec<_> = self.calls.iter().filter(|call| call.is_whole()).map(Call::shape).collect();
        let silent = self.content.is_empty() && !calls.is_empty();
        let message = AnswerMessage {
            role: "assistant",
            content: (!silent).then_some(&self.content),
            reasoning_content: (!self.reasoning.is_empty()).then_some(&self.reasoning),
            refusal: None,
            tool_calls: calls,
        };
        let logprobs = LogprobsShape::of(&self.logprobs);
        Choice { index, message, logprobs, finish_reason: finish_reason(self.reason) }
    }
}

impl Call {
    fn is_whole(&self) -> bool {
        serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok()
    }

    fn shape(&self) -> CallShape<'_> {
        let function = FunctionShape { name: Some(&self.name), arguments: &self.arguments };
        CallShape { id: &self.id, kind: "function", function }
    }
}
