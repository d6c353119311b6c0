//! What Hearth remembers between starts, in one SQLite database. A file for each table: its row, its queries, its tests.

mod aliases;
mod conversations;
mod downloads;
mod error;
mod messages;
mod migrations;
mod models;
mod open;
mod settings;
#[cfg(test)]
mod testing;

pub use aliases::Alias;
pub use conversations::{Conversation, ConversationChanges};
pub use downloads::{Download, DownloadState};
pub use error::{Error, Result};
pub use messages::{Message, MessageChanges, NewMessage, Role};
pub use models::{Model, ModelChange, ModelSettings};
pub use open::{Opened, Store};
