//! `keep_alive`: how long a model stays loaded, as Ollama's clients write it: seconds, or a text such as `5m` or `1h30m`;
//! below zero is for ever.

use std::time::Duration;

use hearth_core::{Result, model::KeepAlive};
use serde_json::Value;

use crate::fields::{Fields, wrong};

const EXPECTED: &str = "a number of seconds or a time such as \"5m\"; -1 is for ever";

/// The field `keep_alive` of a body.
pub(crate) fn read(fields: &Fields<'_>) -> Result<Option<KeepAlive>> {
    let Some(raw) = fields.raw("keep_alive") else { return Ok(None) };
    let read = match serde_json::from_str(raw.get()) {
        Ok(Value::Number(seconds)) => seconds.as_f64().and_then(of_seconds),
        Ok(Value::String(text)) => of_text(&text),
        _ => None,
    };
    read.map(Some).ok_or_else(|| wrong(raw, &fields.path("keep_alive"), EXPECTED))
}

fn of_seconds(seconds: f64) -> Option<KeepAlive> {
    // More than a process lives for is for ever.
    let time = |seconds| Duration::try_from_secs_f64(seconds).map_or(KeepAlive::Forever, KeepAlive::For);
    seconds.is_finite().then(|| if seconds < 0.0 { KeepAlive::Forever } else { time(seconds) })
}

fn of_text(text: &str) -> Option<KeepAlive> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    if rest.is_empty() {
        return None;
    }
    if let Some(seconds) = decimal(rest) {
        return of_seconds(sign * seconds);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        seconds += decimal(number)? * in_seconds(unit)?;
        rest = after;
    }
    of_seconds(sign * seconds)
}

fn in_seconds(unit: &str) -> Option<f64> {
    let units = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    units.into_iter().find(|(name, _)| *name == unit).map(|(_, seconds)| seconds)
}

/// Digits with or without a fraction; nothing else that Rust takes for a number.
fn decimal(text: &str) -> Option<f64> {
    text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok())?.filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep_alive(value: &str) -> Result<Option<KeepAlive>> {
        read(&Fields::of_body(format!(r#"{{"keep_alive":{value}}}"#).as_bytes())?)
    }

    #[test]
    fn times_are_read_as_clients_write_them() {
        let time = |seconds| Some(KeepAlive::For(Duration::from_secs_f64(seconds)));
        for (value, expected) in [
            ("null", None),
            ("0", time(0.0)),
            ("300", time(300.0)),
            ("1.5", time(1.5)),
            ("-1", Some(KeepAlive::Forever)),
            ("1e300", Some(KeepAlive::Forever)),
            (r#""0""#, time(0.0)),
            (r#""5m""#, time(300.0)),
            (r#""1h30m""#, time(5400.0)),
            (r#""1.5h""#, time(5400.0)),
            (r#""250ms""#, time(0.25)),
            (r#""-1""#, Some(KeepAlive::Forever)),
            (r#""-1m""#, Some(KeepAlive::Forever)),
        ] {
            assert_eq!(keep_alive(value).unwrap_or_else(|error| panic!("{value}: {error}")), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for value in
            [r#""""#, r#""-""#, r#""m""#, r#""5 m""#, r#""5w""#, r#""1h30""#, r#""1..5h""#, r#""nan""#, "true", "[]"]
        {
            let error = keep_alive(value).expect_err(value);
            assert_eq!(error.param.as_deref(), Some("keep_alive"), "{value}");
            assert!(error.message.contains("must be a number of seconds"), "{error}");
        }
    }
}
