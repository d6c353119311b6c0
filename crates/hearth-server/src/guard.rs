//! Keeps web pages out: a server on loopback is within reach of every page that its owner's browser shows.
//!
//! - `Host` must name this server, or a page whose name resolves to 127.0.0.1 (DNS rebinding) would pass for its own. The
//!   machine's own name, which others on its network use, counts only where they connect, never on loopback.
//! - A request that may change something must not come from another site's page: browsers tell by `Origin` and
//!   `Sec-Fetch-Site`, and cannot send `application/json` to another site without asking first (a CORS preflight).
//!
//! Origins on the operator's list may call, preflight included, and read the answers; but not the management API, where no
//! page of another site may as much as ask. All of it is decided before the body is read.

use std::net::SocketAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use rustix::system::uname;

use crate::{
    admin,
    error::ApiError,
    state::{AppState, ServerOptions},
};

/// The server's address on the connection that a request came by: an extension that `serve` sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalAddr(pub(crate) SocketAddr);

/// The client's address on that connection: an extension too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddr(pub(crate) SocketAddr);

/// Middleware: refuses what no client of ours sends, and answers preflights.
pub(crate) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let origins = if admin::is_below(request.uri().path()) { &[][..] } else { &state.options.cors_origins };
    let listed = listed_origin(request.headers(), origins);
    let response = match check(&request, &state.options, listed.is_some()) {
        Err(error) => error.into_response(),
        Ok(()) if listed.is_some() && is_preflight(&request) => preflight(request.headers()),
        Ok(()) => next.run(request).await,
    };
    with_cors(response, listed)
}

/// The request's origin, where the operator lets its pages read our answers.
fn listed_origin(headers: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.iter().any(|listed| listed == "*" || listed.as_bytes() == origin).then(|| origin.clone())
}

fn check(request: &Request, options: &ServerOptions, listed: bool) -> Result<(), ApiError> {
    let host = host(request, options)?;
    let harmless = request.method().is_safe() && !is_preflight(request) && !admin::is_below(request.uri().path());
    if !harmless && !listed {
        own_page(request.headers(), host)?;
    }
    json_body(request)
}

fn host<'a>(request: &'a Request, options: &ServerOptions) -> Result<&'a str, ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(
            ApiError::new(StatusCode::FORBIDDEN, "A request must have one Host header.").code("host_not_allowed")
        );
    };
    let host = host.to_str().unwrap_or_default();
    let local = request.extensions().get::<LocalAddr>().map(|LocalAddr(local)| *local);
    for name in [Some(host), authority(request.uri())].into_iter().flatten() {
        if !is_own(name, local, own_name) && !is_allowed(name, &options.allowed_hosts) {
            let own = local.map(|local| SocketAddr::new(local.ip().to_canonical(), local.port()).to_string());
            let own = own.as_deref().unwrap_or("127.0.0.1");
            let message = format!("The host {name:?} is not this server's: use {own}, or let --allowed-host add it.");
            return Err(ApiError::new(StatusCode::FORBIDDEN, message).code("host_not_allowed"));
        }
    }
    Ok(host)
}

/// The host of a request line with an absolute URI, which counts more than the header.
fn authority(uri: &Uri) -> Option<&str> {
    uri.authority().map(|authority| authority.as_str())
}

/// Whether `host` is a name of loopback, or the very address that the client connected to, or from another machine this one's
/// name; with the port it used. Without a connection of ours (another server embeds the router) any port will do.
fn is_own(host: &str, local: Option<SocketAddr>, own_name: impl Fn() -> String) -> bool {
    let (name, port) = split(host);
    let address = local.map(|local| local.ip().to_canonical());
    let literal = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    let named = ["127.0.0.1", "[::1]", "localhost"].iter().any(|own| own.eq_ignore_ascii_case(name))
        || address.is_some_and(|address| {
            literal.parse() == Ok(address) || (!address.is_loopback() && is_machine(name, &own_name()))
        });
    named && local.is_none_or(|local| port.unwrap_or("80") == local.port().to_string())
}

/// Whether a machine that calls itself `own` is called `name` by others: so, or with the ending that local networks give.
fn is_machine(name: &str, own: &str) -> bool {
    const LOCAL: &str = ".local";
    let (name, own) = (name.to_lowercase(), own.to_lowercase());
    let bare = |name: &str| name.strip_suffix(LOCAL).unwrap_or(name).to_owned();
    !own.is_empty() && bare(&name) == bare(&own)
}

