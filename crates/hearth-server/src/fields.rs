//! Reading a request's JSON field by field, so that an error names the field at fault and shows what it holds.
//!
//! A value stays text until somebody asks for it: an unknown field costs nothing, however large it is, and a body cannot
//! be inflated into a tree many times its size. Nulls read as missing, as clients mean them.

use std::{borrow::Cow, fmt, ops::RangeInclusive};

use hearth_core::{Error, ErrorKind, Result};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// More fields than any protocol has; a request beyond it is an attack or a mistake.
const MAX_FIELDS: usize = 256;

/// One JSON object of a request.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    entries: Vec<Entry<'a>>,
}

type Entry<'a> = (Cow<'a, str>, &'a RawValue);

impl<'a> Fields<'a> {
    /// The object that is a whole body.
    pub(crate) fn of_body(body: &'a [u8]) -> Result<Self> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidRequest, message);
        let text = std::str::from_utf8(body).map_err(|e| invalid(format!("The body is not UTF-8: {e}.")))?;
        let raw =
            serde_json::from_str::<&RawValue>(text).map_err(|e| invalid(format!("The body is not JSON: {e}.")))?;
        if !raw.get().starts_with('{') {
            return Err(invalid(format!("The body must be a JSON object, not {}.", shown(raw))));
        }
        let entries = entries(raw, MAX_FIELDS).map_err(|fault| invalid(format!("The body {fault}")))?;
        Ok(Self { path: String::new(), entries })
    }

    /// The object that stands at `path` of a body.
    pub(crate) fn read(raw: &'a RawValue, path: &str) -> Result<Self> {
        Self::read_at_most(raw, path, MAX_FIELDS)
    }

    /// [`Fields::read`] for an object of up to `max` fields.
    pub(crate) fn read_at_most(raw: &'a RawValue, path: &str, max: usize) -> Result<Self> {
        if !raw.get().starts_with('{') {
            return Err(wrong(raw, path, "an object"));
        }
        let entries = entries(raw, max).map_err(|fault| Error::invalid(path, format!("{path} {fault}")))?;
        Ok(Self { path: path.to_owned(), entries })
    }

    /// Where the field `name` stands in the body, for messages and `param`.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// All fields that are not null, in the client's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.entries.iter().filter(|(_, raw)| raw.get() != "null").map(|(name, raw)| (name.as_ref(), *raw))
    }

    /// The field's JSON text; `None` where it is missing or null.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.iter().find(|(key, _)| *key == name).map(|(_, raw)| raw)
    }

    /// The field as `T`, which people know as `expected`.
    pub(crate) fn get<T: Deserialize<'a>>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        self.raw(name).map(|raw| parse(raw, &self.path(name), expected)).transpose()
    }

    /// The field as text.
    pub(crate) fn string(&self, name: &str) -> Result<Option<String>> {
        self.get(name, "a string")
    }

    /// The field as true or false.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.get(name, "true or false")
    }

    /// The field as a list of at most `max` elements.
    pub(crate) fn list(&self, name: &str, max: usize) -> Result<Option<Vec<&'a RawValue>>> {
        self.raw(name).map(|raw| elements(raw, &self.path(name), max)).transpose()
    }

    /// The field as an object.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        self.raw(name).map(|raw| Self::read(raw, &self.path(name))).transpose()
    }

    /// The field as a number of `range`.
    pub(crate) fn number(&self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f32>> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        Ok(self.within(name, range, &expected)?.map(|number| number as f32))
    }

    /// The field as a whole number of `range`.
    pub(crate) fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>> {
        let expected = match *range.end() {
            i64::MAX if *range.start() == i64::MIN => "a whole number of 64 bits".to_owned(),
            i64::MAX => format!("a whole number of at least {}", range.start()),
            end => format!("a whole number from {} to {end}", range.start()),
        };
        self.within(name, range, &expected)
    }

    fn within<T>(&self, name: &str, range: RangeInclusive<T>, expected: &str) -> Result<Option<T>>
    where
        T: Deserialize<'a> + PartialOrd,
    {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let path = self.path(name);
        let value = parse(raw, &path, expected)?;
        if range.contains(&value) { Ok(Some(value)) } else { Err(wrong(raw, &path, expected)) }
    }
}

/// `raw`, which stands at `path`, as `T`.
pub(crate) fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue, path: &str, expected: &str) -> Result<T> {
    let text = raw.get();
    serde_json::from_str(text).map_err(|error| match error.is_data() || !text.starts_with(['"', '[', '{']) {
        true => wrong(raw, path, expected),
        false => Error::invalid(path, format!("{path} is not valid JSON: {error}.")),
    })
}

/// The elements of the list at `path`, at most `max` of them.
pub(crate) fn elements<'a>(raw: &'a RawValue, path: &str, max: usize) -> Result<Vec<&'a RawValue>> {
    if !raw.get().starts_with('[') {
        return Err(wrong(raw, path, "a list"));
    }
    let read = serde_json::Deserializer::from_str(raw.get()).deserialize_seq(List { max });
    within_limit(read, max, "elements").map_err(|fault| Error::invalid(path, format!("{path} {fault}")))
}

/// Refuses the value at `path` where it has more than `max` bytes: taken apart, JSON takes up many times its size.
pub(crate) fn bounded(raw: &RawValue, path: &str, max: usize) -> Result<()> {
    let length = raw.get().len();
    if length <= max {
        return Ok(());
    }
    Err(Error::invalid(path, format!("{path} has {length} bytes of JSON, and {max} is the limit.")))
}

/// The error of a value that is not as `expected`.
pub(crate) fn wrong(raw: &RawValue, path: &str, expected: &str) -> Error {
    Error::invalid(path, format!("{path} must be {expected}, not {}.", shown(raw)))
}

