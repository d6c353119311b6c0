//! The app's one window. It shows the pages that the server inside serves, and where that does not run the same build of them from
//! the app, which then offers to start it. Everything else opens in the person's browser.

use std::time::Duration;

use anyhow::{Result, bail};
use tauri::{AppHandle, Manager, Rect, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder};
use tokio::time::timeout;

use crate::server::{Server, State};

const LABEL: &str = "main";

/// Width and height in points, and the least that pages are made for.
const SIZE: (f64, f64) = (1000.0, 700.0);
const LEAST: (f64, f64) = (420.0, 480.0);

/// How long a window waits for the server.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows the window, below the icon where its place is known.
pub(crate) fn open(app: &AppHandle, icon: Option<Rect>) {
    let shown = match app.get_webview_window(LABEL) {
        Some(window) => show(&window),
        None => create(app, icon),
    };
    if let Err(error) = shown {
        tracing::warn!("the window cannot be opened: {error:#}");
    }
}

/// Shows the window as soon as it is known what it shows: a server mostly starts within the blink of an eye.
pub(crate) fn open_soon(app: &AppHandle) {
    let (app, mut states) = (app.clone(), app.state::<Server>().states());
    tauri::async_runtime::spawn(async move {
        let started = states.wait_for(|state| !matches!(state, State::Stopped | State::Starting));
        // Late, or never: the page says so.
        let _ = timeout(PATIENCE, started).await;
        let handle = app.clone();
        let _ = app.run_on_main_thread(move || open(&handle, None));
    });
}

/// Shows the window at one of its pages.
pub(crate) fn open_at(app: &AppHandle, page: &str) {
    open(app, None);
    if let Some(window) = app.get_webview_window(LABEL) {
        // The pages go by what stands behind the `#`.
        let _ = window.eval(format!("location.hash = '#/{page}'"));
    }
}

/// Turns the window to where the pages are now.
pub(crate) fn follow(app: &AppHandle) {
    let Some(window) = app.get_webview_window(LABEL) else { return };
    let (Ok(there), Ok(at)) = (address(app), window.url()) else { return };
    if there.origin() != at.origin()
        && let Err(error) = window.navigate(there)
    {
        tracing::warn!("the window stays where it is: {error}");
    }
}

fn show(window: &WebviewWindow) -> Result<()> {
    window.unminimize()?;
    window.show()?;
    Ok(window.set_focus()?)
}

fn create(app: &AppHandle, icon: Option<Rect>) -> Result<()> {
    let address = address(app)?;
    let page = if address.scheme() == "tauri" { WebviewUrl::default() } else { WebviewUrl::External(address) };
    let guarded = app.clone();
    let window = WebviewWindowBuilder::new(app, LABEL, page)
        .title("Hearth")
        .inner_size(SIZE.0, SIZE.1)
        .min_inner_size(LEAST.0, LEAST.1)
        .on_navigation(move |url| stays_inside(&guarded, url))
        .visible(false)
        .build()?;
    if let Some(icon) = icon {
        let scale = window.scale_factor()?;
        window.set_position(below(icon, window.outer_size()?.width, scale))?;
    }
    show(&window)
}

/// Where a window of this width hangs below an icon, in pixels.
fn below(icon: Rect, width: u32, scale: f64) -> tauri::PhysicalPosition<f64> {
    let (at, size) = (icon.position.to_physical::<f64>(scale), icon.size.to_physical::<f64>(scale));
    let left = at.x + size.width / 2.0 - f64::from(width) / 2.0;
    tauri::PhysicalPosition::new(left.max(0.0), at.y + size.height)
}

/// Where the pages are: at the server, with a fresh one-time link, else in the app.
fn address(app: &AppHandle) -> Result<Url> {
    let link = match app.state::<Server>().state() {
        State::Ready { server, .. } => server.link(),
        _ => None,
    };
    Ok(link.as_deref().unwrap_or("tauri://localhost").parse()?)
}

/// Whether the window may go there; a page of the web opens in the browser.
fn stays_inside(app: &AppHandle, url: &Url) -> bool {
    let own = url.scheme() == "tauri" || url.as_str() == "about:blank";
    let server = match app.state::<Server>().state() {
        State::Ready { url: server, .. } => server.parse::<Url>().is_ok_and(|server| server.origin() == url.origin()),
        _ => false,
    };
    if !own && !server {
        let _ = open_outside(url);
    }
    own || server
}

/// Opens a page of the web in the person's browser.
pub(crate) fn open_outside(url: &Url) -> Result<()> {
    if !["http", "https"].contains(&url.scheme()) {
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

    #[test]
    fn the_window_hangs_below_the_icon_and_not_off_the_screen() {
        let icon = |x: f64| Rect {
            position: PhysicalPosition::new(x, 0.0).into(),
            size: PhysicalSize::new(44.0, 48.0).into(),
        };
        assert_eq!(below(icon(1978.0), 1000, 2.0), PhysicalPosition::new(1500.0, 48.0));
        assert_eq!(below(icon(100.0), 1000, 2.0), PhysicalPosition::new(0.0, 48.0));
    }
}
