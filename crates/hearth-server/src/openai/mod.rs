//! OpenAI's wire format: `types` are the answers' shapes, `convert` reads requests, `stream` and `whole` write answers.

pub(crate) mod chat;
mod content;
mod convert;
pub(crate) mod models;
mod stream;
#[cfg(test)]
mod tests;
mod tools;
mod types;
mod whole;
