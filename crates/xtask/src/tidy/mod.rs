//! `cargo xtask tidy`: the rules of ARCHITECTURE.md and CONTRIBUTING.md that a program can check. The tests run it too.
//!
//! Each check is a function from plain data to a list of faults, one sentence each: the culprit first, then what to do.

mod edges;
mod manifests;
mod sources;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let manifests = manifests::read(workspace)?;
    let sources = sources::read(workspace)?;
    let faults = [edges::check(&manifests), manifests::check(&manifests), sources::check(&sources)].concat();
    if faults.is_empty() {
        println!("tidy: {} crates and {} files are in order", manifests.members.len(), sources.len());
        return Ok(());
    }
    bail!("{} not in order:\n  {}", faults.len(), faults.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        run(&Workspace::find().expect("tests run inside the workspace")).expect("tidy");
    }
}
