//! `hearth pull`: downloads a model, and shows how that goes. What has come is kept whatever happens, so the same command goes
//! on with it.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::answers::Download;
use super::bars::Bars;
use super::client::{self, Client};
use super::words::{plain, size, span};
use super::{EXIT_INTERRUPTED, fail, say};

const AFTER_HELP: &str = "\
Files go where Hugging Face's own tools keep and look for theirs. Ctrl-C pauses; the same command goes on.
HF_TOKEN is the token for gated and private models, HF_ENDPOINT another address of the Hub.

Examples:
  hearth pull mlx-community/Qwen3-4B-4bit
  hearth pull mlx-community/Qwen3-4B-4bit --json";

/// How often the download is looked at.
const TICK: Duration = Duration::from_millis(250);

/// How often a log of it gets a line.
const LINE: Duration = Duration::from_secs(5);

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Repository on the Hub, as owner/name
    #[arg(value_name = "REPO")]
    repo: String,

    /// Branch, tag or commit [default: main]
    #[arg(long)]
    revision: Option<String>,

    /// Print the API's JSON object of the download, a line whenever it changes
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    run(&arguments).unwrap_or_else(|error| fail(&error))
}

fn run(Arguments { repo, revision, json }: &Arguments) -> Result<ExitCode> {
    let ended = pull(&client::connect()?, repo, revision.as_deref(), View::new(*json))?;
    if let (Ended::Done(Download { repo, bytes, .. }), false) = (&ended, *json) {
        say(&format!("Downloaded {repo}, {}. To ask it: hearth run {repo}\n", size(*bytes)))?;
    }
    Ok(ended.code())
}

/// How a download ended that did not fail.
pub(super) enum Ended {
    Done(Download),
    /// By Ctrl-C.
    Paused(Download),
}

impl Ended {
    pub(super) fn code(&self) -> ExitCode {
        match self {
            Self::Done(_) => ExitCode::SUCCESS,
            Self::Paused(_) => ExitCode::from(EXIT_INTERRUPTED),
        }
    }
}

/// Downloads a repository and shows how that goes. Ctrl-C pauses it.
pub(super) fn pull(client: &Client, repo: &str, revision: Option<&str>, mut view: View) -> Result<Ended> {
    let interrupts = interrupts()?;
    let ended = follow(client, repo, revision, &mut view, &|| interrupts.recv_timeout(TICK).is_ok());
    view.clear();
    if let Ok(Ended::Paused(download)) = &ended {
        eprintln!("Paused at {}. To go on: hearth pull {repo}", progress(download));
    }
    ended
}

/// A message for the first Ctrl-C; the second one ends the process.
fn interrupts() -> Result<Receiver<()>> {
    let watch = "cannot watch for Ctrl-C";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context(watch)?;
    let mut interrupt = runtime.block_on(async { signal(SignalKind::interrupt()) }).context(watch)?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        runtime.block_on(async {
            interrupt.recv().await;
            // Nobody listens when the download has just ended.
            let _ = sender.send(());
            interrupt.recv().await;
            std::process::exit(EXIT_INTERRUPTED.into());
        });
    });
    Ok(receiver)
}

/// Asks for the download and looks at it until it has ended. `wait` waits a little, and says whether somebody wants it paused.
fn follow(
    client: &Client,
    repo: &str,
    revision: Option<&str>,
    view: &mut View,
    wait: &dyn Fn() -> bool,
) -> Result<Ended> {
    let mut answer = client.post("/downloads", &json!({"repo": repo, "revision": revision}))?;
    let Download { id, state, .. } = client::read(&answer)?;
    let path = format!("/downloads/{id}");
    if state == "paused" {
        answer = client.post(&format!("{path}/resume"), &json!({}))?;
    }
    let mut stopping = false;
    loop {
        let download: Download = client::read(&answer)?;
        view.show(&answer, &download)?;
        match download.state.as_str() {
            "done" => return Ok(Ended::Done(download)),
            "paused" if stopping => return Ok(Ended::Paused(download)),
            "failed" | "paused" | "cancelled" => bail!(why(&download)),
            _ => {}
        }
        answer = if wait() {
            stopping = true;
            client.post(&format!("{path}/pause"), &json!({}))?
        } else {
            client.get(&path)?
        };
    }
}

/// Why a download ended that is not done.
fn why(download: &Download) -> String {
    let Download { repo, state, reason, .. } = download;
    let reason = reason.clone().unwrap_or_else(|| format!("the download of {repo} was {state} by somebody else"));
    plain(&reason)
}

/// How far a download is, in a few words.
pub(super) fn progress(download: &Download) -> String {
    let Download { bytes, total, bytes_per_second, seconds_left, .. } = download;
    let of = total.filter(|total| *total > 0).map(|total| format!(" of {}", size(total)));
    let speed = (*bytes_per_second > 0).then(|| format!(", {}/s", size(*bytes_per_second)));
    let left = seconds_left.map(|seconds| format!(", {} left", span(seconds)));
    [Some(size(*bytes)), of, speed, left].into_iter().flatten().collect()
}

