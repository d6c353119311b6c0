//! The one error that crosses crates, processes and protocols: a kind for the status, a sentence for the person.

use serde::{Deserialize, Serialize};

/// `Result` with Hearth's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a protocol needs to know to choose a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The request is not valid: 400.
    InvalidRequest,
    /// Prompt and answer do not fit the context: 400, `context_length_exceeded`.
    ContextLengthExceeded,
    /// No such model: 404, `model_not_found`.
    ModelNotFound,
    /// The model's files cannot be loaded: 500.
    ModelLoad,
    /// The queue is full; the same request may succeed later: 429.
    Overloaded,
    /// Others hold the memory that the request needs; it may succeed later: 503.
    OutOfMemory,
    /// The model is answering, and so cannot be unloaded: 409.
    ModelBusy,
    /// Somebody unloaded the model while it answered: 503.
    ModelUnloaded,
    /// The server is stopping: 503.
    ShuttingDown,
    /// The worker died while it answered: 500.
    WorkerDied,
    /// A fault of Hearth's own: 500.
    Internal,
}

/// An error for people: one sentence that names the culprit and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    /// The class of the error.
    pub kind: ErrorKind,
    /// One sentence for a person.
    pub message: String,
    /// The request field at fault, where there is one.
    pub param: Option<String>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None }
    }

    /// A request that is not valid because of the field `param`.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidRequest, message: message.into(), param: Some(param.into()) }
    }

    /// A fault of Hearth's own.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A model folder that cannot be loaded.
    pub fn model_load(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ModelLoad, message)
    }
}
