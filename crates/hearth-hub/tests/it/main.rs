//! Downloads against a Hub of our own: what a person gets, and what is on the disk.

mod faults;
mod kill;
mod layout;
mod lists;
mod share;
mod stop;
mod support;
