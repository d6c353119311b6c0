//! Sessions: conversations that the server keeps under names which clients choose. `named` reads the name from a request,
//! `routes` lists, shows, names, copies and deletes them, `types` are the shapes of that.
//!
//! They are Hearth's own, and the same whatever protocol a conversation is held in.

mod named;
pub(crate) mod routes;
mod types;

pub(crate) use named::{HEADER, named};
