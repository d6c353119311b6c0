//! Filters and tests that Python's Jinja has otherwise than minijinja.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, State, Value, filters};

use super::tojson;

/// Adds them, in place of minijinja's.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", tojson::filter);
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_test("callable", is_callable);
}

/// What is undefined has no items, rather than no length.
fn length(value: &Value) -> Result<usize, Error> {
    if value.is_undefined() { Ok(0) } else { filters::length(value) }
}

/// What is not a number is the default, rather than an error.
fn int(state: &State, value: &Value, default: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let base = named.get("base")?;
    let default = default.or(named.get("default")?).unwrap_or_else(|| 0.into());
    named.assert_all_used()?;
    Ok(filters::int(state, value, Some(default.clone()), base, none()).unwrap_or(default))
}

fn float(state: &State, value: &Value, default: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let default = default.or(named.get("default")?).unwrap_or_else(|| 0.0.into());
    named.assert_all_used()?;
    Ok(filters::float(state, value, Some(default.clone()), none()).unwrap_or(default))
}

/// No named arguments.
fn none() -> Kwargs {
    std::iter::empty::<(&str, Value)>().collect()
}

/// Jinja asks Python for an iterator: strings have one, and so has what is undefined.
fn is_iterable(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined | ValueKind::String => true,
        ValueKind::None => false,
        _ => value.try_iter().is_ok(),
    }
}

/// Jinja asks for a length and for items: strings and mappings have both.
fn is_sequence(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined | ValueKind::String | ValueKind::Map | ValueKind::Seq => true,
        // What slices and sums of lists are here.
        ValueKind::Iterable => value.len().is_some(),
        _ => false,
    }
}

/// Functions and macros are the only objects without items that a template meets.
fn is_callable(value: &Value) -> bool {
    value.kind() == ValueKind::Plain
}
