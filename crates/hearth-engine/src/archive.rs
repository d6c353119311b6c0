//! The sessions of all models that have had one name: one store, for they have one folder. A model whose settings have changed
//! is another, which begins while the old one may still answer.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hearth_core::task::SessionKey;

use crate::pool::{Pool, WeakPool};
use crate::sessions::{self, SessionOptions, Sessions};

/// How long the end waits for sessions to be written.
const FLUSH: Duration = Duration::from_secs(5);

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
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(WeakPool::is_alive);
        pools.push(pool.downgrade());
    }

    /// The sessions, where their files are read already.
    pub(crate) fn get(&self) -> Option<&Sessions> {
        self.sessions.get()
    }

    /// Whether nothing is lost with it.
    pub(crate) fn is_stored(&self) -> bool {
        self.get().is_none_or(Sessions::is_stored)
    }

    /// Waits until the sessions of the model called `model` are written, in a few seconds at most.
    pub(crate) async fn flush(&self, model: &str) {
        if let Some(sessions) = self.get()
            && !sessions.flush(FLUSH).await
        {
            tracing::warn!("some sessions with {model} were not saved in time");
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Placement;
    use crate::stats::{Pulse, Stats};
    use crate::worker::{CacheOptions, LoadRequest};

    #[test]
    fn pools_that_have_ended_are_let_go_of() {
        let archive = Archive::default();
        let placement = Placement::Process { executable: "/none".into(), args: Vec::new() };
        let pool = || {
            let load = LoadRequest { dir: "/none".into(), context: None, max_batch: 1, cache: CacheOptions::default() };
            Pool::new("m", placement.clone(), load, Arc::new(Stats::new(Pulse::default()))).0
        };
        (0..100).for_each(|_| archive.join(&pool()));
        assert_eq!(archive.pools.lock().unwrap().len(), 1);
    }
}
