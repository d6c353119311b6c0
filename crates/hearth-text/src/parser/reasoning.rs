//! `<think>…</think>` at the beginning of an answer.
//!
//! The block is open from the start where the rendered prompt ends in `<think>`; else it opens where the answer begins
//! with `<think>` (a little white space may precede it). It ends at the first `</think>`; every later one is text. As
//! in the templates that write such blocks back into a history, newlines next to the two markers belong to the markup:
//! they are neither part of the reasoning nor of the text after it.

use super::marker;

pub(super) const OPEN: &str = "<think>";
pub(super) const CLOSE: &str = "</think>";

/// White space before the block, in bytes; with more of it the answer has begun.
const MAX_SPACE: usize = 64;

/// A piece of an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Reasoning(String),
    Content(String),
}

/// Splits an answer into reasoning and what follows it.
pub(super) struct Reasoning {
    state: State,
    /// What cannot be told apart yet.
    held: String,
    /// Newlines inside the block that are reasoning if more of it follows.
    newlines: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Nothing but white space and perhaps a part of the marker.
    Beginning,
    /// In the block; `said` once reasoning came out.
    Thinking {
        said: bool,
    },
    /// Just behind the block.
    Behind,
    Content,
}

impl Reasoning {
    /// For the answer to this prompt.
    pub(super) fn after(rendered_prompt: &str) -> Self {
        let open = rendered_prompt.trim_end().ends_with(OPEN);
        let state = if open { State::Thinking { said: false } } else { State::Beginning };
        Self { state, held: String::new(), newlines: 0 }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        let mut parts = Vec::new();
        while self.step(&mut parts) {}
        parts
    }

    /// What was held back: newlines at the end of the block are dropped, everything else was text after all.
    pub(super) fn finish(&mut self) -> Vec<Part> {
        let held = std::mem::take(&mut self.held);
        let mut parts = Vec::new();
        match self.state {
            State::Thinking { .. } => self.reason(&held, &mut parts),
            _ if held.is_empty() => {}
            _ => parts.push(Part::Content(held)),
        }
        parts
    }

    /// One step through what is held; whether another may follow.
    fn step(&mut self, parts: &mut Vec<Part>) -> bool {
        match self.state {
            State::Beginning => self.begin(),
            State::Thinking { .. } => self.think(parts),
            State::Behind => {
                self.held.drain(..self.held.len() - self.held.trim_start_matches('\n').len());
                self.go(State::Content, !self.held.is_empty())
            }
            State::Content => {
                if !self.held.is_empty() {
                    parts.push(Part::Content(std::mem::take(&mut self.held)));
                }
                false
            }
        }
    }

    fn begin(&mut self) -> bool {
        let text = self.held.trim_start();
        let near = self.held.len() - text.len() <= MAX_SPACE;
        if let Some(rest) = text.strip_prefix(OPEN).filter(|_| near) {
            self.held = rest.to_owned();
            return self.go(State::Thinking { said: false }, true);
        }
        self.go(State::Content, !near || !OPEN.starts_with(text))
    }

    fn think(&mut self, parts: &mut Vec<Part>) -> bool {
        let end = self.held.find(CLOSE);
        let until = end.unwrap_or_else(|| marker::possible(&self.held, CLOSE));
        let text: String = self.held.drain(..until).collect();
        self.reason(&text, parts);
        self.held.drain(..end.map_or(0, |_| CLOSE.len()));
        self.go(State::Behind, end.is_some())
    }

    /// Text of the block, without the newlines at its borders.
    fn reason(&mut self, text: &str, parts: &mut Vec<Part>) {
        let begun = self.state == State::Thinking { said: true };
        let text = if begun { text } else { text.trim_start_matches('\n') };
        let visible = text.trim_end_matches('\n');
        if !visible.is_empty() {
            parts.push(Part::Reasoning("\n".repeat(std::mem::take(&mut self.newlines)) + visible));
            self.state = State::Thinking { said: true };
        }
        self.newlines += text.len() - visible.len();
    }

    fn go(&mut self, state: State, really: bool) -> bool {
        if really {
            self.state = state;
        }
        really
    }
}
