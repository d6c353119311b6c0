//! Downloads against a Hub of our own: what a person gets, and what is on the disk.

mod lists;
mod faults;
mod kill;
mod layout;
mod share;
mod stop;
mod support;
