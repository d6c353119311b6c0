//! The app's program. With arguments it is the command line: models run in child processes of the same program, and a
//! person who has the app has `hearth` too.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => hearth_app::run(true),
        (Some(hearth_app::HIDDEN), None) => hearth_app::run(false),
        _ => hearth::cli::main(),
    }
}
