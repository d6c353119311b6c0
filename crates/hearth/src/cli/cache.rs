//! `hearth cache`: what lies in the cache folder, and how to be rid of it. Servers may run meanwhile.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::words::span;
use super::{confirmed, ended, say};
use crate::cache_dir::{self, Files, Listing, ModelFiles};
use crate::settings::{self, Options, Size};

const AFTER_HELP: &str = "\
Hearth keeps what a model has read of a conversation, so that the next turn begins to answer at once.
All of it can be removed at any time: what is missing is computed again.

Examples:
  hearth cache                  What is kept, for which models
  hearth cache --json           The same for programs
  hearth cache clear            Remove all of it";

/// The commands' width of a model's name.
const NAME_WIDTH: usize = 40;

#[derive(Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum Command {
    /// Remove everything that is kept: models' caches and sessions
    Clear(Clear),
}

#[derive(Args)]
struct Clear {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    place: Place,
}

/// Which cache is meant: the same words as for a server.
#[derive(Args)]
struct Place {
    /// Folder of the cache [default: the system's folder for caches, or HEARTH_HOME/cache]
    #[arg(long, env = "HEARTH_CACHE_DIR", hide_env = true, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Room that servers may take in it [default: 10G or a tenth of the free disk, the smaller]
    #[arg(long, env = "HEARTH_CACHE_DISK", hide_env = true, value_name = "SIZE")]
    cache_disk: Option<Size>,

    /// Configuration file of the server, which may say the same
    #[arg(short = 'C', long, env = "HEARTH_CONFIG", hide_env = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The folder, and the bytes that it may take.
    fn find(self) -> Result<(PathBuf, u64)> {
        let file = self.config.as_deref().map(Options::read).transpose()?.unwrap_or_default();
        let dir = settings::cache::dir(self.cache_dir.or(file.cache_dir).as_deref())?;
        let cap = self.cache_disk.or(file.cache_disk);
        let cap = cap.map_or_else(|| settings::cache::default_bytes(&dir), |size| size.0);
        Ok((dir, cap))
    }
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(arguments))
}

fn run(arguments: Arguments) -> Result<()> {
    if let Some(Command::Clear(clear)) = arguments.command {
        let (dir, _) = clear.place.find()?;
        return remove(dir, clear.yes);
    }
    let (dir, cap) = arguments.place.find()?;
    let report = Report { listing: cache_dir::list(&dir), dir, cap };
    let text = if arguments.json { json(&report)? } else { table(&report, cache_dir::now()) };
    say(&text)
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    dir: PathBuf,
    /// Bytes that all files may take together; 0: nothing is written.
    cap: u64,
    #[serde(flatten)]
    listing: Listing,
}

fn json(report: &Report) -> Result<String> {
    Ok(serde_json::to_string_pretty(report).context("the listing cannot be written as JSON")? + "\n")
}

fn table(report: &Report, now: u64) -> String {
    let Report { dir, cap, listing } = report;
    let mut lines = vec![format!("Cache folder: {}", dir.display()), String::new()];
    lines.extend(listing.models.iter().map(|model| {
        let tokens = format!("{} tokens", model.tokens);
        line(&name(model), &model.files, &tokens, now)
    }));
    if listing.sessions.count > 0 {
        lines.push(line("sessions", &listing.sessions, "", now));
    }
    if listing.others.count > 0 {
        lines.push(line("other files", &listing.others, "", now));
    }
    if lines.len() > 2 {
        lines.push(String::new());
    }
    let (total, cap) = (Size(listing.bytes), Size(*cap));
    lines.push(match (listing.bytes, cap) {
        (_, Size(0)) => format!("Total: {total}; nothing more is written (--cache-disk 0)"),
        (0, _) => format!("Nothing is kept yet; {cap} may be taken (--cache-disk)"),
        _ => format!("Total: {total} of {cap} (--cache-disk)"),
    });
    lines.join("\n") + "\n"
}

fn line(name: &str, files: &Files, tokens: &str, now: u64) -> String {
    let what = if files.count == 1 { "file" } else { "files" };
    let (count, size, age) = (files.count, Size(files.bytes).to_string(), age(files, now));
    format!("{name:<NAME_WIDTH$} {count:>6} {what:<5} {size:>11}  {tokens:>16}  {age}").trim_end().to_owned()
}

