//! `tojson` as transformers has it: Python's `json.dumps` with `ensure_ascii=False`, and its options.

use std::fmt::Write;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::MAX_OUTPUT;

/// Nested deeper than any request may be.
const MAX_DEPTH: usize = 200;

/// `value|tojson(ensure_ascii, indent, separators, sort_keys=…)`
pub(super) fn filter(
    value: &Value,
    ensure_ascii: Option<bool>,
    indent: Option<Value>,
    separators: Option<Value>,
    named: Kwargs,
) -> Result<String, Error> {
    let indent = indent.or(named.get("indent")?).filter(|value| !value.is_none());
    let separators = separators.or(named.get("separators")?).filter(|value| !value.is_none());
    let ensure_ascii = ensure_ascii.or(named.get("ensure_ascii")?).unwrap_or(false);
    let sort_keys = named.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    named.assert_all_used()?;
    let indent = indent.map(indentation).transpose()?;
    let (item, key) = match separators {
        Some(pair) => (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string()),
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let mut writer = Writer { out: String::new(), ensure_ascii, indent, item, key, sort_keys, depth: 0 };
    writer.value(value)?;
    Ok(writer.out)
}

/// A count of spaces or the text itself.
fn indentation(value: Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Ok(" ".repeat(i64::try_from(value)?.clamp(0, 64) as usize)),
    }
}

struct Writer {
    out: String,
    ensure_ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort_keys: bool,
    depth: usize,
}

impl Writer {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value)?,
            ValueKind::Map => self.map(value)?,
            other => return Err(fault(format!("{other} cannot be written as JSON"))),
        }
        Ok(())
    }

    fn list(&mut self, value: &Value) -> Result<(), Error> {
        self.container('[', ']', value.try_iter()?.checked(), |writer, item| writer.value(item))
    }

    fn map(&mut self, value: &Value) -> Result<(), Error> {
        let write = |writer: &mut Self, key: &Value| {
            writer.map_key(key)?;
            writer.out.push_str(&writer.key);
            writer.value(&value.get_item(key)?)
        };
        let keys = value.try_iter()?.checked();
        if !self.sort_keys {
            return self.container('{', '}', keys, write);
        }
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
        keys.sort();
        self.container('{', '}', keys.into_iter().map(Ok), write)
    }

    /// Python turns keys that are not strings into strings.
    fn map_key(&mut self, key: &Value) -> Result<(), Error> {
        if let Some(text) = key.as_str() {
            self.string(text);
            return Ok(());
        }
        self.out.push('"');
        match key.kind() {
            ValueKind::None | ValueKind::Bool | ValueKind::Number => self.value(key)?,
            other => return Err(fault(format!("{other} cannot be a key in JSON"))),
        }
        self.out.push('"');
        Ok(())
    }

    fn container(
        &mut self,
        open: char,
        close: char,
        items: impl Iterator<Item = Result<Value, Error>>,
        write: impl Fn(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        self.enter()?;
        let mut empty = true;
        for item in items {
            if !empty {
                self.out.push_str(&self.item);
            }
            empty = false;
            self.line();
            write(self, &item?)?;
            self.check_length()?;
        }
        self.depth -= 1;
        if !empty {
            self.line();
        }
        self.out.push(close);
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(fault(format!("values nested more than {MAX_DEPTH} deep cannot be written as JSON")));
        }
        Ok(())
    }

    fn check_length(&self) -> Result<(), Error> {
        if self.out.len() > MAX_OUTPUT { Err(fault(super::TOO_LONG.into())) } else { Ok(()) }
    }

    fn line(&mut self) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            for _ in 0..self.depth {
                self.out.push_str(indent);
            }
        }
    }

    fn number(&mut self, value: &Value) {
        match f64::try_from(value.clone()) {
            Ok(float) if !value.is_integer() => self.out.push_str(&python_float(float)),
            _ => self.out.push_str(&value.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ensure_ascii && c >= '\u{7f}') => self.escape(c),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(self.out, "\\u{unit:04x}").expect("a String takes everything");
        }
    }
}

/// Python's `repr`: the shortest digits, in scientific notation below 1e-4 and from 1e16 on.
fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a number as exponent");
    if (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn fault(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
