//! What can go wrong with the database, each in a sentence for the person who runs Hearth.

use std::{io, path::PathBuf};

/// A result of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database's file or folder could not be made, opened or locked.
    #[error("cannot open {}: {source}; check that the folder can be written, or set HEARTH_HOME to another", .path.display())]
    File {
        /// The file at fault.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database is of a later version of Hearth. It is left as it is.
    #[error(
        "{} was written by a newer version of Hearth (schema {found}, this one knows {known}): install that version again, \
         or set HEARTH_HOME to another folder",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest schema that this build knows.
        known: i64,
    },
    /// A name that a model was to get is another model's.
    #[error("the name `{name}` belongs to {owner} already; choose another, or take it from that model first")]
    NameTaken {
        /// The name, in lower case.
        name: String,
        /// The source of the model that has it.
        owner: String,
    },
    /// There is no such row any more.
    #[error("there is no {0} any more; list them again")]
    Gone(&'static str),
    /// A value is stored that is not of the kind its reader wants, or cannot be stored as JSON.
    #[error("the setting `{key}` is not what it should be ({source}); set it again")]
    Setting {
        /// The setting.
        key: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// SQLite's own errors: a full disk, a file that turned unreadable.
    #[error("Hearth's database failed: {0}")]
    Database(#[from] sqlx::Error),
}
