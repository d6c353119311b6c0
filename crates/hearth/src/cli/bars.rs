//! A download as bars on a terminal: one for each file that is coming, and below them one for all.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::answers::{Download, File};
use super::pull::progress;
use super::words::{plain, size};

/// Both fit 80 columns.
const FILE: &str = "{prefix:<32!} {bar:20} {msg}";
const ALL: &str = "{prefix:<9!} {bar:20} {msg}";

/// States of a file that is being worked at.
const ACTIVE: [&str; 3] = ["checking", "running", "verifying"];

pub(super) struct Bars {
    screen: MultiProgress,
    all: ProgressBar,
    /// Of the files that are coming, by name.
    files: HashMap<String, ProgressBar>,
}

impl Bars {
    /// On standard error; nothing is drawn yet.
    pub(super) fn new() -> Self {
        Self::on(MultiProgress::new())
    }

    fn on(screen: MultiProgress) -> Self {
        let all = screen.add(bar(ALL));
        Self { screen, all, files: HashMap::new() }
    }

    pub(super) fn show(&mut self, download: &Download) {
        let active = |file: &&File| ACTIVE.contains(&file.state.as_str());
        let files: Vec<&File> = download.files.iter().filter(active).collect();
        let screen = &self.screen;
        self.files.retain(|name, bar| {
            let stays = files.iter().any(|file| file.name == *name);
            if !stays {
                screen.remove(bar);
            }
            stays
        });
        for file in files {
            let drawn = self.files.entry(file.name.clone());
            let drawn = drawn.or_insert_with(|| screen.insert_before(&self.all, bar(FILE)));
            draw(drawn, &file.name, file.bytes, file.total, format!("{} of {}", size(file.bytes), size(file.total)));
        }
        draw(&self.all, &download.state, download.bytes, download.total.unwrap_or(0), progress(download));
    }

    /// Leaves the terminal as it was.
    pub(super) fn clear(&self) {
        // A terminal that has gone has no bars.
        let _ = self.screen.clear();
    }
}

/// A bar that says what it is told, and reckons nothing itself.
fn bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style.progress_chars("=> "))
}

fn draw(bar: &ProgressBar, name: &str, bytes: u64, total: u64, message: String) {
    bar.set_prefix(plain(name));
    // One of nothing would be full.
    bar.set_length(total.max(bytes).max(1));
    bar.set_position(bytes);
    bar.set_message(message);
}
