//! Python's methods on strings, lists and mappings that templates call.
//!
//! minijinja's own set covers most; here is what it leaves out or does otherwise.

use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Called where a value has no method of that name.
pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => match string(value.as_str().unwrap_or_default(), method, args) {
            Some(result) => result,
            None => unknown_method_callback(state, value, method, args),
        },
        ValueKind::Seq if method == "index" => position(value, args),
        _ => unknown_method_callback(state, value, method, args),
    }
}

fn string(text: &str, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match method {
        "removeprefix" => one(args).map(|cut| text.strip_prefix(cut).unwrap_or(text).into()),
        "removesuffix" => one(args).map(|cut| text.strip_suffix(cut).unwrap_or(text).into()),
        "partition" => one(args).map(|by| parts(text.split_once(by), by, [text, "", ""])),
        "rpartition" => one(args).map(|by| parts(text.rsplit_once(by), by, ["", "", text])),
        "split" if args.first().and_then(Value::as_str) == Some("") => Err(fault("empty separator")),
        "rsplit" => rsplit(text, args),
        "index" => one(args).and_then(|what| index(text, what)),
        "ljust" => padded(text, args, |_| 0),
        "rjust" => padded(text, args, |missing| missing),
        "center" => padded(text, args, |missing| missing / 2),
        "zfill" => from_args::<(usize,)>(args).map(|(width,)| zfill(text, width).into()),
        _ => return None,
    })
}

fn one(args: &[Value]) -> Result<&str, Error> {
    from_args::<(&str,)>(args).map(|(text,)| text)
}

fn parts(found: Option<(&str, &str)>, by: &str, otherwise: [&str; 3]) -> Value {
    let [a, b, c] = found.map_or(otherwise, |(before, after)| [before, by, after]);
    Tuple::from([a.into(), b.into(), c.into()]).into()
}

fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (by, most): (Option<&str>, Option<i64>) = from_args(args)?;
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX - 1);
    let mut parts: Vec<&str> = match by {
        Some("") => return Err(fault("empty separator")),
        Some(by) => text.rsplitn(most + 1, by).collect(),
        None => rsplit_space(text, most),
    };
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

fn rsplit_space(text: &str, most: usize) -> Vec<&str> {
    let mut rest = text.trim_end();
    let mut parts = Vec::new();
    while let Some(at) = rest.rfind(char::is_whitespace).filter(|_| parts.len() < most) {
        parts.push(rest[at..].trim_start());
        rest = rest[..at].trim_end();
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

fn index(text: &str, what: &str) -> Result<Value, Error> {
    let at = text.find(what).ok_or_else(|| fault("substring not found"))?;
    Ok(text[..at].chars().count().into())
}

fn position(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let (what,): (&Value,) = from_args(args)?;
    for (at, item) in list.try_iter()?.checked().enumerate() {
        if item? == *what {
            return Ok(at.into());
        }
    }
    Err(fault("the value is not in the list"))
}

/// The text filled up to a width, `before` of what is missing in front of it.
fn padded(text: &str, args: &[Value], before: fn(usize) -> usize) -> Result<Value, Error> {
    let (width, fill): (usize, Option<char>) = from_args(args)?;
    let missing = missing(text, width);
    let fill = |count: usize| fill.unwrap_or(' ').to_string().repeat(count);
    Ok((fill(before(missing)) + text + &fill(missing - before(missing))).into())
}

fn zfill(text: &str, width: usize) -> String {
    let digits = text.trim_start_matches(['+', '-']);
    let sign = &text[..text.len() - digits.len()];
    format!("{sign}{}{digits}", "0".repeat(missing(text, width)))
}

/// Nobody lines up more than a thousand columns.
fn missing(text: &str, width: usize) -> usize {
    width.min(1_000).saturating_sub(text.chars().count())
}

fn fault(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
