//! What can go wrong between the Hub and the disk, each in one sentence that says what to do.

use std::io;
use std::path::PathBuf;

/// An error of a request, a download or the cache folder; its text is for a person.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A name that is not `owner/name`.
    #[error("`{0}` is not a model's name on the Hub: write owner/name, as in mlx-community/Qwen3-4B-4bit")]
    RepoName(String),
    /// A revision that git would not take.
    #[error("`{0}` is not a revision: give a branch, a tag or a commit")]
    RevisionName(String),
    /// A file name that leads elsewhere.
    #[error("the repository holds a file named `{0}`, which is not a plain relative path: it is not downloaded")]
    FileName(String),
    /// The repository cannot be stored as it is told.
    #[error("{repo} is not downloaded: {why}")]
    Refused {
        /// `owner/name`.
        repo: String,
        /// What is wrong with it.
        why: String,
    },
    /// A setting from the environment.
    #[error("{0}")]
    Setting(String),
    /// Offline mode is on.
    #[error("{0} cannot be reached in offline mode: unset HF_HUB_OFFLINE to go online")]
    Offline(String),
    /// There is no such repository, or it is private.
    #[error("there is no {repo} at {endpoint}: check the spelling{hint}")]
    NoRepo {
        /// `owner/name`.
        repo: String,
        /// The Hub's address.
        endpoint: String,
        /// What else to try.
        hint: &'static str,
    },
    /// The repository has no such revision.
    #[error("{repo} has no revision {revision}: leave it out for the newest")]
    NoRevision {
        /// `owner/name`.
        repo: String,
        /// What was asked for.
        revision: String,
    },
    /// A file that the Hub had listed is gone.
    #[error("{file} is no longer in {repo}: start the download again")]
    NoFile {
        /// `owner/name`.
        repo: String,
        /// Its name.
        file: String,
    },
    /// Terms have to be accepted.
    #[error("{repo} is gated: accept its terms at {page}{hint}")]
    Gated {
        /// `owner/name`.
        repo: String,
        /// Where a person accepts them.
        page: String,
        /// What else to do.
        hint: &'static str,
    },
    /// The token does not do.
    #[error("the Hub does not accept your token: make a new one at {0}/settings/tokens, and give it in HF_TOKEN")]
    Token(String),
    /// The token is known and not enough.
    #[error("your token may not read {repo}: ask for access at {page}, or give the token more rights")]
    Forbidden {
        /// `owner/name`.
        repo: String,
        /// Where a person asks for access.
        page: String,
    },
    /// Retries are used up.
    #[error("{endpoint} does not answer as it should ({why}): try again later")]
    Unreachable {
        /// The Hub's address.
        endpoint: String,
        /// What the last attempt met.
        why: String,
    },
    /// A server that does not speak TLS, or is not the one it should be.
    #[error(
        "{address} cannot be trusted ({why}): see whether the address is right (HF_ENDPOINT), this machine's clock, and \
         whether a proxy between has a certificate of its own that is not installed here"
    )]
    Tls {
        /// Its address.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// An answer that is not what the Hub's API says.
    #[error("the Hub's answer cannot be used: {0}")]
    Answer(String),
    /// A file whose hash is wrong again and again.
    #[error(
        "{file} does not have the content that the Hub lists ({why}), also when fetched again: report it to {repo}"
    )]
    WrongContent {
        /// `owner/name`.
        repo: String,
        /// Its name.
        file: String,
        /// How it differs.
        why: String,
    },
    /// Not enough room to begin.
    #[error("{} has too little room: {} are free, {} are needed ({} to download, {} in reserve)", dir.display(), bytes(*free), bytes(rest + reserve), bytes(*rest), bytes(*reserve))]
    NoRoom {
        /// The cache folder.
        dir: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes still to download.
        rest: u64,
        /// Bytes that stay free.
        reserve: u64,
    },
    /// The disk filled up meanwhile.
    #[error("the disk is full: make room for {}, then resume", path.display())]
    DiskFull {
        /// What could not be written.
        path: PathBuf,
    },
    /// Another user's files, or a disk that is read-only.
    #[error(
        "{} may not be read or written ({source}): make it yours, or name another folder in HF_HUB_CACHE", path.display()
    )]
    NoAccess {
        /// The file or folder.
        path: PathBuf,
        /// Which of both.
        source: io::Error,
    },
    /// The file system refuses.
    #[error("{} cannot be read or written: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl HubError {
    /// An error of the file system, with its culprit.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NoAccess { path, source },
            _ => Self::Io { path, source },
        }
    }
}

/// A count of bytes as a person reads it, in units of thousands, as disks are sold and the Hub counts.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_says_all_figures() {
        let error = HubError::NoRoom {
            dir: "/models".into(),
            free: 2_500_000_000,
            rest: 4_000_000_000,
            reserve: 1_000_000_000,
        };
        let text =
            "/models has too little room: 2.5 GB are free, 5.0 GB are needed (4.0 GB to download, 1.0 GB in reserve)";
        assert_eq!(error.to_string(), text);
    }
}
