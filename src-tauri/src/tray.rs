//! The icon in the menu bar: its picture says how the server is, its menu what it does.

use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
};

use hearth::{Activity, Glance};
use tauri::{
    AppHandle, Manager, Wry,
    image::Image,
    include_image,
    menu::{IsMenuItem, Menu, MenuEvent, MenuItem, PredefinedMenuItem},
    tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent},
};

use crate::{
    server::{Server, State},
    windows,
};

pub(crate) const ID: &str = "hearth";

/// What a click on an entry does. Its name is the entry's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Open,
    Settings,
    Start,
    Stop,
    CopyUrl,
    Quit,
}

const ACTIONS: [(Action, &str); 6] = [
    (Action::Open, "open"),
    (Action::Settings, "settings"),
    (Action::Start, "start"),
    (Action::Stop, "stop"),
    (Action::CopyUrl, "copy-url"),
    (Action::Quit, "quit"),
];

/// A line of the menu.
#[derive(Debug, PartialEq)]
enum Entry {
    /// Something that one only reads.
    Note(String),
    Do(Action, &'static str),
    Line,
}

/// Puts the icon into the menu bar.
pub(crate) fn add(app: &AppHandle) -> tauri::Result<()> {
    let menu = Menu::new(app)?;
    TrayIconBuilder::with_id(ID)
        .icon(picture(&State::Stopped, &Glance::default()).image())
        .icon_as_template(true)
        .tooltip("Hearth")
        .menu(&menu)
        .show_menu_on_left_click(false)
        .on_menu_event(|app, event| on_click(app, &event))
        .on_tray_icon_event(|icon, event| {
            let up = MouseButtonState::Up;
            if matches!(event, TrayIconEvent::Click { button: MouseButton::Left, button_state, .. } if button_state == up) {
                windows::open(icon.app_handle());
            }
        })
        .build(app)?;
    app.manage(Shown(Mutex::new(Face { menu, picture: None, lines: vec![] })));
    show(app, &State::Stopped, &Glance::default());
    Ok(())
}

/// What icon and menu show, so that only what is new is touched: a click that is under way is lost on an entry that is replaced.
struct Shown(Mutex<Face>);

struct Face {
    menu: Menu<Wry>,
    picture: Option<Picture>,
    lines: Vec<(Entry, Item)>,
}

/// Makes icon and menu show how things are.
pub(crate) fn show(app: &AppHandle, server: &State, glance: &Glance) {
    let (Some(icon), Some(shown)) = (app.tray_by_id(ID), app.try_state::<Shown>()) else { return };
    let mut face = shown.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = face.show(app, &icon, picture(server, glance), entries(server, glance)) {
        tracing::debug!("the icon stays as it is: {error}");
    }
}

impl Face {
    fn show(&mut self, app: &AppHandle, icon: &TrayIcon, picture: Picture, entries: Vec<Entry>) -> tauri::Result<()> {
        if self.picture != Some(picture) {
            icon.set_icon_with_as_template(Some(picture.image()), true)?;
            self.picture = Some(picture);
        }
        let before: Vec<&Entry> = self.lines.iter().map(|(entry, _)| entry).collect();
        let stays = staying(&before, &entries);
        for at in (0..self.lines.len()).rev().filter(|at| !stays.contains(&Some(*at))) {
            self.menu.remove(self.lines.remove(at).1.as_dyn())?;
        }
        for (at, (entry, stays)) in entries.into_iter().zip(stays).enumerate() {
            if stays.is_none() {
                let item = item(app, &entry)?;
                self.menu.insert(item.as_dyn(), at)?;
                self.lines.insert(at, (entry, item));
            } else if let (last, Item::Entry(item)) = &mut self.lines[at]
                && let Entry::Note(text) = &entry
                && entry != *last
            {
                item.set_text(text)?;
                *last = entry;
            }
        }
        Ok(())
    }
}

/// For each entry of a menu which one of the menu before it is, maybe with another text; both menus are in one order.
fn staying(before: &[&Entry], after: &[Entry]) -> Vec<Option<usize>> {
    let alike = |one: &Entry, other: &Entry| one == other || matches!((one, other), (Entry::Note(_), Entry::Note(_)));
    let mut next = 0;
    let origin = |entry: &Entry| {
        let origin = next + before[next..].iter().position(|old| alike(old, entry))?;
        next = origin + 1;
        Some(origin)
    };
    after.iter().map(origin).collect()
}

/// What the icon looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Picture {
    Stopped,
    Error,
    Loading,
    Answering,
    Ready,
}

