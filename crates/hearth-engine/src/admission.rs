//! What a request must meet before it is queued, and the device's task that it becomes.

use std::iter;

use hearth_core::chat::ChatRequest;
use hearth_core::model::ModelFacts;
use hearth_core::sampling::SamplingParams;
use hearth_core::task::{Generate, SessionKey};
use hearth_core::{Error, ErrorKind, Result};

use crate::sessions::Claim;

/// The task for `prompt`, which `request` was rendered to.
///
/// `default_max_tokens` is for requests that leave the length open; it gives way to the context's end, while a length
/// that a request asks for has to fit.
pub(crate) fn task(
    request: &ChatRequest,
    prompt: Vec<u32>,
    facts: &ModelFacts,
    default_max_tokens: Option<usize>,
) -> Result<Generate> {
    let context = facts.context_length;
    let left = context.saturating_sub(prompt.len());
    let max_tokens = request.max_tokens.unwrap_or_else(|| default_max_tokens.unwrap_or(left).min(left));
    if left == 0 || max_tokens > left {
        return Err(too_long(prompt.len(), request.max_tokens, context));
    }
    if max_tokens == 0 {
        return Err(Error::invalid("max_tokens", "max_tokens must be at least 1."));
    }
    known(&prompt, facts)?;
    let mut sampling = request.sampling.resolve(&facts.sampling);
    if let Some((token, _)) = sampling.logit_bias.iter().find(|(token, _)| *token as usize >= facts.vocab_size) {
        let message = format!("logit_bias names token {token}; this model's tokens are below {}.", facts.vocab_size);
        return Err(Error::invalid("logit_bias", message));
    }
    // A fresh seed for each request; drawn here so that a request that is run again gives the same answer.
    sampling.seed = sampling.seed.or_else(|| Some(seed()));
    let stop_tokens = facts.eos_token_ids.clone();
    Ok(Generate { prompt, max_tokens, stop_tokens, sampling, session: None, takes_over: false })
}

/// The tasks of `count` choices, each with a seed of its own, in the session of `claim`. Only the first may take over
/// what the session left behind: they run beside each other.
pub(crate) fn choices(task: Generate, count: usize, claim: Option<&Claim>) -> Vec<Generate> {
    let (session, takes_over) = (claim.map(Claim::key), claim.is_some_and(Claim::takes_over));
    let choice = |(index, mut task): (u64, Generate)| {
        task.sampling.seed = task.sampling.seed.map(|seed| seed.wrapping_add(index));
        Generate { session, takes_over: takes_over && index == 0, ..task }
    };
    iter::zip(0.., iter::repeat_n(task, count)).map(choice).collect()
}

/// The task that only fills the cache of `session` with `prompt`.
pub(crate) fn fill(prompt: Vec<u32>, facts: &ModelFacts, session: SessionKey) -> Result<Generate> {
    if prompt.len() >= facts.context_length {
        return Err(too_long(prompt.len(), None, facts.context_length));
    }
    known(&prompt, facts)?;
    let (stop_tokens, sampling) = (Vec::new(), SamplingParams::default());
    Ok(Generate { prompt, max_tokens: 0, stop_tokens, sampling, session: Some(session), takes_over: true })
}

fn too_long(prompt: usize, asked: Option<usize>, context: usize) -> Error {
    let message = match asked {
        Some(asked) if prompt < context => format!(
            "This model's context holds {context} tokens, but the request needs {}: {prompt} of the messages and \
             {asked} of max_tokens. Shorten the messages or lower max_tokens.",
            prompt.saturating_add(asked)
        ),
        _ => format!(
            "This model's context holds {context} tokens, prompt and answer together, but the messages alone are \
             {prompt} tokens. Shorten the messages."
        ),
    };
    Error { kind: ErrorKind::ContextLengthExceeded, message, param: Some("messages".into()) }
}

/// A tokenizer may know tokens that the model has no weights for.
fn known(prompt: &[u32], facts: &ModelFacts) -> Result<()> {
    let Some(token) = prompt.iter().find(|token| **token as usize >= facts.vocab_size) else { return Ok(()) };
    let message = format!("The messages hold the special token {token}, which this model does not know.");
    Err(Error::invalid("messages", message))
}