/// The value for a message: whole where it is short.
fn shown(raw: &RawValue) -> Cow<'_, str> {
    const LONGEST: usize = 40;
    let text = raw.get();
    match text.as_bytes()[0] {
        _ if text.len() <= LONGEST => text.into(),
        b'{' => "an object".into(),
        b'[' => "a list".into(),
        _ => format!("{}…", &text[..text.floor_char_boundary(LONGEST)]).into(),
    }
}

fn entries(raw: &RawValue, max: usize) -> Result<Vec<Entry<'_>>, String> {
    let read = serde_json::Deserializer::from_str(raw.get()).deserialize_map(Object { max });
    let entries = within_limit(read, max, "fields")?;
    match twin(&entries) {
        Some(name) => Err(format!("has the field {name:?} twice.")),
        None => Ok(entries),
    }
}

fn twin<'e>(entries: &'e [Entry<'_>]) -> Option<&'e str> {
    let is_twin = |(i, (name, _)): &(usize, &Entry<'_>)| entries[..*i].iter().any(|(other, _)| other == name);
    entries.iter().enumerate().find(is_twin).map(|(_, (name, _))| name.as_ref())
}

fn within_limit<T>(read: serde_json::Result<Option<T>>, max: usize, what: &str) -> Result<T, String> {
    let value = read.map_err(|error| format!("is not valid JSON: {error}."))?;
    value.ok_or_else(|| format!("has more than {max} {what}, which is the limit."))
}

/// Collects a list; `None` for one that is too long, without the memory that it would take.
struct List {
    max: usize,
}

impl<'de> Visitor<'de> for List {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut elements, mut fits) = (Vec::new(), true);
        while let Some(element) = list.next_element()? {
            fits = elements.len() < self.max;
            fits.then(|| elements.push(element));
        }
        Ok(fits.then_some(elements))
    }
}

/// Collects an object's fields in the same way.
struct Object {
    max: usize,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Object {
    type Value = Option<Vec<Entry<'de>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let (mut entries, mut fits) = (Vec::new(), true);
        while let Some((Name(name), value)) = object.next_entry()? {
            fits = entries.len() < self.max;
            fits.then(|| entries.push((name, value)));
        }
        Ok(fits.then_some(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        let read = |body| -> Result<()> {
            let fields = Fields::of_body(body)?;
            fields.number("temperature", 0.0..=2.0)?;
            fields.integer("n", 1..=8)?;
            fields.integer("max_tokens", 1..=i64::MAX)?;
            fields.string("user")?;
            fields.list("stop", 2)?;
            fields.object("options")?.map(|options| options.boolean("on")).transpose()?;
            Ok(())
        };
        read(body.as_bytes()).map_or_else(|error| error.message, |()| "fine".to_owned())
    }

    #[test]
    fn errors_name_the_field_and_show_the_value() {
        for (body, expected) in [
            ("{}", "fine"),
            (r#" {"temperature":null,"n":null,"options":null} "#, "fine"),
            (r#"{"unknown":[[[]]],"temperature":2,"n":8,"stop":["a","b"],"options":{"on":true}}"#, "fine"),
            (r#"{"temperature":"hot"}"#, r#"temperature must be a number from 0 to 2, not "hot"."#),
            (r#"{"temperature":2.1}"#, "temperature must be a number from 0 to 2, not 2.1."),
            (r#"{"temperature":1e999}"#, "temperature must be a number from 0 to 2, not 1e999."),
            (r#"{"n":0}"#, "n must be a whole number from 1 to 8, not 0."),
            (r#"{"n":1.5}"#, "n must be a whole number from 1 to 8, not 1.5."),
            (r#"{"max_tokens":-1}"#, "max_tokens must be a whole number of at least 1, not -1."),
            (r#"{"user":{"name":"x"}}"#, r#"user must be a string, not {"name":"x"}."#),
            (r#"{"stop":"x"}"#, r#"stop must be a list, not "x"."#),
            (r#"{"stop":[1,2,3]}"#, "stop has more than 2 elements, which is the limit."),
            (r#"{"options":{"on":1}}"#, "options.on must be true or false, not 1."),
            (r#"{"n":1,"n":2}"#, r#"The body has the field "n" twice."#),
            (r#"{"user":"\ud800"}"#, "user is not valid JSON: unexpected end of hex escape at line 1 column 8."),
            ("{\"a\":NaN}", "The body is not JSON: expected value at line 1 column 6."),
            ("", "The body is not JSON: EOF while parsing a value at line 1 column 0."),
            ("[1]", "The body must be a JSON object, not [1]."),
            ("{} {}", "The body is not JSON: trailing characters at line 1 column 4."),
        ] {
            assert_eq!(message(body), expected, "{body}");
        }
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let body = format!(r#"{{"n":"{}"}}"#, "ü".repeat(100));
        assert_eq!(message(&body), format!("n must be a whole number from 1 to 8, not \"{}….", "ü".repeat(19)));
    }

    #[test]
    fn bombs_end_in_errors() {
        let deep = |depth: usize| format!(r#"{{"options":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(message(&deep(200_000)), "options must be an object, not a list.");
        let wide = format!("{{{}\"z\":1}}", (0..1000).map(|i| format!("\"{i}\":1,")).collect::<String>());
        assert!(message(&wide).starts_with("The body has more than 256 fields"), "{}", message(&wide));
        let digits = format!(r#"{{"n":{}}}"#, "9".repeat(1_000_000));
        assert!(message(&digits).starts_with("n must be a whole number from 1 to 8, not 9999"), "{}", message(&digits));
        assert!(
            Fields::of_body(b"{\"a\":\"\xff\"}").expect_err("not text").message.starts_with("The body is not UTF-8")
        );
    }
}
