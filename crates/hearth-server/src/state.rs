//! What all handlers share, and what an operator may set.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use hearth_engine::Engine;

use crate::{activity::Activity, admin::Admin, ui::Files};

/// The engine and the options: cheap to clone, as axum wants its state.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) engine: Engine,
    pub(crate) options: Arc<ServerOptions>,
    pub(crate) activity: Activity,
}

/// How the routes behave.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The wire formats to serve.
    pub protocols: Protocols,
    /// When set, every request but those for `/health` and `/healthz` must carry it.
    pub api_key: Option<String>,
    /// Web pages that may call the server and read its answers (`https://chat.example.com`); `*` is any page.
    pub cors_origins: Vec<String>,
    /// Names in `Host` that are answered besides loopback's and the connection's own address: `name` with any port, or
    /// `name:port`. For a server behind a proxy, or one bound to a name.
    pub allowed_hosts: Vec<String>,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// A request's body may pause for so long.
    pub body_timeout: Duration,
    /// A stream that is silent for so long gets a comment, so that nobody in between takes it for dead.
    pub keep_alive: Duration,
    /// What the management API serves, where there is one.
    pub admin: Option<Admin>,
    /// The files of Hearth's own page, where it is served.
    pub ui: Option<Files>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            protocols: Protocols::default(),
            api_key: None,
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            max_body: 32 << 20,
            body_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(5),
            admin: None,
            ui: None,
        }
    }
}

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's, at `/v1` and without it.
    OpenAi,
}

impl Protocol {
    /// All that this version speaks.
    pub const ALL: [Protocol; 1] = [Protocol::OpenAi];

    /// The name on the command line and in `/health`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::OpenAi => "openai",
        }
    }
}

/// The wire formats that are served, in the order of [`Protocol::ALL`]; by default all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocols(Vec<Protocol>);

impl Protocols {
    /// Names that mean something, but nothing yet.
    const PLANNED: [&str; 2] = ["ollama", "anthropic"];

    /// Whether `protocol` is among them.
    pub fn contains(&self, protocol: Protocol) -> bool {
        self.0.contains(&protocol)
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|protocol| protocol.as_str()).collect()
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Self(Protocol::ALL.to_vec())
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

impl FromStr for Protocols {
    type Err = String;

    /// Reads a list with commas, without regard to case and spaces; all where it is empty.
    fn from_str(list: &str) -> Result<Self, String> {
        let names: Vec<_> = list.split(',').map(|name| name.trim().to_lowercase()).filter(|n| !n.is_empty()).collect();
        let spoken = |name: &str| Protocol::ALL.iter().any(|known| known.as_str() == name);
        if let Some(name) = names.iter().find(|name| !spoken(name)) {
            return Err(not_spoken(name));
        }
        let chosen = |protocol: &Protocol| names.is_empty() || names.iter().any(|name| name == protocol.as_str());
        Ok(Self(Protocol::ALL.into_iter().filter(chosen).collect()))
    }
}

fn not_spoken(name: &str) -> String {
    let (spoken, planned) = (Protocols::default(), Protocols::PLANNED);
    if planned.contains(&name) {
        return format!("Protocol '{name}' is not in this version yet. Use {spoken}");
    }
    format!("Unknown protocol '{name}'. Valid options: {spoken}, {}", planned.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_read_from_a_list() {
        for (list, expected) in [
            ("openai", Ok("openai")),
            (" OpenAI ,, ", Ok("openai")),
            ("", Ok("openai")),
            ("openai,telnet", Err("Unknown protocol 'telnet'. Valid options: openai, ollama, anthropic")),
            ("ollama", Err("Protocol 'ollama' is not in this version yet. Use openai")),
        ] {
            let read = list.parse::<Protocols>().map(|protocols| protocols.to_string());
            assert_eq!(read.as_deref().map_err(String::as_str), expected, "{list:?}");
        }
    }
}
