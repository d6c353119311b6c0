//! The app's one window. It shows the pages that the server inside serves, and where that does not run the same build of them from
//! the app, which then offers to start it. What a person clicks on of the web opens in their browser.

use std::time::Duration;

use anyhow::{Result, bail};
use tauri::{
    AppHandle, LogicalPosition, LogicalSize, Manager, Monitor, Position, Rect, Size, Url, WebviewUrl, WebviewWindow,
    WebviewWindowBuilder, WindowEvent,
};
use tokio::time::timeout;

use crate::{
    server::{Server, State},
    tray,
};

const LABEL: &str = "main";

/// No page.
const BLANK: &str = "about:blank";

/// Width and height in points, and the least that pages are made for.
const SIZE: (f64, f64) = (1000.0, 700.0);
const LEAST: (f64, f64) = (420.0, 480.0);

/// How long a window waits for the server.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows the window, below the icon where it was hidden.
pub(crate) fn open(app: &AppHandle) {
    warn(window(app).and_then(|window| {
        if is_blank(&window) {
            window.navigate(address(app, "")?)?;
        }
        show(app, &window)
    }));
}

/// Shows the window as soon as it is known what it shows: a server mostly starts within the blink of an eye.
pub(crate) fn open_soon(app: &AppHandle) {
    // What the window needs itself starts meanwhile.
    warn(window(app).map(drop));
    let (app, mut states) = (app.clone(), app.state::<Server>().states());
    tauri::async_runtime::spawn(async move {
        let started = states.wait_for(|state| !matches!(state, State::Stopped | State::Starting));
        // Late, or never: the page says so.
        let _ = timeout(PATIENCE, started).await;
        let handle = app.clone();
        let _ = app.run_on_main_thread(move || open(&handle));
    });
}

/// Shows the window at one of its pages, which go by what stands behind the `#`.
pub(crate) fn open_at(app: &AppHandle, page: &str) {
    warn(window(app).and_then(|window| {
        match is_blank(&window) {
            true => window.navigate(address(app, page)?)?,
            false => window.eval(format!("location.hash = '#/{page}'"))?,
        }
        show(app, &window)
    }));
}

/// Turns the window to where the pages are now.
pub(crate) fn follow(app: &AppHandle) {
    let Some(window) = app.get_webview_window(LABEL) else { return };
    let place = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
    if !is_blank(&window) && window.url().is_ok_and(|at| place(&at) != place(&home(app))) {
        warn(sign_in(app));
    }
}

/// Turns the window to where the pages are, and signs it in there.
pub(crate) fn sign_in(app: &AppHandle) -> Result<()> {
    let Some(window) = app.get_webview_window(LABEL) else { return Ok(()) };
    Ok(window.navigate(address(app, "")?)?)
}

fn warn(done: Result<()>) {
    if let Err(error) = done {
        tracing::warn!("the window does not show what it should: {error:#}");
    }
}

fn show(app: &AppHandle, window: &WebviewWindow) -> Result<()> {
    if !window.is_visible()?
        && let Some(place) = below_icon(app)
    {
        window.set_position(place)?;
    }
    window.unminimize()?;
    window.show()?;
    Ok(window.set_focus()?)
}

/// The window, which is made where there is none: hidden, and without a page.
fn window(app: &AppHandle) -> Result<WebviewWindow> {
    if let Some(window) = app.get_webview_window(LABEL) {
        return Ok(window);
    }
    let guarded = app.clone();
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::External(BLANK.parse()?))
        .title("Hearth")
        .inner_size(SIZE.0, SIZE.1)
        .min_inner_size(LEAST.0, LEAST.1)
        .on_navigation(move |url| stays_inside(&guarded, url))
        .visible(false)
        .build()?;
    let closed = window.clone();
    window.on_window_event(move |event| {
        // What is being answered in it goes on, and it is there at once when it is wanted again.
        if let WindowEvent::CloseRequested { api, .. } = event
            && closed.hide().is_ok()
        {
            api.prevent_close();
        }
    });
    Ok(window)
}

/// Whether it has no page yet, and with that maybe no address either.
fn is_blank(window: &WebviewWindow) -> bool {
    window.url().map_or(true, |url| url.as_str() == BLANK)
}

/// Where the window hangs below the icon; none where the system does not say where that is.
fn below_icon(app: &AppHandle) -> Option<LogicalPosition<f64>> {
    let icon = app.tray_by_id(tray::ID)?.rect().ok()??;
    let screen = |monitor: &Monitor| {
        let scale = monitor.scale_factor();
        Screen { scale, area: Area::new(*monitor.position(), *monitor.size(), scale) }
    };
    let screens: Vec<Screen> = app.available_monitors().ok()?.iter().map(screen).collect();
    below(icon, &screens)
}

/// A screen, in points.
struct Screen {
    /// Pixels of a point.
    scale: f64,
    area: Area,
}

struct Area {
    at: LogicalPosition<f64>,
    size: LogicalSize<f64>,
}

