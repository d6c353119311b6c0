//! What takes a look at a disk, which may sleep, or never answer again: nobody waits long for it, and what was seen last counts
//! meanwhile.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::library::on_thread;

/// It is looked at no more often than this.
const FRESH: Duration = Duration::from_secs(5);

/// How long a look is waited for. It goes on alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// A value, as it was last seen. Clones are handles of the same one.
#[derive(Clone)]
pub(super) struct Seen<T>(Arc<watch::Sender<Look<T>>>);

struct Look<T> {
    last: Option<T>,
    /// Since when somebody looks, or nobody does any more.
    since: Option<Instant>,
    is_under_way: bool,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Look { last: None, since: None, is_under_way: false })))
    }
}

impl<T: Clone + Send + Sync + 'static> Seen<T> {
    /// What `look` finds, or what was found a moment ago, or last where it takes long; `None` where nothing ever was.
    pub(super) async fn get(&self, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.0.send_if_modified(Look::begin) {
            let seen = self.clone();
            tokio::spawn(async move {
                let found = on_thread(look).await;
                seen.0.send_modify(|look| look.end(found));
            });
        }
        let mut looks = self.0.subscribe();
        let until = looks.borrow().since.unwrap_or_else(Instant::now) + PATIENCE;
        // An error: it takes long. It cannot close, since the sender is ours.
        let _ = timeout_at(until, looks.wait_for(|look| !look.is_under_way)).await;
        self.0.borrow().last.clone()
    }
}

impl<T> Look<T> {
    /// Whether it is time for another, which then is under way.
    fn begin(&mut self) -> bool {
        let begins = !self.is_under_way && self.since.is_none_or(|since| since.elapsed() >= FRESH);
        if begins {
            (self.is_under_way, self.since) = (true, Some(Instant::now()));
        }
        begins
    }

    fn end(&mut self, found: Option<T>) {
        self.last = found.or(self.last.take());
        (self.is_under_way, self.since) = (false, Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_disk_that_does_not_answer_holds_nobody_up() {
        let seen = Seen::default();
        assert_eq!(seen.get(|| 1).await, Some(1));
        assert_eq!(seen.get(|| 2).await, Some(1), "a moment ago");
        tokio::time::pause();
        tokio::time::advance(FRESH).await;
        let (open, gate) = mpsc::channel::<()>();
        let stuck = seen.get(move || {
            let _ = gate.recv();
            3
        });
        assert_eq!(stuck.await, Some(1));
        tokio::time::advance(FRESH).await;
        assert_eq!(seen.get(|| 4).await, Some(1), "one look at a time");
        drop(open);
        while seen.get(|| 5).await == Some(1) {
            tokio::task::yield_now().await;
        }
        assert_eq!(seen.get(|| 5).await, Some(3));
    }
}
