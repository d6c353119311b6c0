//! Source files: small, introduced, finished, safe, and free of any one machine's folders.
//!
//! Clippy and the compiler check most of a line; this checks what they cannot: whole files, and who may silence them.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::cmd;
use crate::workspace::Workspace;

const MAX_LINES: usize = 600;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// Files that may allow `unsafe`, each with its reason.
const UNSAFE: &[(&str, &str)] = &[("crates/hearth-mlx/src/ops.rs", "the one place that calls MLX's C interface")];

/// Data that machines made: not read at all.
const DATA: &[&str] = &["tests/fixtures/", "models/ember/tokenizer.json", "Cargo.lock"];

pub(super) struct Source {
    /// From the workspace's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Every text file that git tracks, or would if it were added.
pub(super) fn read(workspace: &Workspace) -> Result<Vec<Source>> {
    let mut git = Command::new("git");
    git.current_dir(&workspace.root).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let paths = cmd::output(&mut git)?;
    let paths = paths.lines().filter(|path| !DATA.iter().any(|data| path.starts_with(data)));
    // What cannot be read as text is a picture, or was deleted and not yet committed.
    let read =
        |path: &str| Some(Source { text: fs::read_to_string(workspace.root.join(path)).ok()?, path: path.into() });
    Ok(paths.filter_map(read).collect())
}

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(check_one).chain(stale_exceptions(sources)).collect()
}

fn check_one(source: &Source) -> Vec<String> {
    let mut faults: Vec<String> = [too_long(source), machine_path(source)].into_iter().flatten().collect();
    if source.path.ends_with(".rs") {
        faults.extend([no_introduction(source), allows_unsafe(source), reads_clock(source)].into_iter().flatten());
        faults.extend(unfinished(source));
    }
    faults
}

fn too_long(source: &Source) -> Option<String> {
    let code = [".rs", ".ts", ".tsx", ".svelte", ".vue", ".css", ".js", ".mjs", ".py"];
    let lines = source.text.lines().count();
    let counted = code.iter().any(|end| source.path.ends_with(end)) && !is_listed(LONG, &source.path);
    (counted && lines > MAX_LINES).then(|| {
        format!("{}: {lines} lines; split it by what its parts are about ({MAX_LINES} is the most)", source.path)
    })
}

fn no_introduction(source: &Source) -> Option<String> {
    (!source.text.starts_with("//!")).then(|| format!("{}: begin it with `//!` and what the file is", source.path))
}

/// The workspace's lints deny `unsafe`, so only a file that silences them can hold any.
fn allows_unsafe(source: &Source) -> Option<String> {
    let silenced = ["allow", "expect", "warn"].map(|level| format!("{level}({}", concat!("unsafe", "_code")));
    let found = silenced.iter().any(|attribute| source.text.contains(attribute.as_str()));
    (found && !is_listed(UNSAFE, &source.path))
        .then(|| format!("{}: may not allow unsafe code; move it to hearth-mlx's ops.rs", source.path))
}

fn reads_clock(source: &Source) -> Option<String> {
    let found = ["SystemTime::now", "Instant::now"].into_iter().find(|call| source.text.contains(call))?;
    let text = source.path.starts_with("crates/hearth-text/src/");
    text.then(|| format!("{}: hearth-text reads no clock; pass the time in instead of calling {found}", source.path))
}

fn unfinished(source: &Source) -> Vec<String> {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!("), concat!("#[", "ignore")];
    let named = |(number, line): (usize, &str)| {
        let mark = marks.iter().find(|mark| line.contains(**mark))?;
        Some(format!("{}:{}: finish it; `{mark}` may not be committed", source.path, number + 1))
    };
    source.text.lines().enumerate().filter_map(named).collect()
}

/// A home folder, or the folder that somebody happens to build in.
fn machine_path(source: &Source) -> Option<String> {
    let folders = [concat!("/", "home/"), concat!("/", "Users/"), concat!("/", "root/"), concat!("/", "work/")];
    let begins_path = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || "._-~})/*".contains(c));
    let is_path = |folder: &str| source.text.match_indices(folder).any(|(at, _)| begins_path(&source.text[..at]));
    let found = folders.into_iter().find(|folder| is_path(folder))?;
    Some(format!("{}: names a path of one machine ({found}…); make it relative", source.path))
}

fn stale_exceptions(sources: &[Source]) -> Vec<String> {
    let listed = LONG.iter().chain(UNSAFE).map(|(path, _)| *path);
    let gone = listed.filter(|path| !sources.iter().any(|source| source.path == *path));
    gone.map(|path| format!("{path}: gone; remove it from the exceptions in xtask's tidy/sources.rs")).collect()
}

fn is_listed(exceptions: &[(&str, &str)], path: &str) -> bool {
    exceptions.iter().any(|(listed, _)| *listed == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        check_one(&Source { path: path.into(), text: text.into() })
    }

    #[test]
    fn an_ordinary_file_passes() {
        assert!(faults("crates/hearth/src/lib.rs", "//! The facade.\nfn f() {}\n").is_empty());
        assert!(faults("README.md", "Open ~/Library, crates/work/ or https://example.org/home/.\n").is_empty());
    }

    #[test]
    fn a_long_file_is_named_with_its_length() {
        let text = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
        assert_eq!(faults("a.rs", &text), ["a.rs: 601 lines; split it by what its parts are about (600 is the most)"]);
        assert!(faults("a.md", &text).is_empty());
    }

    #[test]
    fn a_file_without_introduction_is_named() {
        assert_eq!(faults("a.rs", "fn f() {}"), ["a.rs: begin it with `//!` and what the file is"]);
    }

    #[test]
    fn allowing_unsafe_is_for_listed_files() {
        let text = format!("//! A.\n#![allow({})]", concat!("unsafe", "_code"));
        assert_eq!(faults("a.rs", &text), ["a.rs: may not allow unsafe code; move it to hearth-mlx's ops.rs"]);
        assert!(faults("crates/hearth-mlx/src/ops.rs", &text).is_empty());
    }

    #[test]
    fn the_text_crate_reads_no_clock() {
        let text = "//! A.\nfn f() { std::time::SystemTime::now(); }";
        assert_eq!(faults("crates/hearth-text/src/a.rs", text).len(), 1);
        assert!(faults("crates/hearth-engine/src/a.rs", text).is_empty());
    }

    #[test]
    fn unfinished_work_is_named_by_line() {
        let text = format!("//! A.\nfn f() {{ {}) }}\n{}]\n", concat!("todo", "!("), concat!("#[", "ignore"));
        let found = faults("a.rs", &text);
        assert!(found[0].starts_with("a.rs:2: finish it"), "{found:?}");
        assert!(found[1].starts_with("a.rs:3: finish it"), "{found:?}");
    }

    #[test]
    fn a_path_of_one_machine_is_named() {
        let text = format!("see {}someone/notes", concat!("/", "home/"));
        assert_eq!(faults("a.md", &text).len(), 1);
    }
}
