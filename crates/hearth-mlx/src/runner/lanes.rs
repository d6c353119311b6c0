//! A step's segments sorted by what happens to them.

use std::{collections::HashMap, rc::Rc};

use hearth_core::{
    Result,
    runner::{Feed, Segment, SlotId},
};

use super::{Pending, Slot, is_prompt, token_array};
use crate::{
    batch::{Chunk, Wanted},
    cache::SequenceCache,
    ops::{self, Array},
    sampler::SamplerState,
};

/// The slots of a step by what happens to them.
#[derive(Default)]
pub(super) struct Lanes<'a> {
    pub(super) rows: Vec<&'a mut SequenceCache>,
    pub(super) chunks: Vec<Chunk<'a>>,
    /// The rows' tokens, in the rows' order.
    pub(super) row_tokens: Vec<&'a Pending>,
    /// The chunks' tokens, end to end.
    pub(super) chunk_tokens: Vec<u32>,
    /// Who gets a token: the rows, then the finished prompts.
    pub(super) samplers: Vec<&'a mut SamplerState>,
    /// Where it is put.
    pub(super) pending: Vec<&'a mut Option<Pending>>,
}

/// Sorts a batch's slots into lanes: those that decode, then prompts' chunks, each in the batch's order.
pub(super) fn lanes<'a>(
    slots: &'a mut HashMap<SlotId, Slot>,
    batch: &[Segment<'_>],
    before: &'a [Option<Pending>],
) -> Lanes<'a> {
    let place = |id: &SlotId| batch.iter().position(|segment| segment.slot == *id);
    let mut active: Vec<_> = slots.iter_mut().filter_map(|(id, slot)| Some((place(id)?, slot))).collect();
    active.sort_unstable_by_key(|(place, _)| (is_prompt(&batch[*place]), *place));
    let mut lanes = Lanes::default();
    for (place, slot) in active {
        lanes.add(slot, batch[place].feed, before[place].as_ref());
    }
    lanes
}

impl<'a> Lanes<'a> {
    fn add(&mut self, slot: &'a mut Slot, feed: Feed<'_>, before: Option<&'a Pending>) {
        let sampled = match feed {
            Feed::Last => false,
            Feed::Sampled => {
                self.rows.push(&mut slot.cache);
                self.row_tokens.extend(before);
                true
            }
            Feed::Prompt { tokens, last } => {
                slot.sampler.feed_prompt(tokens);
                let wanted = if last { Wanted::Last } else { Wanted::Nothing };
                self.chunks.push(Chunk { cache: &mut slot.cache, len: tokens.len() as i32, wanted });
                self.chunk_tokens.extend(tokens);
                last
            }
        };
        if sampled {
            self.samplers.push(&mut slot.sampler);
            self.pending.push(&mut slot.pending);
        }
    }
}

/// The ids of a batch's tokens: the rows' lazy ones, then the chunks'.
pub(super) fn input_ids(rows: &[&Pending], chunks: &[u32]) -> Result<Array> {
    let mut parts = Vec::new();
    for group in rows.chunk_by(|a, b| Rc::ptr_eq(&a.step, &b.step)) {
        let tokens = &group[0].step.drawn.tokens;
        let places: Vec<u32> = group.iter().map(|pending| pending.row as u32).collect();
        let all = places.iter().copied().eq(0..tokens.dim(0) as u32);
        parts.push(if all { tokens.clone() } else { ops::take_rows(tokens, &token_array(&places))? });
    }
    if !chunks.is_empty() {
        parts.push(token_array(chunks));
    }
    if let [only] = parts.as_slice() { Ok(only.clone()) } else { ops::concatenate(&parts, 0) }
}
