//! Downloads against a Hub of our own: what a person gets, and what is on the disk.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod faults;
mod kill;
mod layout;
mod lists;
mod share;
mod stop;
mod support;
