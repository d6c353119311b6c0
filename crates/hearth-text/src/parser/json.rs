//! A JSON value that arrives character by character: checked as it comes, passed on as it is.
//!
//! One thing is mended: a raw control character inside a string (small models write line breaks there) is passed on
//! escaped, so that what comes out is JSON.

use std::fmt::Write;

/// Deeper than any JSON reader follows.
const MAX_DEPTH: usize = 128;
/// Longer than any number that a reader takes.
const MAX_LITERAL: usize = 400;

/// What a character did to the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is part of the value, and more is to come.
    More,
    /// The value ends with it.
    Done,
    /// The value ended before it.
    DoneBefore,
    /// No JSON value goes on like this.
    Bad,
}

/// Reads one value, from its first character that is not white space.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    open: Vec<Container>,
    state: State,
    /// The number or name under way.
    literal: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Container {
    Object,
    Array,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Value,
    FirstItem,
    FirstKey,
    Key,
    Colon,
    /// Behind a value in a container.
    After,
    Text(Within),
    Literal,
}

/// Where in a string.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Within {
    key: bool,
    /// Behind a backslash: 1 for the character that says what it is, then the digits of `\u`.
    escape: Option<u8>,
}

impl Scanner {
    /// Takes the next character and writes what it becomes to `out`.
    pub(super) fn step(&mut self, c: char, out: &mut String) -> Progress {
        let progress = self.accept(c);
        match progress {
            Progress::More | Progress::Done if c < ' ' && self.in_text() => {
                write!(out, "{}", escaped(c)).expect("a String takes everything");
            }
            Progress::More | Progress::Done => out.push(c),
            Progress::DoneBefore | Progress::Bad => {}
        }
        progress
    }

    fn in_text(&self) -> bool {
        matches!(self.state, State::Text(_))
    }

    fn accept(&mut self, c: char) -> Progress {
        match self.state {
            State::Text(within) => self.text(within, c),
            State::Literal => self.literal(c),
            _ if matches!(c, ' ' | '\t' | '\n' | '\r') => Progress::More,
            State::FirstItem if c == ']' => self.close(Container::Array),
            State::Value | State::FirstItem => self.value(c),
            State::FirstKey if c == '}' => self.close(Container::Object),
            State::FirstKey | State::Key => self.expect(c, '"', State::Text(Within { key: true, escape: None })),
            State::Colon => self.expect(c, ':', State::Value),
            State::After => self.after(c),
        }
    }

    fn expect(&mut self, c: char, expected: char, next: State) -> Progress {
        if c != expected {
            return Progress::Bad;
        }
        self.state = next;
        Progress::More
    }

    fn value(&mut self, c: char) -> Progress {
        match c {
            '{' => self.enter(Container::Object, State::FirstKey),
            '[' => self.enter(Container::Array, State::FirstItem),
            '"' => self.expect(c, '"', State::Text(Within { key: false, escape: None })),
            '-' | '0'..='9' | 't' | 'f' | 'n' => {
                self.literal = c.into();
                self.expect(c, c, State::Literal)
            }
            _ => Progress::Bad,
        }
    }

    fn enter(&mut self, container: Container, state: State) -> Progress {
        self.open.push(container);
        self.state = state;
        if self.open.len() > MAX_DEPTH { Progress::Bad } else { Progress::More }
    }

    fn close(&mut self, container: Container) -> Progress {
        if self.open.pop() != Some(container) {
            return Progress::Bad;
        }
        self.end()
    }

    /// A value ended with this character.
    fn end(&mut self) -> Progress {
        self.state = State::After;
        if self.open.is_empty() { Progress::Done } else { Progress::More }
    }

    fn after(&mut self, c: char) -> Progress {
        match (self.open.last(), c) {
            (Some(Container::Object), ',') => self.expect(c, ',', State::Key),
            (Some(Container::Array), ',') => self.expect(c, ',', State::Value),
            (_, '}') => self.close(Container::Object),
            (_, ']') => self.close(Container::Array),
            _ => Progress::Bad,
        }
    }

