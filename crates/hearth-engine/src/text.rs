//! The text side of a model: its tokenizer and chat template, and where their work is done.
//!
//! Rendering and encoding take processor time that grows with the request and depends on a program from outside, the
//! template. So they run on blocking threads, a few at a time, and everyone else's streams go on.

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use hearth_core::chat::ChatRequest;
use hearth_core::{Error, ErrorKind, Result};
use hearth_text::{ChatTemplate, LocalTime, Prompt, Tokenizer};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long rendering and encoding may take before the request is given up. The template's fuel ends it some time.
const DEADLINE: Duration = Duration::from_secs(5);

/// What is done with a request and the moment.
type Work<T> = fn(&ChatTemplate, &Tokenizer, &ChatRequest, LocalTime) -> Result<T>;

/// A model's text side. Clones share all of it.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) tokenizer: Arc<Tokenizer>,
    template: Arc<ChatTemplate>,
    /// One for each core.
    threads: Arc<Semaphore>,
}

impl Text {
    /// Reads the model folder's tokenizer, and its template or the one at `chat_template`.
    pub(crate) fn load(dir: &Path, chat_template: Option<&Path>) -> Result<Self> {
        let tokenizer = Tokenizer::from_dir(dir)?;
        let template = match chat_template {
            Some(file) => {
                let source = std::fs::read_to_string(file).map_err(|error| {
                    Error::model_load(format!("The chat template {} cannot be read: {error}.", file.display()))
                })?;
                ChatTemplate::new(&source, tokenizer.special())?
            }
            None => ChatTemplate::from_dir(dir, tokenizer.special())?.ok_or_else(|| no_template(dir))?,
        };
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            tokenizer: Arc::new(tokenizer),
            template: Arc::new(template),
            threads: Arc::new(Semaphore::new(cores)),
        })
    }

    /// Renders and encodes `request`, away from the async threads.
    pub(crate) async fn prompt(&self, request: Arc<ChatRequest>) -> Result<Prompt> {
        self.run(request, hearth_text::prompt).await
    }

    /// The tokens with which the turn after `request` will begin; see [`hearth_text::history`].
    pub(crate) async fn history(&self, request: Arc<ChatRequest>) -> Result<Vec<u32>> {
        self.run(request, hearth_text::history).await
    }

    async fn run<T: Send + 'static>(&self, request: Arc<ChatRequest>, work: Work<T>) -> Result<T> {
        let closed = |_| Error::internal("The text threads are closed.");
        let permit = self.threads.clone().acquire_owned().await.map_err(closed)?;
        let (template, tokenizer) = (self.template.clone(), self.tokenizer.clone());
        let work = spawn_blocking(move || {
            let _permit = permit;
            work(&template, &tokenizer, &request, now())
        });
        match timeout(DEADLINE, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Error::internal("Rendering these messages failed; the log says where.")),
            Err(_) => {
                let message = format!("Rendering and encoding these messages took over {} s.", DEADLINE.as_secs());
                Err(Error { kind: ErrorKind::InvalidRequest, message, param: Some("messages".into()) })
            }
        }
    }
}

fn no_template(dir: &Path) -> Error {
    Error::model_load(format!(
        "The model in {} has no chat template: it has neither chat_template.jinja nor a chat_template in \
         tokenizer_config.json. Give one with --chat-template.",
        dir.display()
    ))
}

/// The wall clock, for templates that print a date.
fn now() -> LocalTime {
    let now = chrono::Local::now();
    LocalTime::from_unix(now.timestamp() + i64::from(now.offset().local_minus_utc()))
}
