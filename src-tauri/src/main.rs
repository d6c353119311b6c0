//! The app's program. With arguments, or where it is called `hearth`, it is the command line: models run in child processes of the
//! same program, and a person who has the app has `hearth` too.

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let is_command =
        arguments.next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "hearth"));
    match (arguments.next(), arguments.next()) {
        (None, _) if !is_command => hearth_app::run(true),
        (Some(first), None) if first == hearth_app::HIDDEN => hearth_app::run(false),
        _ => hearth::cli::main(),
    }
}
