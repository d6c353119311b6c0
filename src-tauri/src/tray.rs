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
    tray::{MouseButton, MouseButtonState, TrayIconBuilder, TrayIconEvent},
};

use crate::{
    server::{Server, State},
    windows,
};

const ID: &str = "hearth";

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
        .icon(picture(&State::Stopped, &Glance::default()))
        .icon_as_template(true)
        .tooltip("Hearth")
        .menu(&menu(app, &entries(&State::Stopped, &Glance::default()))?)
        .show_menu_on_left_click(false)
        .on_menu_event(|app, event| on_click(app, &event))
        .on_tray_icon_event(|icon, event| {
            if let TrayIconEvent::Click {
                button: MouseButton::Left, button_state: MouseButtonState::Up, rect, ..
            } = event
            {
                windows::open(icon.app_handle(), Some(rect));
            }
        })
        .build(app)?;
    Ok(())
}

/// Makes icon and menu show how things are.
pub(crate) fn show(app: &AppHandle, server: &State, glance: &Glance) {
    let Some(icon) = app.tray_by_id(ID) else { return };
    let shown = || {
        icon.set_icon_with_as_template(Some(picture(server, glance)), true)?;
        icon.set_menu(Some(menu(app, &entries(server, glance))?))
    };
    if let Err(error) = shown() {
        tracing::debug!("the icon stays as it is: {error}");
    }
}

fn picture(server: &State, glance: &Glance) -> Image<'static> {
    match (server, glance.activity) {
        (State::Stopped, _) => include_image!("../icons/tray/stopped.png"),
        (State::Failed { .. }, _) => include_image!("../icons/tray/error.png"),
        (State::Starting, _) | (_, Activity::Loading) => include_image!("../icons/tray/loading.png"),
        (_, Activity::Answering) => include_image!("../icons/tray/answering.png"),
        (_, Activity::Ready) => include_image!("../icons/tray/ready.png"),
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
        State::Stopped | State::Failed { .. } => vec![Entry::Do(Action::Start, "Start Server")],
    });
    entries.extend([Entry::Do(Action::Settings, "Settings…"), Entry::Line, Entry::Do(Action::Quit, "Quit Hearth")]);
    entries
}

fn headline(server: &State, glance: &Glance) -> String {
    match server {
        State::Stopped => "The server is stopped".into(),
        State::Starting => "The server starts".into(),
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

fn menu(app: &AppHandle, entries: &[Entry]) -> tauri::Result<Menu<Wry>> {
    let items = entries.iter().map(|entry| item(app, entry)).collect::<tauri::Result<Vec<_>>>()?;
    let items: Vec<&dyn IsMenuItem<Wry>> = items.iter().map(AsRef::as_ref).collect();
    Menu::with_items(app, &items)
}

fn item(app: &AppHandle, entry: &Entry) -> tauri::Result<Box<dyn IsMenuItem<Wry>>> {
    Ok(match entry {
        Entry::Note(text) => Box::new(MenuItem::new(app, text, false, None::<&str>)?),
        Entry::Do(action, text) => Box::new(MenuItem::with_id(app, id(*action), text, true, None::<&str>)?),
        Entry::Line => Box::new(PredefinedMenuItem::separator(app)?),
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
        Action::Open => windows::open(app, None),
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
    fn a_server_that_runs_says_what_it_does() {
        let (_glances, seen) = tokio::sync::watch::channel(Glance::default());
        let url = "http://127.0.0.1:8080".to_owned();
        let server = hearth::Ready {
            model: "ember".into(),
            protocols: Default::default(),
            base_url: url.clone(),
            authenticated: false,
            admin: None,
            glances: seen,
        };
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
        assert_eq!(lines(&State::Ready { url, server }, &glance), expected);
    }
}
