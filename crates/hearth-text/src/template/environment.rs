//! The Jinja environment of chat templates: minijinja with the settings, functions, filters and tests of transformers.
//!
//! Known to differ from Python, since minijinja cannot be told otherwise: looping over `none` loops over nothing; the
//! operator `%` does not format strings; comparing text with numbers is not an error; a key that is named like a method
//! (`items`) is found before the method when nothing is called.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Rest;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use minijinja_contrib::globals::{cycler, joiner};

use super::{filters, methods};

/// Instructions that one rendering may take, about a fifth of a second: a template that looks at each message once
/// takes a hundred for each, one that looks at all others for each message has enough for a thousand messages.
const FUEL: u64 = 10_000_000;

/// Nested macro calls, loops and blocks; minijinja's own 500 needs more stack than a thread has in a debug build.
const RECURSION: usize = 200;

/// Longest message of `raise_exception` that is passed on.
const MAX_MESSAGE: usize = 1_000;

/// An environment without templates.
pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    environment.set_syntax(syntax.build().expect("the standard delimiters are valid"));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_unknown_method_callback(methods::call);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("cycler", |items: Rest<Value>| cycler(items.0));
    environment.add_function("joiner", joiner);
    environment.remove_global("debug");
    filters::add_to(&mut environment);
    environment
}

/// What a template said through `raise_exception`.
#[derive(Debug)]
pub(super) struct Raised(String);

impl Raised {
    /// The message, if the template raised this error itself.
    pub(super) fn of(error: &Error) -> Option<&str> {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            if let Some(Self(message)) = error.downcast_ref() {
                return Some(message);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    let raised = Raised(message.to_string().chars().take(MAX_MESSAGE).collect());
    Err(Error::new(ErrorKind::InvalidOperation, "raised by the template").with_source(raised))
}