/// Different for each call: the standard library seeds its hasher from the system's entropy.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use hearth_core::sampling::SamplingOverrides;

    use super::*;

    fn facts() -> ModelFacts {
        ModelFacts {
            model_type: "fake".into(),
            context_length: 100,
            vocab_size: 50,
            eos_token_ids: vec![2, 3],
            sampling: SamplingOverrides { temperature: Some(0.6), top_k: Some(20), ..Default::default() },
            weight_bytes: 0,
            cache: Default::default(),
        }
    }

    #[test]
    fn prompt_and_answer_fit_the_context() {
        // (prompt, asked for, the server's default) and what may be generated
        for (prompt, asked, default, expected) in [
            (40, None, None, Ok(60)),
            (40, None, Some(16), Ok(16)),
            (90, None, Some(16), Ok(10)),
            (40, Some(60), None, Ok(60)),
            (40, Some(1), Some(16), Ok(1)),
            (99, None, None, Ok(1)),
            (100, None, None, Err("messages alone are 100 tokens")),
            (250, Some(5), None, Err("messages alone are 250 tokens")),
            (40, Some(61), None, Err("needs 101: 40 of the messages and 61 of max_tokens")),
            (40, Some(usize::MAX), None, Err("context holds 100 tokens")),
        ] {
            let request = ChatRequest { max_tokens: asked, ..Default::default() };
            let task = task(&request, vec![1; prompt], &facts(), default);
            match (task, expected) {
                (Ok(task), Ok(max_tokens)) => assert_eq!(task.max_tokens, max_tokens, "{prompt} {asked:?} {default:?}"),
                (Err(error), Err(part)) => {
                    assert_eq!(error.kind, ErrorKind::ContextLengthExceeded);
                    assert!(error.message.contains(part), "{}", error.message);
                }
                (got, _) => panic!("{prompt} {asked:?} {default:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn sampling_is_the_requests_then_the_models_then_hearths() {
        let sampling = SamplingOverrides { temperature: Some(0.0), seed: Some(7), ..Default::default() };
        let request = ChatRequest { sampling, ..Default::default() };
        let task = task(&request, vec![1], &facts(), None).unwrap();
        let params = (task.sampling.temperature, task.sampling.top_k, task.sampling.top_p, task.sampling.seed);
        assert_eq!(params, (0.0, 20, 1.0, Some(7)));
        assert_eq!(task.stop_tokens, [2, 3]);
    }

    #[test]
    fn a_request_without_a_seed_draws_one() {
        let draw = || task(&ChatRequest::default(), vec![1], &facts(), None).unwrap().sampling.seed;
        assert!(draw().is_some());
        assert_ne!(draw(), draw());
    }

    #[test]
    fn each_choice_has_a_seed_of_its_own() {
        let sampling = SamplingOverrides { seed: Some(u64::MAX), ..Default::default() };
        let task = task(&ChatRequest { sampling, ..Default::default() }, vec![1], &facts(), None).unwrap();
        let seeds: Vec<_> = choices(task, 3, None).into_iter().map(|choice| choice.sampling.seed).collect();
        assert_eq!(seeds, [Some(u64::MAX), Some(0), Some(1)]);
    }

    #[test]
    fn a_fill_samples_nothing_and_fits_the_context() {
        let task = fill(vec![1; 99], &facts(), 7).unwrap();
        assert_eq!((task.max_tokens, task.session, task.prompt.len()), (0, Some(7), 99));
        assert_eq!(fill(vec![1; 100], &facts(), 7).unwrap_err().kind, ErrorKind::ContextLengthExceeded);
        assert!(fill(vec![50], &facts(), 7).is_err());
    }

    #[test]
    fn tokens_without_weights_are_refused() {
        let sampling = SamplingOverrides { logit_bias: vec![(49, 1.0), (50, 1.0)], ..Default::default() };
        let request = ChatRequest { sampling, ..Default::default() };
        let error = task(&request, vec![1], &facts(), None).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::InvalidRequest, Some("logit_bias")));
        let error = task(&ChatRequest::default(), vec![1, 50], &facts(), None).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::InvalidRequest, Some("messages")));
        let request = ChatRequest { max_tokens: Some(0), ..Default::default() };
        assert_eq!(task(&request, vec![1], &facts(), None).unwrap_err().param.as_deref(), Some("max_tokens"));
    }
}
