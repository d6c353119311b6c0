//! `hearth status`: the server that runs, its models, and the downloads.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::answers::{Download, Downloads, Status};
use super::words::{Side, count, fields, plain, size, span, table};
use super::{client, ended, ps, pull, say_answer};

const AFTER_HELP: &str = "\
Examples:
  hearth status
  hearth status --json";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Print the API's JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let server = client::server()?;
    say_answer(&server.get("/status")?, arguments.json, |answer| {
        let Downloads { downloads } = client::read(&server.get("/downloads")?)?;
        Ok(text(&client::read(answer)?, &downloads))
    })
}

fn text(status: &Status, downloads: &[Download]) -> String {
    let Status { version, pid, uptime_seconds, url, memory, requests, .. } = status;
    let limit = if memory.limit > 0 { format!(" of {}", size(memory.limit)) } else { String::new() };
    let server = fields(&[
        ("Server", format!("{url} (hearth {version}, process {pid}, for {})", span(*uptime_seconds))),
        ("Memory", format!("{}{limit}", size(memory.used))),
        ("Requests", format!("{} running, {} waiting", requests.running, requests.waiting)),
    ]);
    format!("{server}\n{}{}", ps::list(status), under_way(downloads))
}

/// Downloads that can still go on.
fn under_way(downloads: &[Download]) -> String {
    let open = downloads.iter().filter(|download| !["done", "cancelled"].contains(&download.state.as_str()));
    let rows: Vec<_> = open.clone().map(|one| [one.repo.clone(), one.state.clone(), pull::progress(one)]).collect();
    if rows.is_empty() {
        return String::new();
    }
    let reasons = open.filter_map(|one| Some(format!("{}: {}\n", plain(&one.repo), plain(one.reason.as_ref()?))));
    let head = [("DOWNLOAD", Side::Left), ("STATE", Side::Left), ("PROGRESS", Side::Left)];
    format!(
        "\n{} under way or stopped:\n{}{}",
        count(rows.len() as u64, "download"),
        table(head, &rows),
        reasons.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_server_is_told_with_its_models_and_downloads() {
        let status = json!({
            "version": "0.1.0", "pid": 4711, "uptime_seconds": 7300, "url": "http://127.0.0.1:8080",
            "models": [{"id": "ember", "state": "ready", "memory": {"weights": 5_000_000}}],
            "memory": {"limit": 12_000_000_000_u64, "used": 5_000_000}, "requests": {"running": 1, "waiting": 0},
        });
        let downloads = json!({"downloads": [
            {"id": 1, "repo": "a/done", "state": "done"},
            {"id": 2, "repo": "a/Big", "state": "running", "bytes": 500_000_000, "total": 2_000_000_000,
             "bytes_per_second": 50_000_000, "seconds_left": 30},
            {"id": 3, "repo": "a/Gated", "state": "failed", "reason": "a/Gated is gated."},
        ]});
        let Downloads { downloads } = client::read(&downloads).unwrap();
        let expected = "\
Server    http://127.0.0.1:8080 (hearth 0.1.0, process 4711, for 2 h)
Memory    5.0 MB of 12.0 GB
Requests  1 running, 0 waiting

NAME   STATE  MEMORY  UNLOADED   RUNNING  WAITING
ember  ready  5.0 MB  on demand        0        0

2 downloads under way or stopped:
DOWNLOAD  STATE    PROGRESS
a/Big     running  500.0 MB of 2.0 GB, 50.0 MB/s, 30 s left
a/Gated   failed   0.0 kB
a/Gated: a/Gated is gated.
";
        assert_eq!(text(&client::read(&status).unwrap(), &downloads), expected);
        assert!(text(&Status::default(), &[]).ends_with("loads it.\n"));
    }
}
