//! Tests of the conversions alone: no engine, no socket.

mod answers;
mod requests;
