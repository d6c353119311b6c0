//! What the library cannot do, each in one sentence that says what to do instead.

use hearth_hub::{
    error::HubError,
    names::{BadName, Unresolved},
    remove::RemoveError,
};

/// A result of the library.
pub type Result<T, E = LibraryError> = std::result::Result<T, E>;

/// Why the library did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// No model, or more than one, has this name.
    #[error(transparent)]
    Unknown(#[from] Unresolved),
    /// No model that is known has this name, and some folders cannot be looked into.
    #[error("{unknown}; or it is in {silent}, which does not answer: see whether its disk is still there")]
    Unseen {
        /// What is known.
        unknown: Unresolved,
        /// The folders.
        silent: String,
    },
    /// A name that no model can have.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// The database's: a name that is taken, among others.
    #[error(transparent)]
    Store(#[from] hearth_store::Error),
    /// The Hub's.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// Files that are left alone, or could not be removed.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// What a repository's configuration says cannot be reckoned with.
    #[error("{0}")]
    Config(hearth_core::Error),
    /// The built-in model stays.
    #[error("{0} is part of Hearth and cannot be removed")]
    Builtin(String),
    /// A folder that does not answer.
    #[error("{0}")]
    Silent(String),
    /// Files that are about to go.
    #[error("{0} is being removed: wait for that")]
    Removing(String),
    /// Files that are about to come.
    #[error("{repo} is being downloaded (download {id}): cancel that first")]
    Downloading {
        /// `owner/name`.
        repo: String,
        /// The download.
        id: i64,
    },
    /// A repository is downloaded in one revision at a time.
    #[error("{repo} is being downloaded at revision {revision} (download {id}): wait for its end, or cancel it")]
    OtherRevision {
        /// `owner/name`.
        repo: String,
        /// What is downloaded.
        revision: String,
        /// The download.
        id: i64,
    },
    /// There is no such download.
    #[error("there is no download {0}; list them again")]
    NoDownload(i64),
    /// It has ended.
    #[error("download {id} has ended ({state}): start it anew")]
    Ended {
        /// The download.
        id: i64,
        /// How.
        state: &'static str,
    },
    /// A setting that is not known, or not of its kind.
    #[error("{key} must be {expected}, not {given}")]
    Setting {
        /// The setting.
        key: String,
        /// What it should be.
        expected: String,
        /// What it was to be.
        given: String,
    },
    /// A setting that there is not.
    #[error("there is no setting `{key}`; there are {known}")]
    NoSetting {
        /// What was to be set.
        key: String,
        /// The settings that there are.
        known: String,
    },
}
