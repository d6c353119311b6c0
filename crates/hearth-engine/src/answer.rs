//! From the tokens of one answer to its events: detokenizer → stop texts → output parser, with log-probabilities and
//! usage kept beside.
//!
//! Stop texts are looked for in the raw output, reasoning and markup included, as vLLM and llama.cpp do.

use std::sync::Arc;

use hearth_core::event::{Event, FinishReason, TokenLogprob, Usage};
use hearth_core::runner::{Logprobs, Sampled};
use hearth_text::{Detokenizer, OutputParser, StopMatcher, Tokenizer};

use crate::report::Subject;
use crate::worker::protocol::End;

/// One answer that grows by tokens.
pub(crate) struct Answer {
    detokenizer: Detokenizer,
    stops: StopMatcher,
    parser: OutputParser,
    one_call: bool,
    tokenizer: Arc<Tokenizer>,
    usage: Usage,
    /// Tokens since the last event, and their log-probabilities: they belong to whatever comes next.
    held: usize,
    logprobs: Vec<TokenLogprob>,
}

impl Answer {
    /// An answer that is yet to begin. The prompt's end tells whether the model is already thinking.
    pub(crate) fn new(subject: &Subject) -> Self {
        let Subject { tokenizer, prompt, request, tools, .. } = subject;
        Self {
            detokenizer: Detokenizer::new(tokenizer.clone()),
            stops: StopMatcher::new(request.stop.clone()),
            parser: OutputParser::new(&prompt.text, *tools),
            one_call: request.one_call,
            tokenizer: tokenizer.clone(),
            usage: Usage { prompt_tokens: prompt.tokens.len(), ..Usage::default() },
            held: 0,
            logprobs: Vec::new(),
        }
    }

    /// Adds a token. True where a stop text ends the answer with it.
    pub(crate) fn push(&mut self, sampled: &Sampled, events: &mut impl Extend<Event>) -> bool {
        self.usage.completion_tokens += 1;
        self.held += 1;
        if let Some(logprobs) = &sampled.logprobs {
            self.logprobs.push(token_logprob(&self.tokenizer, sampled.token, logprobs));
        }
        let text = self.detokenizer.push(sampled.token);
        let outcome = self.stops.push(&text);
        self.parse(&outcome.text, events);
        outcome.stopped
    }

    /// Counts a stop token, which has no text of its own.
    pub(crate) fn push_stop_token(&mut self) {
        self.usage.completion_tokens += 1;
    }

    /// Ends the answer; `stopped` if a stop text did. The last event is left to whoever knows how it came about.
    pub(crate) fn finish(
        &mut self,
        end: &End,
        stopped: bool,
        events: &mut impl Extend<Event>,
    ) -> (FinishReason, Usage) {
        if !stopped {
            let text = self.detokenizer.finish();
            let outcome = self.stops.push(&text);
            let rest = outcome.text + &self.stops.finish();
            self.parse(&rest, events);
        }
        let last = self.parser.finish();
        self.emit(last, events);
        if !stopped && !self.logprobs.is_empty() {
            events.extend([Event::Text { text: String::new(), logprobs: std::mem::take(&mut self.logprobs) }]);
        }
        let reason = match end {
            End::Length if !stopped => FinishReason::Length,
            _ if self.parser.called_tools() => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        };
        (reason, self.usage)
    }

    fn parse(&mut self, text: &str, events: &mut impl Extend<Event>) {
        if !text.is_empty() {
            let parsed = self.parser.push(text);
            self.emit(parsed, events);
        }
    }

    /// Gives the held tokens to the text among `parsed`, or to its reasoning; those of markup belong to nothing.
    fn emit(&mut self, mut parsed: Vec<Event>, events: &mut impl Extend<Event>) {
        if parsed.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.logprobs);
        let tokens = std::mem::take(&mut self.held);
        if let Some(Event::Text { logprobs, .. }) = parsed.iter_mut().find(|event| matches!(event, Event::Text { .. }))
        {
            *logprobs = held;
        } else if matches!(parsed[0], Event::Reasoning(_)) {
            self.usage.reasoning_tokens += tokens;
        }
        events.extend(parsed.into_iter().filter(|event| !(self.one_call && is_later_call(event))));
    }
}

/// For clients that take one call at a time: the model may write more, as nothing holds it back.
fn is_later_call(event: &Event) -> bool {
    matches!(event, Event::ToolCallStart { index, .. } | Event::ToolCallArguments { index, .. } if *index > 0)
}

fn token_logprob(tokenizer: &Tokenizer, token: u32, logprobs: &Logprobs) -> TokenLogprob {
    let one = |(token, logprob): (u32, f32)| {
        let bytes = tokenizer.token_bytes(token);
        TokenLogprob { token: String::from_utf8_lossy(&bytes).into_owned(), bytes, logprob, top: Vec::new() }
    };
    let top = logprobs.top.iter().copied().map(one).collect();
    TokenLogprob { top, ..one((token, logprobs.chosen)) }
}
