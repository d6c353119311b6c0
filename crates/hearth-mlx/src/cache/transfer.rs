//! Caches as lists of named bytes, and back.
//!
//! A list has `tokens`, the number of tokens seen, `layers.0.keys` and so on with exactly what is held, and
//! `marks.1024.layers.0.keys` for what a mark holds. What comes back may be anything: every name, type, shape and size is
//! compared with what this model's caches would have, and nothing may be left over, before MLX sees a byte.

use std::collections::HashMap;

use hearth_core::{Error, Result, runner::Tensor};

use super::{Cache, Form, LayerCache, LayerKind, PartForm, SequenceCache, sequence::Mark};
use crate::ops::{self, Array, Dtype};

/// The name of the number of tokens.
const TOKENS: &str = "tokens";

/// More tokens than any sequence has; positions must stay far from the end of 32 bits.
const MOST_TOKENS: u32 = 1 << 30;

/// Tensors by name, as long as nobody has asked for them.
struct Incoming(HashMap<String, Tensor>);

/// A layer whose tensors were found sound.
struct Checked<'a> {
    form: &'a Form,
    tensors: Vec<(Dtype, Tensor)>,
}

/// A mark whose tensors were found sound.
struct CheckedMark<'a> {
    len: i32,
    layers: Vec<Option<Checked<'a>>>,
}

/// Everything that a sequence holds, as bytes.
pub(crate) fn export(cache: &SequenceCache, forms: &[Form]) -> Result<Vec<Tensor>> {
    let seen = (cache.offset() as u32).to_le_bytes().to_vec();
    let mut tensors = vec![Tensor { name: TOKENS.to_owned(), dtype: "U32".to_owned(), shape: vec![1], data: seen }];
    for (index, (layer, form)) in cache.layers().iter().zip(forms).enumerate() {
        export_layer(&mut tensors, &layer_name("", index), layer, form)?;
    }
    for mark in cache.marks() {
        let prefix = mark_name(mark.len);
        for (index, (state, form)) in mark.states.iter().zip(forms).enumerate() {
            if let Some(state) = state {
                export_layer(&mut tensors, &layer_name(&prefix, index), state, form)?;
            }
        }
    }
    Ok(tensors)
}

/// The sequence that `tensors` describe, for a model whose caches have these forms.
pub(crate) fn import(forms: &[Form], tensors: Vec<Tensor>) -> Result<SequenceCache> {
    let mut incoming = Incoming::new(tensors)?;
    let seen = incoming.seen()?;
    let layer = |(index, form)| incoming.layer(&layer_name("", index), form, seen);
    let layers = forms.iter().enumerate().map(layer).collect::<Result<Vec<_>>>()?;
    let marks = incoming.marks(forms, seen)?;
    incoming.finish()?;
    let layers = layers.into_iter().map(|layer| layer.build(seen)).collect::<Result<_>>()?;
    let marks = marks.into_iter().map(CheckedMark::build).collect::<Result<_>>()?;
    Ok(SequenceCache::restore(layers, marks))
}

fn layer_name(prefix: &str, index: usize) -> String {
    format!("{prefix}layers.{index}.")
}

fn mark_name(len: i32) -> String {
    format!("marks.{len}.")
}

fn export_layer(tensors: &mut Vec<Tensor>, prefix: &str, layer: &LayerCache, form: &Form) -> Result<()> {
    for (part, array) in form.parts.iter().zip(layer.content()?) {
        tensors.push(Tensor {
            name: format!("{prefix}{}", part.name),
            dtype: dtype_name(array.dtype())?.to_owned(),
            shape: array.shape().iter().map(|&dim| dim as usize).collect(),
            data: ops::to_bytes(&array)?,
        });
    }
    Ok(())
}

/// The types that caches have, by safetensors' names.
const DTYPES: &[(Dtype, &str)] =
    &[(Dtype::Float32, "F32"), (Dtype::Float16, "F16"), (Dtype::Bfloat16, "BF16"), (Dtype::Uint32, "U32")];

fn dtype_name(dtype: Dtype) -> Result<&'static str> {
    let known = DTYPES.iter().find(|(known, _)| *known == dtype);
    known.map(|(_, name)| *name).ok_or_else(|| Error::internal(format!("a cache of type {dtype:?} cannot be stored")))
}

fn refuse(reason: impl AsRef<str>) -> Error {
    Error::internal(format!("a stored cache does not fit the model: {}", reason.as_ref()))
}