impl Area {
    fn new(at: impl Into<Position>, size: impl Into<Size>, scale: f64) -> Self {
        Self { at: at.into().to_logical(scale), size: size.into().to_logical(scale) }
    }

    fn middle(&self) -> f64 {
        self.at.x + self.size.width / 2.0
    }

    fn holds(&self, x: f64, y: f64) -> bool {
        (self.at.x..self.at.x + self.size.width).contains(&x) && (self.at.y..self.at.y + self.size.height).contains(&y)
    }
}

/// Where a window hangs below an icon and does not leave its screen. The icon's place is given in pixels of a screen that is not
/// named: it is one that holds it, and on which it is no lower than icons are.
fn below(icon: Rect, screens: &[Screen]) -> Option<LogicalPosition<f64>> {
    const LOWEST_ICON: f64 = 20.0;
    let fitting = screens.iter().filter_map(|screen| {
        let icon = Area::new(icon.position, icon.size, screen.scale);
        (icon.size.height >= LOWEST_ICON && screen.area.holds(icon.middle(), icon.at.y)).then_some((screen, icon))
    });
    let (screen, icon) = fitting.max_by(|(one, _), (other, _)| one.scale.total_cmp(&other.scale))?;
    let Area { at, size } = &screen.area;
    let rightmost = (at.x + size.width - SIZE.0).max(at.x);
    let left = (icon.middle() - SIZE.0 / 2.0).clamp(at.x, rightmost);
    Some(LogicalPosition::new(left, icon.at.y + icon.size.height))
}

/// Where the pages are: at the server, else in the app.
fn home(app: &AppHandle) -> Url {
    match app.state::<Server>().state() {
        State::Ready { url, server } if server.is_managed() => url.parse().unwrap_or_else(|_| own()),
        _ => own(),
    }
}

/// A page's address there, which signs in where need be.
fn address(app: &AppHandle, page: &str) -> Result<Url> {
    let link = match app.state::<Server>().state() {
        State::Ready { server, .. } => server.link(),
        _ => None,
    };
    Ok(link.map(|link| format!("{link}/{page}").parse()).transpose()?.unwrap_or_else(own))
}

/// The pages in the app itself.
fn own() -> Url {
    Url::parse("tauri://localhost").expect("it is an address")
}

fn is_own(url: &Url) -> bool {
    url.scheme() == "tauri" && url.host_str() == Some("localhost")
}

/// Whether the window may go there. It is not opened outside instead, for no person asked for that: it may be a page whose server
/// was stopped just then.
fn stays_inside(app: &AppHandle, url: &Url) -> bool {
    let is_server = match app.state::<Server>().state() {
        State::Ready { url: server, .. } => server.parse::<Url>().is_ok_and(|server| server.origin() == url.origin()),
        _ => false,
    };
    is_server || is_own(url) || url.as_str() == BLANK
}

/// Opens a page of the web in the person's browser, or a letter in their mail program.
pub(crate) fn open_outside(url: &Url) -> Result<()> {
    if !["http", "https", "mailto"].contains(&url.scheme()) {
        bail!("{url} is no page of the web");
    }
    hearth::browser::open(url.as_str())
}

/// Ends the app: first the server in order, in the background, so that nothing stands still meanwhile.
pub(crate) fn quit(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        app.state::<Server>().stop().await;
        app.exit(0);
    });
}

#[cfg(test)]
mod tests {
    use tauri::{PhysicalPosition, PhysicalSize};

    use super::*;

    fn icon(x: i32, y: i32, height: u32) -> Rect {
        Rect { position: PhysicalPosition::new(x, y).into(), size: PhysicalSize::new(44_u32, height).into() }
    }

    fn screen(scale: f64, x: f64, width: f64) -> Screen {
        Screen { scale, area: Area { at: LogicalPosition::new(x, 0.0), size: LogicalSize::new(width, 900.0) } }
    }

    #[test]
    fn the_window_hangs_below_the_icon_and_does_not_leave_the_screen() {
        let laptop = [screen(2.0, 0.0, 1512.0)];
        let left = |x| below(icon(x, 0, 48), &laptop).unwrap().x;
        assert_eq!(below(icon(1600, 0, 48), &laptop), Some(LogicalPosition::new(311.0, 24.0)));
        assert_eq!((left(2300), left(100)), (512.0, 0.0), "at the right and at the left");
        assert_eq!(below(icon(4000, 0, 48), &laptop), None, "an icon that is hidden");
    }

    #[test]
    fn an_icon_is_on_the_screen_whose_pixels_its_place_is_given_in() {
        let two = [screen(2.0, 0.0, 1512.0), screen(1.0, 1512.0, 1920.0), screen(1.0, -1920.0, 1920.0)];
        let left = |x, height| below(icon(x, 0, height), &two).unwrap().x;
        assert_eq!(left(2300, 48), 512.0, "on the laptop");
        assert_eq!(left(2300, 24), 1822.0, "on the one at its right");
        assert_eq!(left(-200, 24), -1000.0, "on the one at its left");
    }
}
