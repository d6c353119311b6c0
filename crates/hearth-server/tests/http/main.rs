//! The whole HTTP surface, over real sockets on loopback, with a runner that needs no model.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod activity;
mod admin;
mod auth;
mod bodies;
mod chat;
mod connections;
mod conversations;
mod guard;
mod models;
mod paths;
mod sessions;
mod settings;
mod support;
mod ui;
