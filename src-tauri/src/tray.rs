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
    TrayIconBuilder::with_id(ID)
        .icon(picture(&State::Stopped, &Glance::default()).image())
        .icon_as_template(true)
        .tooltip("Hearth")
        .show_menu_on_left_click(false)
        .on_menu_event(|app, event| on_click(app, &event))
        .on_tray_icon_event(|icon, event| {
            let up = MouseButtonState::Up;
            if matches!(event, TrayIconEvent::Click { button: MouseButton::Left, button_state, .. } if button_state == up) {
                windows::open(icon.app_handle());
            }
        })
        .build(app)?;
    show(app, &State::Stopped, &Glance::default());
    Ok(())
}

/// What icon and menu show, so that only what is new is touched: a menu that is replaced closes under the person's hand.
#[derive(Default)]
pub(crate) struct Shown(Mutex<Face>);

#[derive(Default)]
struct Face {
    picture: Option<Picture>,
    entries: Vec<Entry>,
    items: Vec<Item>,
}

/// Makes icon and menu show how things are.
pub(crate) fn show(app: &AppHandle, server: &State, glance: &Glance) {
    let Some(icon) = app.tray_by_id(ID) else { return };
    let shown = app.state::<Shown>();
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
        if is_alike(&self.entries, &entries) {
            for ((entry, last), item) in entries.iter().zip(&self.entries).zip(&self.items) {
                if let (Entry::Note(text), Item::Entry(item), true) = (entry, item, entry != last) {
                    item.set_text(text)?;
                }
            }
        } else {
            self.items = entries.iter().map(|entry| item(app, entry)).collect::<tauri::Result<_>>()?;
            let items: Vec<&dyn IsMenuItem<Wry>> = self.items.iter().map(Item::as_dyn).collect();
            icon.set_menu(Some(Menu::with_items(app, &items)?))?;
        }
        self.entries = entries;
        Ok(())
    }
}

/// Whether two menus differ in what is to be read at most.
fn is_alike(one: &[Entry], other: &[Entry]) -> bool {
    let alike =
        |(one, other): (&Entry, &Entry)| one == other || matches!((one, other), (Entry::Note(_), Entry::Note(_)));
    one.len() == other.len() && one.iter().zip(other).all(alike)
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

fn entries(server: &State, glance: &Glance) -> Vec<Entry> {
    let mut entries = vec![Entry::Note(headline(server, glance))];
    if let State::Ready { .. } = server {
        entries.extend(glance.models.iter().map(|model| Entry::Note(model.clone())));
        entries.extend(glance.tokens_per_second.map(|speed| Entry::Note(format!("{speed:.0} tokens per second"))));
        entries
            .extend(glance.downloads.iter().map(|(name, part)| Entry::Note(format!("Downloading {name}: {part} %"))));
    }
    entries.extend([Entry::Line, Entry::Do(Action::Open, "Open Hearth")]);
    entries.extend(match server {
        State::Ready { .. } => {
            vec![Entry::Do(Action::CopyUrl, "Copy Base URL"), Entry::Do(Action::Stop, "Stop Server")]
        }
        State::Starting => vec![Entry::Do(Action::Stop, "Stop Server")],
        State::Stopping | State::Stopped | State::Failed { .. } => vec![Entry::Do(Action::Start, "Start Server")],
    });
    entries.extend([Entry::Do(Action::Settings, "Settings…"), Entry::Line, Entry::Do(Action::Quit, "Quit Hearth")]);
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
        let line = |entry| match entry {
            Entry::Note(text) => format!("({text})"),
            Entry::Do(action, text) => format!("{}: {text}", id(action)),
            Entry::Line => "—".into(),
        };
        entries(server, glance).into_iter().map(line).collect()
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
    fn a_menu_is_made_anew_only_for_other_entries() {
        let glance = |speed: Option<f64>| Glance { tokens_per_second: speed, ..Glance::default() };
        let (_glances, seen) = tokio::sync::watch::channel(Glance::default());
        let menu = |glance: &Glance| entries(&ready(seen.clone()), glance);
        assert!(is_alike(&menu(&glance(Some(1.0))), &menu(&glance(Some(2.0)))));
        assert!(!is_alike(&menu(&glance(None)), &menu(&glance(Some(2.0)))));
        assert!(!is_alike(&menu(&glance(None)), &entries(&State::Starting, &glance(None))));
        assert!(is_alike(&entries(&State::Stopped, &glance(None)), &entries(&State::Stopping, &glance(None))));
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
            "(ember)",
            "(42 tokens per second)",
            "(Downloading mlx-community/Qwen3-4B-4bit: 7 %)",
            "—",
            "open: Open Hearth",
            "copy-url: Copy Base URL",
            "stop: Stop Server",
            "settings: Settings…",
            "—",
            "quit: Quit Hearth",
        ];
        assert_eq!(lines(&ready(seen), &glance), expected);
    }
}
