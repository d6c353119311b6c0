//! A model's output, as text, to the events of an answer: reasoning, text and tool calls.
//!
//! Invariants: events, joined, do not depend on how the output was cut into pieces; markup is never part of them; text
//! that only looks like markup comes back unchanged. Reasoning comes first and is read by `reasoning`; what follows
//! is read by the parser of the model's dialect, from the table `DIALECTS`. A new dialect is one file and one line.

mod call;
mod hermes;
mod ids;
mod json;
mod marker;
mod plain;
mod reasoning;

use hearth_core::event::Event;

use reasoning::{Part, Reasoning};

/// How models write tool calls, by name.
const DIALECTS: [Dialect; 2] = [
    Dialect { name: "plain", parser: || Box::new(plain::Plain) },
    Dialect { name: "hermes", parser: || Box::<hermes::Hermes>::default() },
];

/// Text that parsers look for: shown even by tokenizers that count such tokens as special.
pub(crate) const MARKERS: [&str; 4] = [reasoning::OPEN, reasoning::CLOSE, hermes::OPEN, hermes::CLOSE];

struct Dialect {
    name: &'static str,
    parser: fn() -> Box<dyn DialectParser>,
}

/// Reads what follows the reasoning.
trait DialectParser: Send {
    /// More of it.
    fn push(&mut self, text: &str, events: &mut Vec<Event>);
    /// The end of it: what was held back.
    fn finish(&mut self, events: &mut Vec<Event>);
    /// How many calls came whole.
    fn whole_calls(&self) -> usize;
}

/// Reads one answer.
pub struct OutputParser {
    reasoning: Reasoning,
    content: Box<dyn DialectParser>,
}

impl OutputParser {
    /// For the answer to `rendered_prompt`, whose end tells whether the model is already thinking.
    ///
    /// Without `tools` everything but reasoning is text.
    pub fn new(rendered_prompt: &str, tools: bool) -> Self {
        Self::with_dialect(rendered_prompt, if tools { "hermes" } else { "plain" }).expect("both are in the table")
    }

    /// With the dialect of this name; `None` if there is none.
    pub fn with_dialect(rendered_prompt: &str, dialect: &str) -> Option<Self> {
        let dialect = DIALECTS.iter().find(|known| known.name == dialect)?;
        Some(Self { reasoning: Reasoning::after(rendered_prompt), content: (dialect.parser)() })
    }

    /// What the next piece of output adds, perhaps nothing yet.
    pub fn push(&mut self, text: &str) -> Vec<Event> {
        let parts = self.reasoning.push(text);
        self.events(parts)
    }

    /// The end of the output: what was held back.
    pub fn finish(&mut self) -> Vec<Event> {
        let parts = self.reasoning.finish();
        let mut events = self.events(parts);
        self.content.finish(&mut events);
        events
    }

    /// Whether the answer holds at least one whole call.
    pub fn called_tools(&self) -> bool {
        self.content.whole_calls() > 0
    }

    fn events(&mut self, parts: Vec<Part>) -> Vec<Event> {
        let mut events = Vec::new();
        for part in parts {
            match part {
                Part::Reasoning(text) => events.push(Event::Reasoning(text)),
                Part::Content(text) => self.content.push(&text, &mut events),
            }
        }
        events
    }
}

/// An event of text, unless there is none.
fn push_text(text: &str, events: &mut Vec<Event>) {
    if !text.is_empty() {
        events.push(Event::Text { text: text.to_owned(), logprobs: Vec::new() });
    }
}
