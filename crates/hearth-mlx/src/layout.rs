//! What a loaded model's caches look like, and what follows from it for whoever plans with them.
//!
//! Nobody says what a layer's keys and values are: which type they have, how many heads of which size. So one token goes
//! through the model, and what it would leave behind is looked at. Nothing of it is computed.

use std::path::Path;

use hearth_core::{
    Result,
    cache::{is_fused, scratch_bytes},
    model::CacheFacts,
};

use crate::{
    batch::{Batch, Chunk, Wanted},
    cache::{self, Form, LayerKind, SequenceCache},
    fingerprint,
    header::SafetensorsFile,
    memory,
    models::Model,
    ops::{self, Array},
};

/// The caches of a model's layers.
#[derive(Debug)]
pub(crate) struct Layout {
    kinds: Vec<LayerKind>,
    forms: Vec<Form>,
    /// Heads of queries in the layer that has most.
    heads: i32,
}

impl Layout {
    /// The caches of the model from the folder `dir`, in `kv_bits` bits where that is said.
    pub(crate) fn of(model: &dyn Model, kv_bits: Option<u8>, dir: &Path) -> Result<Self> {
        let plain = Self::probe(model, model.caches())?;
        match kv_bits {
            None => Ok(plain),
            Some(bits) => Self::probe(model, cache::quantize(&plain.forms, bits, &dir.display().to_string())?),
        }
    }

    fn probe(model: &dyn Model, kinds: Vec<LayerKind>) -> Result<Self> {
        let mut cache = SequenceCache::new(&kinds);
        let chunk = Chunk { cache: &mut cache, len: 1, wanted: Wanted::Everything };
        let mut batch = Batch::new(Vec::new(), vec![chunk], kinds.len());
        model.forward(&Array::from_slice(&[0_u32], &[1]), &mut batch)?;
        let heads = batch.most_heads();
        Ok(Self { forms: Form::of(&kinds, &cache), kinds, heads })
    }

    /// What each layer remembers.
    pub(crate) fn kinds(&self) -> &[LayerKind] {
        &self.kinds
    }

    /// What each layer's cache consists of.
    pub(crate) fn forms(&self) -> &[Form] {
        &self.forms
    }

    /// The number of layers.
    pub(crate) fn layers(&self) -> usize {
        self.kinds.len()
    }

    /// A new sequence's caches.
    pub(crate) fn cache(&self) -> SequenceCache {
        SequenceCache::new(&self.kinds)
    }

    /// What the engine plans with, for the model of the folder `dir`, its files, and sequences of at most `context` tokens.
    pub(crate) fn facts(&self, dir: &Path, files: &[SafetensorsFile], context: usize) -> Result<CacheFacts> {
        Ok(CacheFacts {
            fingerprint: fingerprint::of(dir, files, &self.forms)?,
            scratch_bytes: self.scratch_bytes(),
            memory_limit: memory::limit(),
            ..cache::facts(&self.forms, context)
        })
    }

    fn scratch_bytes(&self) -> u64 {
        if self.forms.iter().all(attends_fused) { 0 } else { scratch_bytes(self.heads as u64) }
    }
}

/// Whether a layer attends without writing scores down.
fn attends_fused(form: &Form) -> bool {
    match &form.kind {
        LayerKind::Growing | LayerKind::Window(_) => {
            !ops::on_cpu() && form.parts.iter().all(|part| is_fused(part.shape[3] as u64))
        }
        LayerKind::Quantized { .. } => false,
        LayerKind::Recurrent(_) => true,
    }
}
