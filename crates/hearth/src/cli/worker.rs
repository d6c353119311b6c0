//! `hearth worker`: the process in which a server runs its model.

use std::process::ExitCode;

use clap::Args;
use hearth_core::runner::Runner;
use hearth_engine::{LoadRequest, Progress};

use crate::logging;
use crate::paths::{self, process_env};
use crate::verdicts::Verdicts;

#[derive(Args)]
pub(super) struct Arguments {
    #[arg(long)]
    log_level: String,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    logging::init_worker(&arguments.log_level);
    hearth_engine::worker::run_on_stdio(load)
}

fn load(request: &mut LoadRequest, progress: Progress<'_>) -> hearth_core::Result<Box<dyn Runner>> {
    let options = hearth_mlx::LoadOptions { context: request.context, kv_bits: request.cache.kv_bits };
    let runner = hearth_mlx::load_telling(&request.dir, options, progress)?;
    restrict(request, &runner.facts().cache.fingerprint);
    Ok(Box::new(runner))
}

/// Switches off what the doctor has found wrong with this very model.
fn restrict(request: &mut LoadRequest, fingerprint: &str) {
    match paths::data_dir(process_env).and_then(|data| Verdicts::read(&data)) {
        Ok(verdicts) => {
            if let Some(verdict) = verdicts.of(fingerprint) {
                let off = verdict.restrict(request);
                tracing::warn!(
                    "{}: {off}, as `hearth doctor` found wrong answers; another check may clear it",
                    verdict.model
                );
            }
        }
        Err(error) => tracing::warn!("what `hearth doctor` found is not known: {error:#}"),
    }
}