/// The model's name, which a file told and nobody checked: only what can be printed of it.
fn name(model: &ModelFiles) -> String {
    let unknown = || format!("unknown model {}", model.fingerprint);
    let name = model.model.clone().unwrap_or_else(unknown);
    name.chars().filter(|c| !c.is_control()).take(NAME_WIDTH).collect()
}

/// How long ago the files were used: the newest, and the oldest where that is another time.
fn age(files: &Files, now: u64) -> String {
    let ago = |used: Option<u64>| span(now.saturating_sub(used.unwrap_or(now)));
    let (newest, oldest) = (ago(files.newest), ago(files.oldest));
    if newest == oldest { format!("used {newest} ago") } else { format!("used {newest} to {oldest} ago") }
}

fn remove(dir: PathBuf, sure: bool) -> Result<()> {
    let listing = cache_dir::list(&dir);
    let question = format!("Remove {} from {}?", Size(listing.bytes), dir.display());
    if !sure && listing.bytes > 0 && !confirmed(&question, "hearth cache clear --yes")? {
        return say("Nothing was removed.\n");
    }
    let (removed, failure) = cache_dir::clear(&dir);
    let what = if removed.count == 1 { "file" } else { "files" };
    say(&format!("Removed {} {what}, {} freed.\n", removed.count, Size(removed.bytes)))?;
    match failure {
        Some(error) => Err(error).with_context(|| format!("some files of {} could not be removed", dir.display())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn files(count: usize, bytes: u64, newest: u64, oldest: u64) -> Files {
        Files { count, bytes, newest: Some(NOW - newest), oldest: Some(NOW - oldest) }
    }

    fn report() -> Report {
        let named = ModelFiles {
            model: Some("qwen3-4b\u{1b}[31m".into()),
            fingerprint: "aa".into(),
            tokens: 8192,
            files: files(2, 3 << 30, 30, 90_000),
        };
        let unnamed =
            ModelFiles { fingerprint: "bbbb".into(), files: files(1, 1024, 7200, 7200), ..Default::default() };
        let listing = Listing {
            bytes: (3 << 30) + 2048,
            models: vec![named, unnamed],
            sessions: files(4, 1024, 0, 120),
            others: Files::default(),
        };
        Report { dir: "/caches".into(), cap: 10 << 30, listing }
    }

    #[test]
    fn the_table_says_what_is_kept_for_whom() {
        let expected = "\
Cache folder: /caches

qwen3-4b[31m                                  2 files      3.0 GB       8192 tokens  used 30 s to 1 d ago
unknown model bbbb                            1 file       1.0 KB          0 tokens  used 2 h ago
sessions                                      4 files      1.0 KB                    used 0 s to 2 min ago

Total: 3.0 GB of 10.0 GB (--cache-disk)
";
        assert_eq!(table(&report(), NOW), expected);
        let empty = Report { listing: Listing::default(), ..report() };
        assert!(table(&empty, NOW).contains("Nothing is kept yet; 10.0 GB may be taken"));
        assert!(table(&Report { cap: 0, ..report() }, NOW).contains("nothing more is written"));
    }

    #[test]
    fn the_json_is_one_flat_object() {
        let json: serde_json::Value = serde_json::from_str(&json(&report()).unwrap()).unwrap();
        assert_eq!((&json["dir"], &json["cap"]), (&"/caches".into(), &(10_u64 << 30).into()));
        let model = &json["models"][0];
        assert_eq!((&model["fingerprint"], &model["files"]), (&"aa".into(), &2.into()));
        assert_eq!((&model["bytes"], &model["tokens"]), (&(3_u64 << 30).into(), &8192.into()));
        assert_eq!(json["sessions"]["oldest"], NOW - 120);
    }

    #[test]
    fn clearing_removes_files_and_needs_a_word_where_nobody_can_be_asked() {
        let dir = tempfile::tempdir().unwrap();
        cache_dir::tests::write_kv(dir.path(), '1', "aaaa", Some("ember"), 1);
        remove(dir.path().into(), true).unwrap();
        assert_eq!(cache_dir::bytes(dir.path()), 0);
        remove(dir.path().into(), false).expect("an empty cache needs no word");
    }
}