impl Picture {
    fn image(self) -> Image<'static> {
        match self {
            Self::Stopped => include_image!("../icons/tray/stopped.png"),
            Self::Error => include_image!("../icons/tray/error.png"),
            Self::Loading => include_image!("../icons/tray/loading.png"),
            Self::Answering => include_image!("../icons/tray/answering.png"),
            Self::Ready => include_image!("../icons/tray/ready.png"),
        }
    }
}

fn picture(server: &State, glance: &Glance) -> Picture {
    match (server, glance.activity) {
        (State::Stopped, _) => Picture::Stopped,
        (State::Failed { .. }, _) => Picture::Error,
        (State::Starting | State::Stopping, _) | (_, Activity::Loading) => Picture::Loading,
        (_, Activity::Answering) => Picture::Answering,
        (_, Activity::Ready) => Picture::Ready,
    }
}

/// What comes and goes stands below what a person clicks on, or it would move that from under the click.
fn entries(server: &State, glance: &Glance) -> Vec<Entry> {
    let mut entries = vec![Entry::Note(headline(server, glance)), Entry::Line, Entry::Do(Action::Open, "Open Hearth")];
    entries.push(match server {
        State::Ready { .. } | State::Starting => Entry::Do(Action::Stop, "Stop Server"),
        State::Stopping | State::Stopped | State::Failed { .. } => Entry::Do(Action::Start, "Start Server"),
    });
    entries.push(Entry::Do(Action::Settings, "Settings…"));
    if let State::Ready { .. } = server {
        entries.push(Entry::Do(Action::CopyUrl, "Copy Base URL"));
        let models = glance.models.iter().cloned();
        let speed = glance.tokens_per_second.map(|speed| format!("{speed:.0} tokens per second"));
        let downloads = glance.downloads.iter().map(|(name, part)| format!("Downloading {name}: {part} %"));
        let notes: Vec<Entry> = models.chain(speed).chain(downloads).map(Entry::Note).collect();
        if !notes.is_empty() {
            entries.push(Entry::Line);
            entries.extend(notes);
        }
    }
    entries.extend([Entry::Line, Entry::Do(Action::Quit, "Quit Hearth")]);
    entries
}

fn headline(server: &State, glance: &Glance) -> String {
    match server {
        State::Stopped => "The server is stopped".into(),
        State::Starting => "The server starts".into(),
        State::Stopping => "The server stops".into(),
        State::Failed { error, .. } => shortened(error),
        State::Ready { url, .. } => {
            let mut line = match glance.activity {
                Activity::Loading => "Loading".to_owned(),
                Activity::Ready => "Ready".to_owned(),
                Activity::Answering => "Answering".to_owned(),
            };
            let _ = write!(line, " at {}", url.trim_start_matches("http://"));
            line
        }
    }
}

/// A menu is not wide.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An [`Entry`] as the system has it.
enum Item {
    Entry(MenuItem<Wry>),
    Line(PredefinedMenuItem<Wry>),
}

impl Item {
    fn as_dyn(&self) -> &dyn IsMenuItem<Wry> {
        match self {
            Self::Entry(item) => item,
            Self::Line(item) => item,
        }
    }
}

fn item(app: &AppHandle, entry: &Entry) -> tauri::Result<Item> {
    Ok(match entry {
        Entry::Note(text) => Item::Entry(MenuItem::new(app, text, false, None::<&str>)?),
        Entry::Do(action, text) => Item::Entry(MenuItem::with_id(app, id(*action), text, true, None::<&str>)?),
        Entry::Line => Item::Line(PredefinedMenuItem::separator(app)?),
    })
}

fn id(action: Action) -> &'static str {
    ACTIONS.iter().find(|(known, _)| *known == action).map_or("", |(_, id)| id)
}

fn on_click(app: &AppHandle, event: &MenuEvent) {
    let action = ACTIONS.iter().find(|(_, id)| event.id() == id);
    if let Some((action, _)) = action {
        act(app, *action);
    }
}

/// Does what an entry says.
pub(crate) fn act(app: &AppHandle, action: Action) {
    match action {
        Action::Open => windows::open(app),
        Action::Settings => windows::open_at(app, "settings"),
        Action::Start => app.state::<Server>().start(None),
        Action::Stop => {
            let app = app.clone();
            tauri::async_runtime::spawn(async move { app.state::<Server>().stop().await });
        }
        Action::CopyUrl => copy_url(app),
        Action::Quit => windows::quit(app),
    }
}

fn copy_url(app: &AppHandle) {
    let State::Ready { url, .. } = app.state::<Server>().state() else { return };
    let copied = app.state::<Clipboard>().copy(format!("{url}/v1"));
    if let Err(error) = copied {
        tracing::warn!("the address cannot be copied: {error}");
    }
}

