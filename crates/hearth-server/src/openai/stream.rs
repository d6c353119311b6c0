//! A streamed answer: each event becomes one `chat.completion.chunk`.
//!
//! Every chunk has the same id; the first of a choice has the role, the last its finish reason, and none of them is
//! without choices but the one that reports the usage, which comes only when asked for.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use hearth_core::{
    Error, Result,
    event::{Event, Usage},
};
use serde::Serialize;

use super::types::{
    CallDelta, Chunk, ChunkChoice, Delta, FunctionShape, Head, LogprobsShape, UsageShape, finish_reason, total,
};
use crate::{error::ApiError, report::ReportShape};

/// Room for some chunks, so that not each one asks for memory; `BytesMut` asks for as much again when it is used up.
const BUFFER: usize = 4096;

/// The frames of a stream of `choices` answers, whose events come with the choice's index in `answers`.
///
/// An error becomes a frame of its own and the end.
pub(super) fn frames<S>(head: Head, choices: usize, include_usage: bool, answers: S) -> impl Stream<Item = Bytes> + Send
where
    S: Stream<Item = Result<(usize, Event)>> + Send + Unpin,
{
    let mut encoder =
        Encoder { head, usages: vec![None; choices], include_usage, buffer: BytesMut::with_capacity(BUFFER) };
    let start = encoder.start();
    let rest = stream::unfold(Some((encoder, answers)), |state| async move {
        let (mut encoder, mut answers) = state?;
        match answers.next().await {
            Some(Ok((index, event))) => Some((encoder.event(index, &event), Some((encoder, answers)))),
            Some(Err(error)) => Some((encoder.error(error), None)),
            None => Some((encoder.end(), None)),
        }
    });
    stream::iter([start]).chain(rest)
}

struct Encoder {
    head: Head,
    /// What each choice took, once it is finished.
    usages: Vec<Option<Usage>>,
    include_usage: bool,
    buffer: BytesMut,
}

impl Encoder {
    fn start(&mut self) -> Bytes {
        let delta = || Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
        for index in 0..self.usages.len() {
            self.chunk(ChunkChoice { index, delta: delta(), logprobs: None, finish_reason: None }, None);
        }
        self.take()
    }

    fn event(&mut self, index: usize, event: &Event) -> Bytes {
        let mut choice = ChunkChoice { index, delta: Delta::default(), logprobs: None, finish_reason: None };
        let mut hearth = None;
        match event {
            Event::Text { text, logprobs } => {
                choice.delta.content = Some(text);
                choice.logprobs = LogprobsShape::of(logprobs);
            }
            Event::Reasoning(text) => choice.delta.reasoning_content = Some(text),
            Event::ToolCallStart { index, id, name } => {
                let function = FunctionShape { name: Some(name), arguments: "" };
                let call = CallDelta { index: *index, id: Some(id), kind: Some("function"), function };
                choice.delta.tool_calls = Some([call]);
            }
            Event::ToolCallArguments { index, fragment } => {
                let function = FunctionShape { name: None, arguments: fragment };
                choice.delta.tool_calls = Some([CallDelta { index: *index, id: None, kind: None, function }]);
            }
            Event::Finished { reason, usage, report } => {
                choice.finish_reason = Some(finish_reason(*reason));
                self.usages[index] = Some(*usage);
                hearth = (index == 0).then(|| ReportShape::of(report, usage));
            }
        }
        self.chunk(choice, hearth);
        self.take()
    }

    fn end(&mut self) -> Bytes {
        let Some(usages) = self.usages.iter().copied().collect::<Option<Vec<_>>>() else {
            return self.error(Error::internal("The answer ended without a reason."));
        };
        if self.include_usage {
            self.write(&[], Some(Some(total(usages).into())), None);
        }
        self.buffer.extend_from_slice(b"data: [DONE]\n\n");
        self.take()
    }

    fn error(&mut self, error: Error) -> Bytes {
        frame(&mut self.buffer, &ApiError::from(error).openai_body());
        self.take()
    }

    fn chunk(&mut self, choice: ChunkChoice<'_>, hearth: Option<ReportShape<'_>>) {
        self.write(&[choice], self.include_usage.then_some(None), hearth);
    }

    fn write(
        &mut self,
        choices: &[ChunkChoice<'_>],
        usage: Option<Option<UsageShape>>,
        hearth: Option<ReportShape<'_>>,
    ) {
        let Head { id, created, model } = &self.head;
        let object = "chat.completion.chunk";
        frame(&mut self.buffer, &Chunk { id, object, created: *created, model, choices, usage, hearth });
    }

    fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }
}

fn frame(buffer: &mut BytesMut, content: &impl Serialize) {
    buffer.reserve(BUFFER / 8);
    buffer.extend_from_slice(b"data: ");
    serde_json::to_writer(buffer.writer(), content).expect("plain data into memory");
    buffer.extend_from_slice(b"\n\n");
}
