//! Whether a cached answer is the answer: greedy answers of a loaded model, cold against every way in which a cache can be
//! used again.
//!
//! Prompts are token ids from fixed seeds, so no tokenizer is needed. Both sides of a comparison feed the same chunks
//! wherever a cut allows it, and then they do the same arithmetic: a difference is a fault, not rounding. Where that is not
//! possible (tokens that were an answer once, others in the same batch) the comparison is marked as rounding, and only
//! answers that have little in common are a fault.

mod bench;
mod checks;
#[cfg(test)]
pub(crate) mod fake;
mod file;
mod prompts;
#[cfg(test)]
mod tests;

use hearth_core::Result;
use hearth_core::runner::Runner;
use serde::{Deserialize, Serialize};

use bench::Bench;
use checks::References;

/// Tokens of each answer.
pub(crate) const ANSWER: usize = 16;

/// A way in which a cache is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Not at all, twice: where that differs, nothing can be told.
    Cold,
    /// Kept in memory and taken up again.
    Memory,
    /// Cut back to a shorter length.
    Cut,
    /// Copied from a sequence that runs on.
    Branch,
    /// Written to a file and read again.
    Disk,
    /// Beside others in one batch.
    Batched,
}

impl Kind {
    /// All of them, in the order in which they are checked.
    pub(crate) const ALL: [Self; 6] = [Self::Cold, Self::Memory, Self::Cut, Self::Branch, Self::Disk, Self::Batched];

    /// As people read it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold, again",
            Self::Memory => "kept in memory",
            Self::Cut => "cut back",
            Self::Branch => "branched off",
            Self::Disk => "from disk",
            Self::Batched => "in a batch",
        }
    }
}

/// An answer beside the one that it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trial {
    expected: Vec<u32>,
    found: Vec<u32>,
    /// Whether both did the same arithmetic.
    exact: bool,
}

impl Trial {
    /// Tokens before the first difference.
    fn agreed(&self) -> usize {
        self.expected.iter().zip(&self.found).take_while(|(a, b)| a == b).count()
    }
}

/// What came of the comparisons of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Answers that were compared; 0: the model's caches cannot be used so.
    pub(crate) answers: usize,
    /// Those that were the same to the last token.
    pub(crate) same: usize,
    /// Tokens of all expected answers.
    pub(crate) tokens: usize,
    /// Those of them before their answer's first difference.
    pub(crate) agreed: usize,
    /// The fewest of one answer.
    pub(crate) least: usize,
    /// Answers that differ although both sides did the same arithmetic.
    pub(crate) faults: usize,
    /// What went wrong on the way.
    pub(crate) error: Option<String>,
    /// Tokens agreed, and tokens, where rounding may differ.
    pub(crate) rounded: (usize, usize),
}

impl Tally {
    fn add(&mut self, trial: &Trial) {
        let (agreed, tokens) = (trial.agreed(), trial.expected.len());
        self.least = if self.answers == 0 { agreed } else { self.least.min(agreed) };
        self.answers += 1;
        self.tokens += tokens;
        self.agreed += agreed;
        let same = trial.expected == trial.found;
        self.same += usize::from(same);
        self.faults += usize::from(trial.exact && !same);
        if !trial.exact {
            self.rounded = (self.rounded.0 + agreed, self.rounded.1 + tokens);
        }
    }

    /// Whether the kind must not be used. From where rounding tips a close decision two answers part for good, so that a
    /// quarter in common is enough; a wrong cache leaves hardly a token in place.
    pub(crate) fn failed(&self) -> bool {
        let (agreed, tokens) = self.rounded;
        self.error.is_some() || self.faults > 0 || agreed * 4 < tokens
    }
}

/// What came of it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Tokens of each prompt.
    pub(crate) prompts: Vec<usize>,
    /// How many different answers the different prompts had: with one, hardly anything was shown.
    pub(crate) different: usize,
    /// In the order of [`Kind::ALL`].
    pub(crate) kinds: Vec<(Kind, Tally)>,
}

impl Report {
    /// The kinds that failed.
    pub(crate) fn failed(&self) -> Vec<Kind> {
        self.kinds.iter().filter(|(_, tally)| tally.failed()).map(|(kind, _)| *kind).collect()
    }
}

/// Checks all kinds on a runner without open slots. `progress` is told what comes next. An error: the model cannot answer
/// at all.
pub(crate) fn verify(runner: &mut dyn Runner, progress: &mut dyn FnMut(&str)) -> Result<Report> {
    let cases = prompts::cases(runner.facts());
    progress("cold answers to compare with");
    let references = References::compute(&mut Bench::new(runner), cases)?;
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        progress(kind.name());
        kinds.push((kind, tally(runner, kind, &references)));
    }
    Ok(Report { prompts: references.lengths(), different: references.different(), kinds })
}

fn tally(runner: &mut dyn Runner, kind: Kind, references: &References) -> Tally {
    let mut tally = Tally::default();
    for reference in references.all() {
        // What a check leaves open is closed with its bench, whatever went wrong.
        match checks::check(kind, &mut Bench::new(runner), reference) {
            Ok(trials) => trials.iter().for_each(|trial| tally.add(trial)),
            Err(error) => tally.error = tally.error.or(Some(error.message)),
        }
    }
    tally
}