/// The system's clipboard. It is kept: on X11 what was copied is gone with who copied it.
#[derive(Default)]
pub(crate) struct Clipboard(Mutex<Option<arboard::Clipboard>>);

impl Clipboard {
    fn copy(&self, text: String) -> Result<(), arboard::Error> {
        let mut clipboard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clipboard = match &mut *clipboard {
            Some(clipboard) => clipboard,
            none => none.insert(arboard::Clipboard::new()?),
        };
        clipboard.set_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(server: &State, glance: &Glance) -> Vec<String> {
        entries(server, glance).iter().map(line).collect()
    }

    fn line(entry: &Entry) -> String {
        match entry {
            Entry::Note(text) => format!("({text})"),
            Entry::Do(action, text) => format!("{}: {text}", id(*action)),
            Entry::Line => "—".into(),
        }
    }

    #[test]
    fn a_server_that_does_not_run_can_be_started() {
        let rest = ["—", "open: Open Hearth", "start: Start Server", "settings: Settings…", "—", "quit: Quit Hearth"];
        let with = |first: &str| [vec![first.to_owned()], rest.map(str::to_owned).to_vec()].concat();
        assert_eq!(lines(&State::Stopped, &Glance::default()), with("(The server is stopped)"));
        let long = "ä".repeat(61);
        let failed = State::Failed { error: long, port_taken: None };
        assert_eq!(lines(&failed, &Glance::default()), with(&format!("({}…)", "ä".repeat(60))));
    }

    #[test]
    fn an_entry_that_stays_is_not_made_anew() {
        let (_glances, seen) = tokio::sync::watch::channel(Glance::default());
        let ready = |speed: Option<f64>, models: &[&str]| {
            let models = models.iter().map(|&model| model.into()).collect();
            entries(&ready(seen.clone()), &Glance { tokens_per_second: speed, models, ..Glance::default() })
        };
        let idle = |state: &State| entries(state, &Glance::default());
        let anew = |before: &[Entry], after: &[Entry]| {
            let stays = staying(&before.iter().collect::<Vec<_>>(), after);
            let new = after
                .iter()
                .zip(&stays)
                .filter(|(_, stays)| stays.is_none())
                .map(|(entry, _)| line(entry))
                .collect::<Vec<_>>();
            (new.join(" "), before.len() - stays.iter().flatten().count())
        };
        let (stop, copy) = ("stop: Stop Server", "copy-url: Copy Base URL");
        assert_eq!(anew(&idle(&State::Stopped), &idle(&State::Stopping)), (String::new(), 0));
        assert_eq!(anew(&idle(&State::Stopped), &idle(&State::Starting)), (stop.into(), 1));
        assert_eq!(anew(&idle(&State::Starting), &ready(None, &["ember"])), (format!("{copy} (ember) —"), 0));
        assert_eq!(
            anew(&ready(None, &[]), &ready(Some(2.0), &["ember"])),
            ("(ember) (2 tokens per second) —".into(), 0)
        );
        assert_eq!(anew(&ready(Some(1.0), &["ember"]), &ready(Some(2.0), &["ember"])), (String::new(), 0));
        let start = "start: Start Server";
        assert_eq!(anew(&ready(Some(1.0), &["ember"]), &idle(&State::Stopping)), (start.into(), 5));
    }

    fn ready(glances: tokio::sync::watch::Receiver<Glance>) -> State {
        let url = "http://127.0.0.1:8080".to_owned();
        let server = hearth::Ready {
            model: "ember".into(),
            protocols: Default::default(),
            base_url: url.clone(),
            authenticated: false,
            admin: None,
            glances,
        };
        State::Ready { url, server }
    }

    #[test]
    fn a_server_that_runs_says_what_it_does() {
        let (_glances, seen) = tokio::sync::watch::channel(Glance::default());
        let glance = Glance {
            activity: Activity::Answering,
            models: vec!["ember".into()],
            tokens_per_second: Some(41.6),
            downloads: vec![("mlx-community/Qwen3-4B-4bit".into(), 7)],
            finished: vec![],
        };
        let expected = [
            "(Answering at 127.0.0.1:8080)",
            "—",
            "open: Open Hearth",
            "stop: Stop Server",
            "settings: Settings…",
            "copy-url: Copy Base URL",
            "—",
            "(ember)",
            "(42 tokens per second)",
            "(Downloading mlx-community/Qwen3-4B-4bit: 7 %)",
            "—",
            "quit: Quit Hearth",
        ];
        assert_eq!(lines(&ready(seen), &glance), expected);
    }
}
