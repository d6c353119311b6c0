//! How much memory sequences need, and how much there is. MLX ends the process when memory runs out, so it is reckoned
//! before, from what the model's facts say.

use hearth_core::cache::LARGEST_FEED;
use hearth_core::model::{CacheFacts, ModelFacts};
use hearth_core::{Error, ErrorKind, Result};

use crate::worker::protocol::CacheOptions;

/// What is kept of ended sequences by default: a quarter of what the weights leave, but not less than this.
const KEEP_AT_LEAST: u64 = 512 << 20;
const KEEP_SHARE: u64 = 4;

/// One sequence, as far as memory is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Tokens of its prompt.
    pub(crate) prompt: usize,
    /// Tokens in its cache.
    pub(crate) held: usize,
}

impl Load {
    /// Tokens that it may feed in one step: a small rest goes along with a whole chunk.
    fn chunk(self) -> usize {
        self.prompt.saturating_sub(self.held).clamp(1, LARGEST_FEED)
    }

    fn length(self) -> usize {
        self.prompt.max(self.held + 1)
    }
}

/// The bytes that a worker may use beside its model.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    facts: CacheFacts,
    weights: u64,
    /// With the model; `None`: not known, so nothing is refused.
    limit: Option<u64>,
}

impl Budget {
    pub(crate) fn new(facts: &ModelFacts, options: &CacheOptions) -> Self {
        let limit = options.limit.unwrap_or(facts.cache.memory_limit);
        Self { facts: facts.cache.clone(), weights: facts.weight_bytes, limit: (limit > 0).then_some(limit) }
    }

    /// Weights, caches and scratch may take `bytes` together from now on.
    pub(crate) fn set_limit(&mut self, bytes: u64) {
        self.limit = Some(bytes);
    }

    /// What the model leaves.
    fn free(&self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.weights))
    }

    /// Bytes of ended sequences' caches that are kept in memory.
    pub(crate) fn keep(&self, options: &CacheOptions) -> u64 {
        options.memory.unwrap_or_else(|| (self.free().unwrap_or(0) / KEEP_SHARE).max(KEEP_AT_LEAST))
    }

    /// Bytes that running sequences need: their caches, with room to grow, and the scratch of their next step.
    pub(crate) fn demand(&self, loads: impl Iterator<Item = Load>) -> u64 {
        let (mut caches, mut prefill, mut decode) = (0, 0, 0);
        for load in loads {
            caches += self.cache(load);
            let scratch = (load.chunk() * load.length()) as u64 * self.facts.scratch_bytes;
            // A step's budget of prompt tokens is shared, so that two chunks do not need more than the larger alone.
            if load.held < load.prompt { prefill = scratch.max(prefill) } else { decode += scratch }
        }
        caches + prefill + decode
    }

    /// How many of `bytes` are too many.
    pub(crate) fn over(&self, bytes: u64) -> u64 {
        self.free().map_or(0, |free| bytes.saturating_sub(free))
    }

    /// Bytes that the shortest of prompts needs.
    pub(crate) fn least(&self) -> u64 {
        self.demand([Load { prompt: 1, held: 0 }].into_iter())
    }

    /// An error for a model that leaves no room for the shortest of prompts.
    pub(crate) fn check(&self) -> Result<()> {
        let least = self.weights + self.least();
        let Some(limit) = self.limit.filter(|&limit| least > limit) else { return Ok(()) };
        Err(too_large(least, self.weights, limit))
    }

    /// An error for a prompt that does not fit even alone.
    pub(crate) fn refuse(&self, load: Load) -> Option<Error> {
        let need = self.demand([load].into_iter());
        let free = self.free().filter(|&free| need > free)?;
        let message = format!(
            "This prompt of {} tokens needs {} of memory, but the model leaves only {} of what it may use; shorten the \
             conversation.",
            load.prompt,
            megabytes(need),
            megabytes(free)
        );
        Some(Error::invalid("messages", message))
    }

    /// The error of a sequence that has to end because its cache cannot grow.
    pub(crate) fn exhausted(&self, load: Load) -> Error {
        let message = format!(
            "After {} tokens the memory for caches is used up: {} beside the model. Try again when less is running.",
            load.held,
            megabytes(self.free().unwrap_or(0))
        );
        Error::new(ErrorKind::OutOfMemory, message)
    }

    /// The prompt and one step of growth, or what it has grown to.
    fn cache(&self, load: Load) -> u64 {
        self.facts.sequence_bytes(load.prompt, load.length())
    }
}

