//! The whole HTTP surface, over real sockets on loopback, with a runner that needs no model.

mod admin;
mod auth;
mod bodies;
mod chat;
mod connections;
mod guard;
mod models;
mod paths;
mod sessions;
mod support;
