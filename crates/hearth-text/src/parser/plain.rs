//! The dialect without tool calls: all of it is text.

use hearth_core::event::Event;

use super::{DialectParser, push_text};

pub(super) struct Plain;

impl DialectParser for Plain {
    fn push(&mut self, text: &str, events: &mut Vec<Event>) {
        push_text(text, events);
    }

    fn finish(&mut self, _events: &mut Vec<Event>) {}

    fn whole_calls(&self) -> usize {
        0
    }
}