/// The error of a model that needs at least `least` bytes, where only `limit` may be used.
pub(crate) fn too_large(least: u64, weights: u64, limit: u64) -> Error {
    Error::model_load(format!(
        "This model needs at least {} of memory, {} of them for its weights, but it may use only {}: raise --memory where \
         it is set, or serve a smaller model.",
        megabytes(least),
        megabytes(weights),
        megabytes(limit)
    ))
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use hearth_core::sampling::SamplingOverrides;

    use super::*;

    fn budget(limit: Option<u64>, machine: u64) -> Budget {
        let cache = CacheFacts {
            token_bytes: 100,
            fixed_bytes: 7,
            step: 16,
            scratch_bytes: 2,
            memory_limit: machine,
            ..CacheFacts::default()
        };
        let facts = ModelFacts {
            model_type: "fake".into(),
            context_length: 4096,
            vocab_size: 300,
            eos_token_ids: Vec::new(),
            sampling: SamplingOverrides::default(),
            weight_bytes: 1_000_000,
            cache,
        };
        Budget::new(&facts, &CacheOptions { limit, ..CacheOptions::default() })
    }

    #[test]
    fn a_sequence_needs_its_cache_one_step_and_scratch() {
        let budget = budget(None, 0);
        let cases = [
            (Load { prompt: 16, held: 0 }, 7 + 3200 + 2 * 16 * 16),
            (Load { prompt: 17, held: 0 }, 7 + 4800 + 2 * 17 * 17),
            (Load { prompt: 16, held: 16 }, 7 + 3200 + 2 * 17),
            (Load { prompt: 16, held: 40 }, 7 + 4800 + 2 * 41),
            (Load { prompt: 2000, held: 0 }, 7 + 201_600 + 2 * 640 * 2000),
        ];
        for (load, bytes) in cases {
            assert_eq!(budget.demand([load].into_iter()), bytes, "{load:?}");
        }
        let two = [Load { prompt: 16, held: 0 }, Load { prompt: 17, held: 0 }];
        assert_eq!(budget.demand(two.into_iter()), 2 * 7 + 8000 + 2 * 17 * 17, "prompts share their chunk");
    }

    #[test]
    fn a_prompts_marks_are_counted_as_far_as_they_are_kept() {
        let mut budget = budget(None, 0);
        let need = |budget: &Budget, prompt| budget.demand([Load { prompt, held: 0 }].into_iter());
        let without = [100, 5000, 50_000].map(|prompt| need(&budget, prompt));
        budget.facts.mark_bytes = 1000;
        let with = [100, 5000, 50_000].map(|prompt| need(&budget, prompt));
        assert_eq!([0, 1, 2].map(|at| with[at] - without[at]), [2000, 6000, 8000]);
    }

    #[test]
    fn what_does_not_fit_alone_is_refused_with_both_numbers() {
        let budget = budget(Some(2_000_000), 9_000_000);
        assert_eq!(budget.refuse(Load { prompt: 100, held: 0 }), None);
        let error = budget.refuse(Load { prompt: 9000, held: 0 }).unwrap();
        assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::InvalidRequest, Some("messages")));
        assert!(error.message.contains("12.4 MB") && error.message.contains("1.0 MB"), "{}", error.message);
        assert_eq!((budget.over(999_999), budget.over(1_000_010)), (0, 10));
    }

    #[test]
    fn a_model_that_leaves_no_room_for_a_prompt_is_refused() {
        // One token with room for a step of growth: 7 + 32 * 100, and 2 of scratch.
        assert_eq!(budget(Some(1_003_209), 0).check(), Ok(()));
        let errors =
            [(Some(1_003_208), 9_000_000), (None, 1_003_208)].map(|(set, machine)| budget(set, machine).check());
        assert_eq!(errors[0], errors[1]);
        let error = errors[0].clone().unwrap_err();
        assert_eq!(error.kind, ErrorKind::ModelLoad);
        let error = budget(Some(1), 0).check().unwrap_err().message;
        assert!(error.contains("at least 1.0 MB") && error.contains("only 0.0 MB"), "{error}");
    }

    #[test]
    fn an_unknown_limit_refuses_nothing() {
        let budget = budget(None, 0);
        assert_eq!(budget.check(), Ok(()));
        assert_eq!((budget.refuse(Load { prompt: 1 << 30, held: 0 }), budget.over(u64::MAX)), (None, 0));
    }

    #[test]
    fn a_quarter_of_what_is_left_is_kept_but_half_a_gigabyte_at_least() {
        let keep = |machine, memory| budget(None, machine).keep(&CacheOptions { memory, ..CacheOptions::default() });
        assert_eq!(keep(8_001_000_000, None), 2_000_000_000);
        assert_eq!(keep(1_001_000_000, None), 512 << 20);
        assert_eq!(keep(0, None), 512 << 20);
        assert_eq!(keep(8_001_000_000, Some(0)), 0);
    }
}
