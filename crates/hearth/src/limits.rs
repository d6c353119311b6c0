//! What the system lets a process hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for every connection that the server takes, and below what a Mac allows any process.
const OPEN_FILES: u64 = 8192;

/// Raises the number of files and sockets that may be open: a Mac's default of 256 is less than a server's connections.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!("the limit of open files cannot be raised, so fewer clients can be connected: {error}");
        }
    }
}
