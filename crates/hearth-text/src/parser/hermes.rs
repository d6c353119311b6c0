//! Tool calls as Hermes and Qwen models write them: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.
//!
//! Decisions, where models stray from the form:
//! - A call begins as soon as its name is whole; what of its arguments is known is then passed on as it arrives. From
//!   there on the block stays a call: if its JSON breaks later, the arguments end where they broke, and the rest of the
//!   block is dropped. What was passed on cannot be taken back.
//! - A call is whole once its arguments are: braces after them may be missing, or one too many, and so may the closing
//!   marker. A call that breaks or is cut off in its arguments is not whole, and those arguments are not JSON: whoever
//!   gives an answer out at once leaves such a call out.
//! - A block that breaks before is no call and comes back as the text it is, markers included. One that the end of the
//!   output cuts off before its name is dropped: it is markup and nothing else.
//! - White space between calls, and between text and calls, belongs to the markup.

use hearth_core::event::Event;

use super::call::{Call, NotACall};
use super::ids::Ids;
use super::{DialectParser, marker, push_text};

pub(super) const OPEN: &str = "<tool_call>";
pub(super) const CLOSE: &str = "</tool_call>";

#[derive(Default)]
pub(super) struct Hermes {
    state: State,
    /// What cannot be told apart yet.
    held: String,
    /// White space that is text if more text follows.
    space: String,
    /// Whether text came out.
    said: bool,
    ids: Ids,
    begun: usize,
    whole: usize,
}

#[derive(Default)]
enum State {
    #[default]
    Text,
    /// In a block, with what was read of it.
    Block(Call, String),
    /// Behind a call's object, before the marker that closes the block.
    Closing,
    /// In a block that broke after its call began: nothing more of it is taken.
    Broken,
}

impl DialectParser for Hermes {
    fn push(&mut self, text: &str, events: &mut Vec<Event>) {
        self.held.push_str(text);
        while self.step(events) {}
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        match &self.state {
            State::Text => {
                let held = std::mem::take(&mut self.held);
                self.say(&held, events);
                if self.begun == 0 {
                    push_text(&std::mem::take(&mut self.space), events);
                }
            }
            State::Block(call, _) => self.whole += usize::from(call.whole()),
            State::Closing | State::Broken => {}
        }
    }

    fn whole_calls(&self) -> usize {
        self.whole
    }
}

impl Hermes {
    /// One step through what is held; whether another may follow.
    fn step(&mut self, events: &mut Vec<Event>) -> bool {
        match std::mem::take(&mut self.state) {
            State::Text => self.text(events),
            State::Block(call, read) => self.block(call, read, events),
            State::Closing => self.closing(),
            State::Broken => self.broken(),
        }
    }

    fn text(&mut self, events: &mut Vec<Event>) -> bool {
        let found = self.held.find(OPEN);
        let certain = found.unwrap_or_else(|| marker::possible(&self.held, OPEN));
        let text: String = self.held.drain(..certain).collect();
        self.say(&text, events);
        if found.is_some() {
            self.held.drain(..OPEN.len());
            self.state = State::Block(Call::default(), String::new());
        }
        found.is_some()
    }

    fn block(&mut self, mut call: Call, mut read: String, events: &mut Vec<Event>) -> bool {
        let held = std::mem::take(&mut self.held);
        let mut fate = Ok(false);
        let mut taken = 0;
        for (at, c) in held.char_indices() {
            fate = call.push(c);
            if fate.is_err() {
                break;
            }
            taken = at + c.len_utf8();
            if fate == Ok(true) {
                break;
            }
        }
        read.push_str(&held[..taken]);
        self.held = held[taken..].to_owned();
        let began = self.pass_on(&mut call, events);
        if fate != Ok(false) {
            self.whole += usize::from(call.whole());
        }
        match fate {
            Ok(false) => self.state = State::Block(call, if began { String::new() } else { read }),
            Ok(true) => self.state = State::Closing,
            Err(NotACall) if began => self.state = State::Broken,
            Err(NotACall) => self.say(&format!("{OPEN}{read}"), events),
        }
        fate != Ok(false)
    }

    /// What is known of the call; whether it has begun.
    fn pass_on(&mut self, call: &mut Call, events: &mut Vec<Event>) -> bool {
        if let Some(name) = call.take_name() {
            self.space.clear();
            events.push(Event::ToolCallStart { index: self.begun, id: self.ids.next(), name });
            self.begun += 1;
        }
        let fragment = call.take_arguments();
        if !fragment.is_empty() {
            events.push(Event::ToolCallArguments { index: self.begun - 1, fragment });
        }
        call.begun()
    }

    fn closing(&mut self) -> bool {
        let rest = self.held.trim_start_matches(|c: char| c.is_whitespace() || c == '}');
        let closed = rest.strip_prefix(CLOSE);
        if closed.is_none() && CLOSE.starts_with(rest) {
            self.held = rest.to_owned();
            self.state = State::Closing;
            return false;
        }
        self.held = closed.unwrap_or(rest).to_owned();
        true
    }

    fn broken(&mut self) -> bool {
        let found = self.held.find(CLOSE);
        let dropped = found.map_or_else(|| marker::possible(&self.held, CLOSE), |at| at + CLOSE.len());
        self.held.drain(..dropped);
        if found.is_none() {
            self.state = State::Broken;
        }
        found.is_some()
    }

    /// Text, with white space at its end held back, and none at its beginning where only calls came before.
    fn say(&mut self, text: &str, events: &mut Vec<Event>) {
        let visible = text.trim_end();
        if !visible.is_empty() {
            let mut said = std::mem::take(&mut self.space) + visible;
            if self.begun > 0 && !self.said {
                said = said.trim_start().to_owned();
            }
            self.said = true;
            push_text(&said, events);
        }
        self.space.push_str(&text[visible.len()..]);
    }
}
