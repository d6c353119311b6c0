//! What a model's caches look like: which kind each layer has, and which arrays it holds of which type and shape.

use std::rc::Rc;

use hearth_core::{
    Error, Result,
    cache::{Holds, LayerBytes},
    model::CacheFacts,
};

use super::{Cache, LayerCache, SequenceCache};
use crate::{
    ops::{self, Array, Dtype},
    quantization::{Mode, Scheme},
};

/// What a layer remembers.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKind {
    /// All tokens.
    Growing,
    /// All tokens, packed.
    Quantized {
        /// How keys are packed.
        keys: Scheme,
        /// How values are packed.
        values: Scheme,
    },
    /// So many tokens, the newest included.
    Window(i32),
    /// A state of arrays of these names.
    Recurrent(Rc<[String]>),
}

/// A layer's cache as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// What it remembers.
    pub kind: LayerKind,
    /// Its arrays, in the order of [`Cache::content`](super::Cache::content).
    pub parts: Vec<PartForm>,
}

/// One array of a layer's cache.
#[derive(Debug, Clone, PartialEq)]
pub struct PartForm {
    /// Its name in its layer.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions; where it holds tokens, those of one token, `[1, heads, 1, dims]`.
    pub shape: Vec<i32>,
}

impl From<Option<i32>> for LayerKind {
    /// A layer whose queries see so many tokens, or all.
    fn from(window: Option<i32>) -> Self {
        window.map_or(Self::Growing, Self::Window)
    }
}

impl LayerKind {
    /// Whether such a cache can be cut back to any length.
    pub fn cuts_anywhere(&self) -> bool {
        matches!(self, Self::Growing | Self::Quantized { .. })
    }

    /// Whether its arrays' third axis is tokens.
    pub fn holds_tokens(&self) -> bool {
        !matches!(self, Self::Recurrent(_))
    }

    fn names(&self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::Growing | Self::Window(_) => &["keys", "values"],
            Self::Quantized { .. } => {
                &["keys.weight", "keys.scales", "keys.biases", "values.weight", "values.scales", "values.biases"]
            }
            Self::Recurrent(names) => return names.to_vec(),
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }
}

impl Form {
    /// The forms of all layers of a sequence that has seen one token, computed or not.
    pub fn of(kinds: &[LayerKind], probe: &SequenceCache) -> Vec<Self> {
        kinds.iter().zip(probe.layers()).map(|(kind, layer)| Self::of_layer(kind, layer)).collect()
    }

    fn of_layer(kind: &LayerKind, layer: &LayerCache) -> Self {
        let part = |(name, array): (String, &Array)| {
            let mut shape = array.shape().to_vec();
            if kind.holds_tokens() {
                shape[2] = 1;
            }
            PartForm { name, dtype: array.dtype(), shape }
        };
        Self { kind: kind.clone(), parts: kind.names().into_iter().zip(layer.arrays()).map(part).collect() }
    }

    /// The same layer with keys and values in `bits` bits, where it holds those of all tokens. `Err` is a head's size that
    /// no group divides.
    pub fn packed(&self, bits: u8) -> Result<LayerKind, i32> {
        let scheme = |part: &PartForm| -> Result<Scheme, i32> {
            let dims = part.shape[3];
            let group = [64, 32].into_iter().find(|group| dims % group == 0).ok_or(dims)?;
            Ok(Scheme { mode: Mode::Affine, bits: bits.into(), group_size: group as usize })
        };
        match (&self.kind, self.parts.as_slice()) {
            (LayerKind::Growing, [keys, values]) => {
                Ok(LayerKind::Quantized { keys: scheme(keys)?, values: scheme(values)? })
            }
            (kind, _) => Ok(kind.clone()),
        }
    }

    fn layer_bytes(&self) -> LayerBytes {
        let holds = match self.kind {
            LayerKind::Growing | LayerKind::Quantized { .. } => Holds::All,
            LayerKind::Window(window) => Holds::Latest(window as usize),
            LayerKind::Recurrent(_) => Holds::State,
        };
        LayerBytes { holds, bytes: self.parts.iter().map(PartForm::bytes).sum() }
    }
}

impl PartForm {
    /// Bytes of one token, or of the state.
    pub fn bytes(&self) -> u64 {
        let elements: u64 = self.shape.iter().map(|&dim| dim as u64).product();
        elements * ops::dtype_bytes(self.dtype) as u64
    }
}

/// The kinds of a model's layers with packed keys and values, for `--kv-bits`.
pub(crate) fn quantize(forms: &[Form], bits: u8, model: &str) -> Result<Vec<LayerKind>> {
    if ![4, 8].contains(&bits) {
        return Err(Error::model_load(format!("a KV cache can have 4 or 8 bits, not {bits}")));
    }
    let refuse = |dims| {
        Error::model_load(format!(
            "{model} cannot have a KV cache of {bits} bits: its head_dim of {dims} is no multiple of 32; leave the bits out"
        ))
    };
    forms.iter().map(|form| form.packed(bits).map_err(refuse)).collect()
}

/// The part of the facts that forms tell, for sequences of at most `context` tokens.
pub(crate) fn facts(forms: &[Form], context: usize) -> CacheFacts {
    CacheFacts::of(forms.iter().map(Form::layer_bytes), context)
}
