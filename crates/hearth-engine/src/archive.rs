//! The sessions of all models that have had one name: one store, for they have one folder. A model whose settings have changed
//! is another, which begins while the old one may still answer.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hearth_core::task::SessionKey;

use crate::pool::{Pool, WeakPool};
use crate::sessions::{self, SessionOptions, Sessions};

/// See the module.
#[derive(Default)]
pub(crate) struct Archive {
    sessions: OnceLock<Sessions>,
    /// Whose workers may have caches of the sessions.
    pools: Arc<Mutex<Vec<WeakPool>>>,
}

impl Archive {
    /// From now on the pool's workers are told what they have to forget.
    pub(crate) fn join(&self, pool: &Pool) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool.downgrade());
    }

    /// The sessions, where their files are read already.
    pub(crate) fn get(&self) -> Option<&Sessions> {
        self.sessions.get()
    }

    /// The sessions of the model called `model`; their files are read from here on.
    pub(crate) fn open(&self, model: &str, options: &SessionOptions) -> &Sessions {
        self.sessions.get_or_init(|| {
            let pools = self.pools.clone();
            let forget = move |session: SessionKey| {
                // Those whose models have ended are gone.
                pools.lock().unwrap_or_else(PoisonError::into_inner).retain(|pool| pool.forget(session));
            };
            Sessions::new(model, options.clone(), sessions::clock(), Arc::new(forget))
        })
    }
}