/// Where a download is shown.
pub(super) enum View {
    /// To a person at a terminal.
    Bars(Bars),
    /// In a log, every few seconds: when the last line was written, and of which state.
    Lines(Instant, String),
    /// To a program: what it was told last.
    Json(Value),
}

impl View {
    /// JSON lines on standard output; or, on standard error, bars where that is a terminal and lines where it is not.
    pub(super) fn new(json: bool) -> Self {
        match json {
            true => Self::Json(Value::Null),
            false if io::stderr().is_terminal() => Self::Bars(Bars::new()),
            false => Self::Lines(Instant::now(), String::new()),
        }
    }

    fn show(&mut self, answer: &Value, download: &Download) -> Result<()> {
        match self {
            Self::Bars(bars) => bars.show(download),
            Self::Lines(last, state) if last.elapsed() >= LINE || *state != download.state => {
                (*last, *state) = (Instant::now(), download.state.clone());
                eprintln!("{}", line(download));
            }
            Self::Json(last) if last != answer => {
                *last = answer.clone();
                return say(&format!("{answer}\n"));
            }
            Self::Lines(..) | Self::Json(_) => {}
        }
        Ok(())
    }

    fn clear(&self) {
        if let Self::Bars(bars) = self {
            bars.clear();
        }
    }
}

fn line(download: &Download) -> String {
    let note = download.reason.as_ref().map(|reason| format!(" ({reason})"));
    plain(&format!("{}: {}, {}{}", download.repo, download.state, progress(download), note.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::cli::client::tests::Fake;

    const RUNNING: &str = r#"{"id": 7, "repo": "a/b", "state": "running", "bytes": 500000000, "total": 2000000000}"#;

    fn pulled(fake: &Fake, wait: &dyn Fn() -> bool) -> Result<Ended> {
        follow(&fake.client(), "a/b", None, &mut View::Lines(Instant::now(), String::new()), wait)
    }

    fn state(state: &str) -> String {
        json!({"id": 7, "repo": "a/b", "state": state, "bytes": 9, "reason": "a/b is gated."}).to_string()
    }

    #[test]
    fn a_download_is_followed_to_its_end() {
        let fake = Fake::new(&[
            ("POST /admin/v1/downloads", 202, RUNNING),
            ("GET /admin/v1/downloads/7", 200, RUNNING),
            ("GET /admin/v1/downloads/7", 200, &state("done")),
        ]);
        assert!(matches!(pulled(&fake, &|| false), Ok(Ended::Done(Download { bytes: 9, .. }))));
        assert_eq!(fake.bodies()[0], json!({"repo": "a/b", "revision": null}));
    }

    #[test]
    fn one_that_was_paused_goes_on() {
        let fake = Fake::new(&[
            ("POST /admin/v1/downloads", 202, &state("paused")),
            ("POST /admin/v1/downloads/7/resume", 200, RUNNING),
            ("GET /admin/v1/downloads/7", 200, &state("done")),
        ]);
        assert!(matches!(pulled(&fake, &|| false), Ok(Ended::Done(_))));
    }

    #[test]
    fn a_failure_says_why() {
        let fake = Fake::new(&[
            ("POST /admin/v1/downloads", 202, RUNNING),
            ("GET /admin/v1/downloads/7", 200, &state("failed")),
        ]);
        assert_eq!(pulled(&fake, &|| false).err().unwrap().to_string(), "a/b is gated.");
        let other = Download { repo: "a/b".into(), state: "cancelled".into(), ..Download::default() };
        assert_eq!(why(&other), "the download of a/b was cancelled by somebody else");
    }

    #[test]
    fn ctrl_c_pauses_and_waits_until_it_is() {
        let fake = Fake::new(&[
            ("POST /admin/v1/downloads", 202, RUNNING),
            ("POST /admin/v1/downloads/7/pause", 200, RUNNING),
            ("GET /admin/v1/downloads/7", 200, &state("paused")),
        ]);
        let pressed = Cell::new(false);
        assert!(matches!(pulled(&fake, &|| !pressed.replace(true)), Ok(Ended::Paused(_))));
    }

    #[test]
    fn progress_tells_what_is_known() {
        let mut download: Download = serde_json::from_str(RUNNING).unwrap();
        assert_eq!(line(&download), "a/b: running, 500.0 MB of 2.0 GB");
        (download.bytes_per_second, download.seconds_left) = (50_000_000, Some(90));
        assert_eq!(progress(&download), "500.0 MB of 2.0 GB, 50.0 MB/s, 1 min left");
        assert_eq!(progress(&Download::default()), "0.0 kB");
    }
}
