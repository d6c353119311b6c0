//! Between two turns: bringing the cache to the form in which the next turn will render the conversation.
//!
//! A template may write a history unlike the prompts that it was made of. Many drop what the model thought, and then the
//! cache of the last answer ends to be of use where that began. What the next prompt will begin with is known as soon as
//! the answer is there, so the worker computes it while it has nothing else to do. All of this may fail, and nobody
//! waits for it.

use std::sync::Arc;

use hearth_core::Result;
use hearth_core::chat::{ChatRequest, Message};
use hearth_core::model::ModelFacts;
use hearth_core::task::Generate;
use tokio::runtime::Handle;

use crate::admission;
use crate::pool::Pool;
use crate::report::common;
use crate::sessions::Sessions;
use crate::text::Text;

/// What it takes to prepare a session's next turn.
pub(crate) struct Fill {
    pub(crate) text: Text,
    pub(crate) pool: Pool,
    pub(crate) sessions: Sessions,
    pub(crate) facts: ModelFacts,
    /// Whose tools and arguments the next turn will have.
    pub(crate) request: Arc<ChatRequest>,
    /// The stream may be read outside of the runtime.
    pub(crate) runtime: Handle,
}

impl Fill {
    /// Prepares session `id` for what follows `messages`, while the cache holds the tokens `cached`.
    ///
    /// It comes too late where the session has gone on meanwhile, and must not where it was deleted.
    pub(crate) fn start(self, id: String, messages: Arc<[Message]>, cached: Arc<[u32]>) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            match self.task(&id, &messages, &cached).await {
                Ok(Some(task)) => self.sessions.if_unchanged(&id, &messages, || self.pool.fill(task)),
                Ok(None) => {}
                Err(error) => tracing::debug!("a session's next turn is not prepared: {:?}", error.kind),
            }
        });
    }

    /// `None` where the cache will do as it is.
    async fn task(&self, id: &str, messages: &[Message], cached: &[u32]) -> Result<Option<Generate>> {
        let request = ChatRequest { messages: messages.to_vec(), ..ChatRequest::clone(&self.request) };
        let prompt = self.text.history(Arc::new(request)).await?;
        let same = common(&prompt, cached);
        if same == prompt.len() || same == cached.len() {
            return Ok(None);
        }
        admission::fill(prompt, &self.facts, self.sessions.key(id)).map(Some)
    }
}
