//! The JSON object of one tool call, character by character.
//!
//! `{"name": "…", "arguments": {…}}` with the two in either order and other keys ignored. Also taken: `parameters` for
//! `arguments`; arguments as a string that holds the object, as null, or left out; the whole wrapped once more as
//! `{"type": "function", "function": {…}}`.

use super::json::{Progress, Scanner};

/// The text is not a call of a tool.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotACall;

/// One call, as far as it has come.
#[derive(Default)]
pub(super) struct Call {
    state: State,
    /// How many objects are open: 2 inside `function`.
    depth: usize,
    name: Option<String>,
    begun: bool,
    arguments: Arguments,
}

#[derive(Default)]
struct Arguments {
    given: bool,
    whole: bool,
    /// Not passed on yet.
    text: String,
}

#[derive(Default)]
enum State {
    /// Before the object.
    #[default]
    Before,
    FirstKey,
    NextKey,
    Key(Scanner, String),
    Colon(Key),
    /// Before a value.
    Value(Key),
    In(Key, Scanner, String),
    /// Behind a value.
    Behind,
}

#[derive(Clone, Copy, PartialEq)]
enum Key {
    Name,
    Arguments,
    /// Arguments that are not an object and are looked at once they are whole.
    HeldArguments,
    Function,
    Other,
}

impl Call {
    /// Takes the next character; whether the call's object ends with it.
    pub(super) fn push(&mut self, c: char) -> Result<bool, NotACall> {
        match std::mem::take(&mut self.state) {
            State::Key(scanner, text) => self.key(scanner, text, c)?,
            State::In(key, scanner, text) => return self.within(key, scanner, text, c),
            state if c.is_ascii_whitespace() => self.state = state,
            State::Before if c == '{' => self.open(),
            State::FirstKey if c == '}' => return self.close(),
            State::FirstKey | State::NextKey if c == '"' => self.key(Scanner::default(), String::new(), c)?,
            State::Colon(key) if c == ':' => self.state = State::Value(key),
            State::Value(key) => return self.value(key, c),
            State::Behind if c == ',' => self.state = State::NextKey,
            State::Behind if c == '}' => return self.close(),
            _ => return Err(NotACall),
        }
        Ok(false)
    }

    /// The name, once, as soon as it is whole.
    pub(super) fn take_name(&mut self) -> Option<String> {
        let name = self.name.as_ref().filter(|_| !self.begun)?.clone();
        self.begun = true;
        Some(name)
    }

    /// Whether the name has been taken.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// Whether the name and all of the arguments have come; only closing braces may be missing.
    pub(super) fn whole(&self) -> bool {
        self.name.is_some() && self.arguments.whole
    }

    /// What has come of the arguments since the last time, once the call has begun.
    pub(super) fn take_arguments(&mut self) -> String {
        if self.begun { std::mem::take(&mut self.arguments.text) } else { String::new() }
    }

    fn open(&mut self) {
        self.depth += 1;
        self.state = State::FirstKey;
    }

    fn close(&mut self) -> Result<bool, NotACall> {
        self.depth -= 1;
        self.state = State::Behind;
        if self.depth > 0 {
            return Ok(false);
        }
        if self.name.is_none() {
            return Err(NotACall);
        }
        if !self.arguments.given {
            self.arguments = Arguments { given: true, whole: true, text: "{}".into() };
        }
        Ok(true)
    }

    fn key(&mut self, mut scanner: Scanner, mut text: String, c: char) -> Result<(), NotACall> {
        self.state = match scanner.step(c, &mut text) {
            Progress::More => State::Key(scanner, text),
            Progress::Done => State::Colon(self.known(&string(&text)?)),
            Progress::DoneBefore | Progress::Bad => return Err(NotACall),
        };
        Ok(())
    }

    /// Keys that were there before are ignored.
    fn known(&self, key: &str) -> Key {
        match key {
            "name" if self.name.is_none() => Key::Name,
            "arguments" | "parameters" if !self.arguments.given => Key::Arguments,
            "function" if self.depth == 1 && self.name.is_none() => Key::Function,
            _ => Key::Other,
        }
    }

    fn value(&mut self, key: Key, c: char) -> Result<bool, NotACall> {
        let key = match (key, c) {
            (Key::Function, '{') => {
                self.open();
                return Ok(false);
            }
            (Key::Arguments, '"' | 'n') => Key::HeldArguments,
            (Key::Name, '"') | (Key::Arguments, '{') | (Key::Other, _) => key,
            _ => return Err(NotACall),
        };
        self.arguments.given |= matches!(key, Key::Arguments | Key::HeldArguments);
        self.within(key, Scanner::default(), String::new(), c)
    }

    fn within(&mut self, key: Key, mut scanner: Scanner, mut text: String, c: char) -> Result<bool, NotACall> {
        let out = if key == Key::Arguments { &mut self.arguments.text } else { &mut text };
        let progress = scanner.step(c, out);
        match progress {
            Progress::Bad => return Err(NotACall),
            Progress::More => self.state = State::In(key, scanner, text),
            Progress::Done | Progress::DoneBefore => {
                self.take_value(key, &text)?;
                self.state = State::Behind;
            }
        }
        if progress == Progress::DoneBefore { self.push(c) } else { Ok(false) }
    }

    fn take_value(&mut self, key: Key, text: &str) -> Result<(), NotACall> {
        self.arguments.whole |= matches!(key, Key::Arguments | Key::HeldArguments);
        match key {
            Key::Name => match string(text)? {
                name if name.is_empty() => return Err(NotACall),
                name => self.name = Some(name),
            },
            Key::HeldArguments if text == "null" => self.arguments.text.push_str("{}"),
            Key::HeldArguments => self.arguments.text.push_str(&object(text)?),
            _ => {}
        }
        Ok(())
    }
}

fn string(json: &str) -> Result<String, NotACall> {
    serde_json::from_str(json).map_err(|_| NotACall)
}

/// The object that a JSON string holds.
fn object(json: &str) -> Result<String, NotACall> {
    let text = string(json)?;
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(NotACall),
    }
}
