//! Taking the server's port, and saying who has it when it is taken.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why a listener could not be had.
#[derive(Debug)]
pub enum BindError {
    /// Another process listens there.
    Taken {
        /// The address as it was asked for.
        host: String,
        /// The port.
        port: u16,
        /// Who listens there, where the system tells.
        holder: Option<Holder>,
    },
    /// The system said no for another reason.
    Other {
        /// The address as it was asked for.
        host: String,
        /// The port.
        port: u16,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { host, port, holder } => {
                let by = holder.as_ref().map_or("another process".to_owned(), ToString::to_string);
                write!(f, "port {port} on {host} is taken by {by}; stop it, or choose another port with --port")
            }
            Self::Other { host, port, error } => write!(f, "cannot listen on {host}, port {port}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

/// Listens at `host` and `port`; port 0 takes any free one.
pub async fn bind(host: &str, port: u16) -> Result<TcpListener, BindError> {
    listen(host, port).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => BindError::Taken { host: host.to_owned(), port, holder: holder(port) },
        _ => BindError::Other { host: host.to_owned(), port, error },
    })
}

async fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    #[cfg(target_os = "macos")]
    if is_answered(bare, port).await {
        return Err(ErrorKind::AddrInUse.into());
    }
    TcpListener::bind((bare, port)).await
}

/// Whether somebody listens there already. macOS lets one program listen at one address of a port that another has at all of
/// them, and takes its clients away.
#[cfg(target_os = "macos")]
async fn is_answered(host: &str, port: u16) -> bool {
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(200);
    let connecting = tokio::net::TcpStream::connect((host, port));
    port != 0 && tokio::time::timeout(PATIENCE, connecting).await.is_ok_and(|connected| connected.is_ok())
}

/// The next port after `port` that can be listened on at `host`; none of the next hundred may be free.
pub async fn next_free(host: &str, port: u16) -> Option<u16> {
    for next in (port..=port.saturating_add(100)).skip(1) {
        // It may be taken by the time that somebody wants it; then they hear of it.
        if listen(host, next).await.is_ok() {
            return Some(next);
        }
    }
    None
}

/// `http://…` for a bound address; an address that means "all" is shown as the loopback address, which one can open.
pub fn base_url(address: SocketAddr) -> String {
    let mut shown = address;
    if address.ip().is_unspecified() {
        shown.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{shown}")
}

/// Whether a [`base_url`] is one of loopback's.
pub(crate) fn is_local(base_url: &str) -> bool {
    let address = base_url.strip_prefix("http://").and_then(|address| address.parse().ok());
    address.is_some_and(|address: SocketAddr| address.ip().is_loopback())
}

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its program's name.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Who listens on `port`: a socket's inode from the kernel's table, then the process that has it open. A process of
/// another user hides its files, so there may be no answer.
#[cfg(target_os = "linux")]
fn holder(port: u16) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<String> = tables.iter().flat_map(|table| listening_inodes(table, port)).collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.into_iter().find(|&pid| has_open(pid, &sockets))?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Holder { name: name.trim_end().to_owned(), pid })
}

/// The links in `/proc/<pid>/fd` that stand for sockets listening on `port`, from the text of `/proc/net/tcp`.
#[cfg(target_os = "linux")]
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = rows.filter(|row| row.len() > 9 && row[1].ends_with(&suffix) && row[3] == LISTEN);
    listening.map(|row| format!("socket:[{}]", row[9])).collect()
}

#[cfg(target_os = "linux")]
fn has_open(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

/// Who listens on `port`, asked of `lsof`, which every Mac has.
#[cfg(target_os = "macos")]
fn holder(port: u16) -> Option<Holder> {
    let arguments = ["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fpc"];
    let answer = std::process::Command::new("/usr/sbin/lsof").args(arguments).output().ok()?;
    let answer = String::from_utf8_lossy(&answer.stdout);
    let field = |letter: char| answer.lines().find_map(|line| line.strip_prefix(letter));
    Some(Holder { name: field('c')?.to_owned(), pid: field('p')?.parse().ok()? })
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn holder(_port: u16) -> Option<Holder> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let first = bind("127.0.0.1", 0).await.expect("a free port");
        let port = first.local_addr().expect("bound").port();
        let error = bind("127.0.0.1", port).await.expect_err("taken");
        let message = error.to_string();
        assert!(matches!(error, BindError::Taken { .. }), "{message}");
        assert!(message.contains(&format!("(process {})", std::process::id())), "{message}");
    }

    #[tokio::test]
    async fn the_next_free_port_is_one_that_nobody_listens_on() {
        let first = bind("127.0.0.1", 0).await.expect("a free port");
        let port = first.local_addr().expect("bound").port();
        let next = next_free("127.0.0.1", port).await.expect("one of a hundred");
        assert!(next > port && bind("127.0.0.1", next).await.is_ok(), "{next} after {port}");
        assert_eq!(next_free("127.0.0.1", u16::MAX).await, None);
        assert_eq!(next_free("192.0.2.1", port).await, None);
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        let error = bind("192.0.2.1", 0).await.expect_err("not ours");
        assert!(error.to_string().starts_with("cannot listen on 192.0.2.1, port 0: "), "{error}");
    }

    #[test]
    fn all_addresses_are_shown_as_one_that_opens() {
        let shown = |text: &str| base_url(text.parse().expect("an address"));
        assert_eq!(shown("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(shown("[::]:1"), "http://[::1]:1");
        assert_eq!(shown("192.168.1.7:9"), "http://192.168.1.7:9");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
             1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n\
             2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n";
        assert_eq!(listening_inodes(table, 8080), ["socket:[4711]"]);
    }
}
