//! `hearth doctor`: how Hearth is set up here, and whether a model's cached answers are its answers.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use hearth_core::runner::Runner;
use hearth_engine::ModelSpec;

use super::{fail, say};
use crate::logging::{self, LogFormat, Logging};
use crate::paths::{self, process_env};
use crate::settings::{self, KvBits, Size};
use crate::verdicts::{Verdict, Verdicts};
use crate::verify::{self, ANSWER, Report, Tally};
use crate::{cache_dir, model};

const AFTER_HELP: &str = "\
A cache must never change an answer. --verify-cache lets the model answer prompts of several lengths, each once from
nothing and once from every kind of cache, and compares. A kind that gives another answer is switched off for that
model until a later check passes, and the exit code is 1. It takes from some seconds to some minutes.

Examples:
  hearth doctor
  hearth doctor --verify-cache ember
  hearth doctor --verify-cache mlx-community/Qwen3-4B-4bit --kv-bits 8";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Compare this model's answers with and without its caches: a folder, a Hugging Face id, or ember
    #[arg(long, value_name = "MODEL")]
    verify_cache: Option<String>,

    /// Check caches of 8 or 4 bits a number too
    #[arg(long, value_name = "8|4", requires = "verify_cache")]
    kv_bits: Option<KvBits>,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    logging::init(&Logging { format: LogFormat::Human, level: "warn".to_owned() });
    let sound = match arguments.verify_cache {
        Some(model) => check_all(&model, arguments.kv_bits),
        None => overview().map(|()| true),
    };
    match sound {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Checks the model's own caches, then quantized ones where these are asked for. Whether all is well.
fn check_all(name: &str, kv_bits: Option<KvBits>) -> Result<bool> {
    let (spec, data) = (model::find(name)?, paths::data_dir(process_env)?);
    let mut sound = true;
    for bits in [None].into_iter().chain(kv_bits.map(|bits| Some(bits.get()))) {
        sound &= check(&spec, bits, &data)?;
    }
    Ok(sound)
}

fn check(spec: &ModelSpec, kv_bits: Option<u8>, data: &Path) -> Result<bool> {
    eprintln!("Loading {} ...", spec.source);
    let options = hearth_mlx::LoadOptions { context: None, kv_bits };
    let mut runner = hearth_mlx::load(&spec.dir, options).with_context(|| format!("cannot load {}", spec.source))?;
    examine(&mut runner, &spec.id, kv_bits, data)
}

/// Checks a loaded model, notes what came of it for later servers, and prints it.
fn examine(runner: &mut dyn Runner, model: &str, kv_bits: Option<u8>, data: &Path) -> Result<bool> {
    // Before minutes of work: they would be for nothing where it cannot be read.
    let mut verdicts = Verdicts::read(data)?;
    let report = verify::verify(runner, &mut |what| eprintln!("Checking: {what}"))?;
    let verdict = Verdict { model: model.to_owned(), kv_bits, failed: report.failed() };
    verdicts.note(&runner.facts().cache.fingerprint, verdict.clone());
    verdicts.write(data)?;
    say(&table(&report, &verdict))?;
    Ok(verdict.failed.is_empty())
}

fn table(report: &Report, verdict: &Verdict) -> String {
    let (shortest, longest) = (report.prompts.iter().min(), report.prompts.iter().max());
    let (shortest, longest) = (shortest.copied().unwrap_or(0), longest.copied().unwrap_or(0));
    let mut lines = vec![
        format!(
            "\nCaches of {}: {} prompts of {shortest} to {longest} tokens, answers of {ANSWER}.\n",
            title(verdict),
            report.prompts.len()
        ),
        format!("{:<16} {:>8} {:>8} {:>14} {:>9}", "kind", "answers", "the same", "tokens before", "fewest in"),
        format!("{:<16} {:>8} {:>8} {:>14} {:>9}", "", "", "", "a difference", "an answer"),
    ];
    lines.extend(report.kinds.iter().map(|(kind, tally)| line(kind.name(), tally)));
    lines.push(String::new());
    if report.different == 1 {
        lines.push("All prompts had the same answer, so this shows little: the model hardly looks at them.".to_owned());
    }
    lines.push(match verdict.failed.is_empty() {
        true => "A cached answer is the answer: nothing is switched off.".to_owned(),
        false => format!("Switched off for this model: {}.", verdict.consequence()),
    });
    lines.join("\n") + "\n"
}

fn line(name: &str, tally: &Tally) -> String {
    let Tally { answers, same, tokens, agreed, least, error, .. } = tally;
    let outcome = match (error, tally.failed()) {
        (Some(error), _) => format!("FAILED: {error}"),
        (None, true) => "FAILED".to_owned(),
        (None, false) if *answers == 0 => "not possible with this model".to_owned(),
        (None, false) if same < answers => "ok (rounding)".to_owned(),
        (None, false) => "ok".to_owned(),
    };
    let agreed = format!("{agreed} of {tokens}");
    format!("{name:<16} {answers:>8} {same:>8} {agreed:>14} {least:>9}  {outcome}")
}

fn title(verdict: &Verdict) -> String {
    match verdict.kv_bits {
        Some(bits) => format!("{} in {bits} bits", verdict.model),
        None => verdict.model.clone(),
    }
}

/// What there is, without loading anything.
fn overview() -> Result<()> {
    let data = paths::data_dir(process_env)?;
    let cache = settings::cache::dir(process_env("HEARTH_CACHE_DIR").as_deref().map(Path::new))?;
    let held = Size(cache_dir::bytes(&cache));
    let mut lines = vec![
        format!("Hearth {}", env!("CARGO_PKG_VERSION")),
        format!("Data folder : {}", data.display()),
        format!("Cache folder: {} ({held}; `hearth cache` says more)", cache.display()),
    ];
    let verdicts = Verdicts::read(&data)?;
    let off = |verdict: &Verdict| format!("Switched off for {}: {}", title(verdict), verdict.consequence());
    lines.extend(verdicts.all().map(off));
    if verdicts.all().next().is_none() {
        lines.push("Nothing is switched off. `hearth doctor --verify-cache MODEL` checks a model's caches.".to_owned());
    }
    say(&(lines.join("\n") + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Kind;
    use crate::verify::fake::{Fake, Fault};

    fn tally(answers: usize, same: usize, error: Option<&str>) -> Tally {
        let (tokens, agreed) = (answers * ANSWER, answers * ANSWER - (answers - same) * 5);
        let least = if same == answers { ANSWER } else { 11 };
        Tally { answers, same, tokens, agreed, least, error: error.map(str::to_owned), ..Tally::default() }
    }

    /// Found, noted under the fingerprint, and cleared by a check that passes.
    #[test]
    fn a_fault_is_noted_until_it_is_gone() {
        let data = tempfile::tempdir().unwrap();
        let examine = |fault| {
            let sound = examine(&mut Fake::new(fault, true), "fake", None, data.path()).unwrap();
            let verdict = Verdicts::read(data.path()).unwrap().of("fake").cloned();
            (sound, verdict.map(|verdict| verdict.failed))
        };
        assert_eq!(examine(Fault::Export), (false, Some(vec![Kind::Disk])));
        assert_eq!(examine(Fault::Copy), (false, Some(vec![Kind::Cut])));
        assert_eq!(examine(Fault::None), (true, None));
    }

    #[test]
    fn the_table_says_what_matched_and_what_follows() {
        let kinds = vec![
            (Kind::Memory, tally(12, 12, None)),
            (Kind::Cut, Tally::default()),
            (Kind::Disk, tally(6, 4, Some("That is not a cache."))),
            (Kind::Batched, tally(24, 20, None)),
        ];
        let report = Report { prompts: vec![24, 1500], different: 4, kinds };
        let verdict = Verdict { model: "ember".into(), kv_bits: Some(8), failed: report.failed() };
        let expected = "
Caches of ember in 8 bits: 2 prompts of 24 to 1500 tokens, answers of 16.

kind              answers the same  tokens before fewest in
                                     a difference an answer
kept in memory         12       12     192 of 192        16  ok
cut back                0        0         0 of 0         0  not possible with this model
from disk               6        4       86 of 96        11  FAILED: That is not a cache.
in a batch             24       20     364 of 384        11  ok (rounding)

Switched off for this model: no cache on disk.
";
        assert_eq!(table(&report, &verdict), expected);
        let sound = Verdict { failed: Vec::new(), ..verdict };
        let report = Report { different: 1, ..report };
        let table = table(&report, &sound);
        assert!(table.contains("nothing is switched off") && table.contains("shows little"), "{table}");
    }
}