/// A name from outside, as far as it fits into a sentence.
fn brief(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

impl Incoming {
    fn new(tensors: Vec<Tensor>) -> Result<Self> {
        let count = tensors.len();
        let named: HashMap<_, _> = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        if named.len() == count { Ok(Self(named)) } else { Err(refuse("a name stands in it twice")) }
    }

    fn take(&mut self, name: &str) -> Result<Tensor> {
        self.0.remove(name).ok_or_else(|| refuse(format!("{name} is missing")))
    }

    fn seen(&mut self) -> Result<i32> {
        let tensor = self.take(TOKENS)?;
        let number = <[u8; 4]>::try_from(tensor.data.as_slice()).map(u32::from_le_bytes);
        match number {
            Ok(seen @ 1..=MOST_TOKENS) if tensor.dtype == "U32" && tensor.shape == [1] => Ok(seen as i32),
            _ => Err(refuse("it does not say how many tokens it holds")),
        }
    }

    /// The tensors of a layer that has seen so many tokens.
    fn layer<'a>(&mut self, prefix: &str, form: &'a Form, seen: i32) -> Result<Checked<'a>> {
        let held = self.held(prefix, form, seen)?;
        let empty = form.kind.holds_tokens() && held == 0;
        let parts = if empty { &[] } else { form.parts.as_slice() };
        let tensors = parts.iter().map(|part| self.part(prefix, form, part, held)).collect::<Result<_>>()?;
        Ok(Checked { form, tensors })
    }

    /// Tokens that a layer holds of those that it has seen. How far a window reaches back depends on its past.
    fn held(&self, prefix: &str, form: &Form, seen: i32) -> Result<i32> {
        let (LayerKind::Window(window), Some(part)) = (&form.kind, form.parts.first()) else { return Ok(seen) };
        let found = self.0.get(&format!("{prefix}{}", part.name)).and_then(|tensor| tensor.shape.get(2)).unwrap_or(&0);
        match i32::try_from(*found) {
            Ok(held) if (seen.min(window - 1)..=seen).contains(&held) => Ok(held),
            _ => Err(refuse(format!("{prefix}{} holds {found} of {seen} tokens", part.name))),
        }
    }

    fn part(&mut self, prefix: &str, form: &Form, part: &PartForm, held: i32) -> Result<(Dtype, Tensor)> {
        let tensor = self.take(&format!("{prefix}{}", part.name))?;
        let mut shape: Vec<usize> = part.shape.iter().map(|&dim| dim as usize).collect();
        let mut bytes = part.bytes();
        if form.kind.holds_tokens() {
            shape[2] = held as usize;
            bytes *= held as u64;
        }
        let name = &tensor.name;
        if tensor.dtype != dtype_name(part.dtype)? {
            return Err(refuse(format!("{name} has type {}, not {}", brief(&tensor.dtype), dtype_name(part.dtype)?)));
        }
        if tensor.shape != shape {
            return Err(refuse(format!("{name} has shape {:?}, not {shape:?}", tensor.shape)));
        }
        if tensor.data.len() as u64 != bytes {
            return Err(refuse(format!("{name} has {} bytes, not {bytes}", tensor.data.len())));
        }
        Ok((part.dtype, tensor))
    }

    /// All marks of a sequence of so many tokens, shortest first.
    fn marks<'a>(&mut self, forms: &'a [Form], seen: i32) -> Result<Vec<CheckedMark<'a>>> {
        let lengths = self.0.keys().filter_map(|name| name.strip_prefix("marks.")?.split('.').next()?.parse().ok());
        let mut lengths: Vec<i32> = lengths.filter(|len| (1..=seen).contains(len)).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths.into_iter().map(|len| self.mark(forms, len)).collect()
    }

    fn mark<'a>(&mut self, forms: &'a [Form], len: i32) -> Result<CheckedMark<'a>> {
        let prefix = mark_name(len);
        let layer = |(index, form): (usize, &'a Form)| {
            let needed = !form.kind.cuts_anywhere();
            needed.then(|| self.layer(&layer_name(&prefix, index), form, len)).transpose()
        };
        Ok(CheckedMark { len, layers: forms.iter().enumerate().map(layer).collect::<Result<_>>()? })
    }

    fn finish(self) -> Result<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(refuse(format!("{} is not a part of it", brief(name)))),
        }
    }
}

impl Checked<'_> {
    fn build(self, seen: i32) -> Result<LayerCache> {
        let array = |(dtype, tensor): (Dtype, Tensor)| {
            let shape: Vec<i32> = tensor.shape.iter().map(|&dim| dim as i32).collect();
            ops::from_bytes(&tensor.data, &shape, dtype)
        };
        let content: Vec<Array> = self.tensors.into_iter().map(array).collect::<Result<_>>()?;
        Ok(LayerCache::restore(&self.form.kind, content, seen))
    }
}

impl CheckedMark<'_> {
    fn build(self) -> Result<Mark> {
        let len = self.len;
        let states = self.layers.into_iter().map(|layer| layer.map(|layer| layer.build(len)).transpose());
        Ok(Mark { len, states: states.collect::<Result<_>>()? })
    }
}
