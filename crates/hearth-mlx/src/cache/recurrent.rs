//! A state that each step replaces: of layers that remember a sequence in a fixed number of numbers.

use std::rc::Rc;

use hearth_core::{Error, Result};

use super::Cache;
use crate::ops::{self, Array};

/// Named arrays of fixed shapes; none before the first token.
#[derive(Debug, Clone)]
pub struct Recurrent {
    names: Rc<[String]>,
    states: Vec<Array>,
    seen: i32,
}

impl Recurrent {
    /// No state yet; it will consist of arrays of these names.
    pub fn new(names: &Rc<[String]>) -> Self {
        Self { names: Rc::clone(names), states: Vec::new(), seen: 0 }
    }

    pub(super) fn restore(names: &Rc<[String]>, states: Vec<Array>, seen: i32) -> Self {
        Self { names: Rc::clone(names), states, seen }
    }

    /// An array of the state by its name; `None` before the first token.
    pub fn state(&self, name: &str) -> Option<&Array> {
        self.names.iter().position(|known| known == name).and_then(|place| self.states.get(place))
    }

    /// The state after `new` more tokens, in the order of the names.
    pub fn replace(&mut self, states: Vec<Array>, new: i32) -> Result<()> {
        if states.len() != self.names.len() {
            return Err(Error::internal(format!(
                "a recurrent state of {} arrays was given {}",
                self.names.len(),
                states.len()
            )));
        }
        self.states = states;
        self.seen += new;
        Ok(())
    }
}

impl Cache for Recurrent {
    fn seen(&self) -> i32 {
        self.seen
    }

    fn cuts_from(&self) -> i32 {
        self.seen
    }

    /// It is asked for no length but its own.
    fn cut(&mut self, _len: i32) {}

    fn copy(&self, _len: i32) -> Result<Self> {
        self.mark()
    }

    fn mark(&self) -> Result<Self> {
        let states = self.states.iter().map(ops::duplicate).collect::<Result<_>>()?;
        Ok(Self { names: Rc::clone(&self.names), states, seen: self.seen })
    }

    fn arrays(&self) -> &[Array] {
        &self.states
    }

    fn content(&self) -> Result<Vec<Array>> {
        Ok(self.states.clone())
    }
}