    fn text(&mut self, within: Within, c: char) -> Progress {
        let escape = match (within.escape, c) {
            (None, '"') if within.key => return self.expect(c, '"', State::Colon),
            (None, '"') => return self.end(),
            (None, '\\') => Some(0),
            (None, _) => None,
            (Some(0), 'u') => Some(4),
            (Some(0), '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => None,
            (Some(digits @ 1..), c) if c.is_ascii_hexdigit() => (digits > 1).then(|| digits - 1),
            (Some(_), _) => return Progress::Bad,
        };
        self.state = State::Text(Within { escape, ..within });
        Progress::More
    }

    fn literal(&mut self, c: char) -> Progress {
        if c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.') {
            self.literal.push(c);
            return if self.possible_literal() { Progress::More } else { Progress::Bad };
        }
        if serde_json::from_str::<serde_json::Value>(&self.literal).is_err() {
            return Progress::Bad;
        }
        self.state = State::After;
        if self.open.is_empty() { Progress::DoneBefore } else { self.accept(c) }
    }

    fn possible_literal(&self) -> bool {
        let number = self.literal.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let of_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        let name = || ["true", "false", "null"].iter().any(|name| name.starts_with(&self.literal));
        self.literal.len() <= MAX_LITERAL && if number { self.literal.chars().all(of_number) } else { name() }
    }
}

fn escaped(c: char) -> String {
    match c {
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        c => format!("\\u{:04x}", c as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came out, how it ended, and how many characters were taken.
    fn scan(text: &str) -> (String, Progress, usize) {
        let mut scanner = Scanner::default();
        let mut out = String::new();
        for (at, c) in text.chars().enumerate() {
            let progress = scanner.step(c, &mut out);
            if progress != Progress::More {
                return (out, progress, at);
            }
        }
        (out, Progress::More, text.chars().count())
    }

    #[test]
    fn values_end_where_json_says() {
        for text in [
            r#"{"a": [1, -2.5e+3, true, null, "x"], "b": {}, "c": []}"#,
            r#""a \"quoted\" \\ \u00e9 word""#,
            "[[[]], {\"}\": \"]\"}]",
            "{ \n }",
        ] {
            let (out, progress, at) = scan(&format!("{text} rest"));
            assert_eq!((out.as_str(), progress, at), (text, Progress::Done, text.chars().count() - 1));
        }
        assert_eq!(scan("12,"), ("12".into(), Progress::DoneBefore, 2));
        assert_eq!(scan("true}"), ("true".into(), Progress::DoneBefore, 4));
    }

    #[test]
    fn what_is_not_json_is_told_at_the_first_character_that_cannot_be() {
        for (text, at) in [
            ("hello", 0),
            ("{a", 1),
            ("{'a'", 1),
            ("{\"a\" 1", 5),
            ("[1 2", 3),
            ("[1,]", 3),
            ("{\"a\":1,}", 7),
            ("[}", 1),
            ("{\"a\":1]", 6),
            ("tru,", 3),
            ("trx", 2),
            ("1.2.3,", 5),
            ("01,", 2),
            ("-,", 1),
            ("\"\\x", 2),
            ("\"\\u12g", 5),
        ] {
            assert_eq!((scan(text).1, scan(text).2), (Progress::Bad, at), "{text}");
        }
        assert_eq!(scan(&"[".repeat(200)).2, MAX_DEPTH);
        assert_eq!(scan(&"1".repeat(2 * MAX_LITERAL)).2, MAX_LITERAL);
    }

    #[test]
    fn raw_control_characters_in_strings_are_escaped() {
        assert_eq!(scan("{\"a\":\t\"1\n2\t3\u{1}\"}").0, "{\"a\":\t\"1\\n2\\t3\\u0001\"}");
    }
}
