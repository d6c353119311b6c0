//! `hearth worker`: the process in which a server runs its model.

use std::process::ExitCode;

use clap::Args;
use hearth_core::runner::Runner;
use hearth_engine::LoadRequest;

use crate::logging;

#[derive(Args)]
pub(super) struct Arguments {
    #[arg(long)]
    log_level: String,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    logging::init_worker(&arguments.log_level);
    hearth_engine::worker::run_on_stdio(load)
}

fn load(request: &LoadRequest) -> hearth_core::Result<Box<dyn Runner>> {
    let options = hearth_mlx::LoadOptions { context: request.context };
    Ok(Box::new(hearth_mlx::load(&request.dir, options)?))
}