/// What this machine calls itself.
fn own_name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

fn is_allowed(host: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|entry| entry.eq_ignore_ascii_case(host) || entry.eq_ignore_ascii_case(split(host).0))
}

/// `name:port` apart; an IPv6 address keeps its brackets.
fn split(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Whether the request comes from a page of this server, or from no page at all.
fn own_page(headers: &HeaderMap, host: &str) -> Result<(), ApiError> {
    let foreign = |message: String| ApiError::new(StatusCode::FORBIDDEN, message).code("origin_not_allowed");
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("(not text)");
        let site = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        return match site.is_some_and(|site| site.eq_ignore_ascii_case(host)) {
            true => Ok(()),
            false => Err(foreign(format!("Pages of {origin} may not call this server: --cors-origin adds it."))),
        };
    }
    // "same-site" is another port of this machine: somebody else's page too.
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    match site {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(foreign("Pages of other sites may not call this server.".to_owned())),
    }
}

fn json_body(request: &Request) -> Result<(), ApiError> {
    if ![Method::POST, Method::PATCH].contains(request.method()) {
        return Ok(());
    }
    let given = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence = given.and_then(|given| given.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let given = given.map_or("missing".to_owned(), |given| format!("{given:?}"));
    let message = format!(
        "The Content-Type must be application/json and is {given} (curl: -H 'Content-Type: application/json')."
    );
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).code("unsupported_media_type"))
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PATCH, DELETE"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

fn with_cors(mut response: Response, origin: Option<HeaderValue>) -> Response {
    if let Some(origin) = origin {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_was_connected_to_is_a_name_of_ours() {
        let name = || "my-mac".to_owned();
        for (host, local, own) in [
            ("192.168.1.5:8080", "192.168.1.5:8080", true),
            ("192.168.1.5:8080", "[::ffff:192.168.1.5]:8080", true),
            ("192.168.1.6:8080", "192.168.1.5:8080", false),
            ("localhost:8080", "192.168.1.5:8080", true),
            ("[fe80::1]:8080", "[fe80::1]:8080", true),
            ("[FE80:0::1]:8080", "[fe80::1]:8080", true),
            ("[fe80::2]:8080", "[fe80::1]:8080", false),
            ("fe80::1", "[fe80::1]:80", false),
            ("[fe80::1]", "[fe80::1]:80", true),
            ("localhost", "127.0.0.1:80", true),
            ("localhost", "127.0.0.1:8080", false),
            ("localhost:80", "127.0.0.1:8080", false),
            ("localhost:", "127.0.0.1:8080", false),
            ("localhost:08080", "127.0.0.1:8080", false),
            ("", "127.0.0.1:80", false),
            (":80", "127.0.0.1:80", false),
        ] {
            assert_eq!(is_own(host, local.parse().ok(), name), own, "{host} at {local}");
        }
        assert!(is_own("localhost:1234", None, name), "another server's router does not tell its port");
        assert!(!is_own("evil.com:1234", None, name) && !is_own("my-mac", None, name));
    }

    /// On loopback a page's own name could be this one (T1).
    #[test]
    fn the_machines_name_is_a_name_of_ours_for_other_machines() {
        for (host, local, own) in [
            ("My-Mac.local:8080", "192.168.1.5:8080", true),
            ("my-mac:8080", "[fe80::1]:8080", true),
            ("my-mac.local:8081", "192.168.1.5:8080", false),
            ("my-mac.local.evil.com:8080", "192.168.1.5:8080", false),
            ("other.local:8080", "192.168.1.5:8080", false),
            (".local:8080", "192.168.1.5:8080", false),
            ("my-mac.local:8080", "127.0.0.1:8080", false),
            ("my-mac:8080", "[::1]:8080", false),
            ("my-mac:8080", "[::ffff:127.0.0.1]:8080", false),
        ] {
            for name in ["My-Mac", "my-mac.local"] {
                assert_eq!(is_own(host, local.parse().ok(), || name.to_owned()), own, "{host} at {local}");
            }
        }
        assert!(!is_own(":80", "10.0.0.1:80".parse().ok(), String::new));
        assert!(!own_name().is_empty());
    }
}
