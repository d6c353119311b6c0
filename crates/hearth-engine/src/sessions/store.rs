//! The sessions in memory: least recently used first to go, bounded by count, bytes and idle time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hearth_core::chat::Message;
use lru::LruCache;

use super::{Now, SessionInfo, SessionOptions};

/// What a message costs beside its texts.
const MESSAGE: usize = size_of::<Message>();

/// One conversation.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) id: String,
    /// What people call it.
    pub(super) title: Option<String>,
    pub(super) messages: Arc<[Message]>,
    /// Tokens of the last prompt and its answer.
    pub(super) tokens: usize,
    /// Those tokens; not known after a restart.
    pub(super) cached: Option<Arc<[u32]>>,
    pub(super) bytes: u64,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) last_used: u64,
    /// The same moment on the clock that never jumps.
    used: Duration,
}

impl Session {
    pub(super) fn new(id: String, messages: Vec<Message>, tokens: usize, cached: Option<Arc<[u32]>>) -> Self {
        let bytes = id.len() + messages.iter().map(size).sum::<usize>() + cached.as_deref().map_or(0, size_of_val);
        let messages = messages.into();
        let (title, used) = (None, Duration::ZERO);
        Self { id, title, messages, tokens, cached, bytes: bytes as u64, created: 0, last_used: 0, used }
    }

    /// The same conversation under another id, begun when it is stored.
    pub(super) fn fork(&self, id: String) -> Self {
        let bytes = self.bytes - self.id.len() as u64 + id.len() as u64;
        Self { id, bytes, created: 0, ..self.clone() }
    }
}

fn size(message: &Message) -> usize {
    let texts = [&message.content, &message.reasoning, &message.tool_call_id, &message.name];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let calls = message.tool_calls.iter().map(|call| {
        let arguments = call.arguments.iter().map(|(name, value)| name.len() + value.to_string().len());
        call.id.len() + call.name.len() + arguments.sum::<usize>()
    });
    MESSAGE + texts + calls.sum::<usize>()
}

/// A request's right to write a session.
pub(super) type Ticket = u64;

/// All sessions.
pub(super) struct Store {
    model: String,
    options: SessionOptions,
    sessions: LruCache<String, Session>,
    bytes: u64,
    /// Who may write, of the sessions that are in use.
    busy: HashMap<String, Ticket>,
    last_ticket: Ticket,
}

impl Store {
    /// Those of the model called `model`.
    pub(super) fn new(model: &str, options: SessionOptions) -> Self {
        Self {
            model: model.to_owned(),
            options,
            sessions: LruCache::unbounded(),
            bytes: 0,
            busy: HashMap::new(),
            last_ticket: 0,
        }
    }

    /// The session, used now.
    pub(super) fn take_up(&mut self, id: &str, now: Now) -> Option<Session> {
        let session = self.sessions.get_mut(id)?;
        (session.last_used, session.used) = (now.unix, now.uptime);
        Some(session.clone())
    }

    pub(super) fn get(&self, id: &str) -> Option<&Session> {
        self.sessions.peek(id)
    }

    /// The session under another title, which is no use of it.
    pub(super) fn rename(&mut self, id: &str, title: Option<String>) -> Option<&Session> {
        let session = self.sessions.peek_mut(id)?;
        session.title = title;
        Some(session)
    }

    /// The right to write the session, unless somebody has it.
    pub(super) fn claim(&mut self, id: &str) -> Option<Ticket> {
        if self.busy.contains_key(id) {
            return None;
        }
        self.last_ticket += 1;
        self.busy.insert(id.to_owned(), self.last_ticket);
        Some(self.last_ticket)
    }

    pub(super) fn holds(&self, id: &str, ticket: Ticket) -> bool {
        self.busy.get(id) == Some(&ticket)
    }

    pub(super) fn is_busy(&self, id: &str) -> bool {
        self.busy.contains_key(id)
    }

    /// Whether the session is stored, or about to be.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.sessions.contains(id) || self.is_busy(id)
    }

    /// Gives the right back; false where it was lost.
    pub(super) fn release(&mut self, id: &str, ticket: Ticket) -> bool {
        let holds = self.holds(id, ticket);
        if holds {
            self.busy.remove(id);
        }
        holds
    }

    /// Stores a session as used now.
    pub(super) fn put(&mut self, mut session: Session, now: Now) {
        (session.last_used, session.used) = (now.unix, now.uptime);
        if session.created == 0 {
            session.created = now.unix;
        }
        self.insert(session);
    }

    /// Stores a session that was used before this process began.
    pub(super) fn restore(&mut self, mut session: Session, now: Now) {
        // A clock that was set back must not keep it for ever: it is as if it was used now.
        let idle = Duration::from_secs(now.unix.saturating_sub(session.last_used));
        session.used = now.uptime.saturating_sub(idle);
        let expired = idle >= self.options.idle;
        if !expired && self.sessions.peek(&session.id).is_none() {
            self.insert(session);
        }
    }

    fn insert(&mut self, session: Session) {
        self.bytes += session.bytes;
        if let Some((_, old)) = self.sessions.push(session.id.clone(), session) {
            self.bytes -= old.bytes;
        }
    }

    /// Forgets a session; also whoever is writing it loses the right to.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let busy = self.busy.remove(id).is_some();
        let stored = self.sessions.pop(id);
        self.bytes -= stored.as_ref().map_or(0, |session| session.bytes);
        stored.is_some() || busy
    }

    /// Lets go of what is over the bounds or was not used for too long; the ids of those that went.
    pub(super) fn trim(&mut self, now: Now) -> Vec<String> {
        let mut gone = Vec::new();
        while let Some((_, oldest)) = self.sessions.peek_lru()
            && (self.sessions.len() > self.options.count
                || self.bytes > self.options.bytes
                || now.uptime.saturating_sub(oldest.used) >= self.options.idle)
            && let Some((id, session)) = self.sessions.pop_lru()
        {
            self.bytes -= session.bytes;
            gone.push(id);
        }
        gone
    }

    /// Most recently used first.
    pub(super) fn list(&self) -> Vec<SessionInfo> {
        self.sessions.iter().map(|(_, session)| self.info(session)).collect()
    }

    pub(super) fn info(&self, session: &Session) -> SessionInfo {
        SessionInfo {
            id: session.id.clone(),
            title: session.title.clone(),
            model: self.model.clone(),
            created: session.created,
            last_used: session.last_used,
            messages: session.messages.len(),
            tokens: session.tokens,
            bytes: session.bytes,
            busy: self.is_busy(&session.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::chat::Role;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { unix: 1_000 + seconds, uptime: Duration::from_secs(100 + seconds) }
    }

    fn session(id: &str, bytes: usize) -> Session {
        Session::new(id.into(), vec![Message::text(Role::User, "x".repeat(bytes - MESSAGE - id.len()))], 0, None)
    }

    fn store(count: usize, bytes: u64) -> Store {
        Store::new("m", SessionOptions { count, bytes, idle: Duration::from_secs(60), ..SessionOptions::default() })
    }

    fn ids(store: &Store) -> String {
        store.list().into_iter().map(|session| session.id).collect()
    }

    #[test]
    fn the_least_recently_used_goes_first_by_count_by_bytes_and_by_time() {
        let mut store = store(3, 2_000);
        for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
            store.put(session(id, 500), at(n as u64));
            assert!(store.trim(at(n as u64)).is_empty());
        }
        store.take_up("a", at(3)).unwrap();
        store.put(session("d", 500), at(4));
        assert_eq!((store.trim(at(4)), ids(&store)), (vec!["b".to_owned()], "dac".into()), "by count");
        store.put(session("c", 1_500), at(5));
        assert_eq!(
            (store.trim(at(5)), ids(&store), store.bytes),
            (vec!["a".to_owned()], "cd".into(), 2_000),
            "by bytes"
        );
        store.put(session("e", 3_000), at(6));
        assert_eq!((store.trim(at(6)).len(), store.bytes), (3, 0), "one that is too large alone");
        store.put(session("f", 500), at(10));
        store.put(session("g", 500), at(30));
        assert!(store.trim(at(69)).is_empty());
        assert_eq!((store.trim(at(70)), ids(&store)), (vec!["f".to_owned()], "g".into()), "by idle time");
        assert!(store.remove("g") && !store.remove("g"));
        assert_eq!(store.bytes, 0);
    }

    #[test]
    fn idle_time_goes_on_while_no_server_runs() {
        let mut store = store(9, 9_000);
        for (id, last_used) in [("old", 940), ("new", 999), ("future", 5_000)] {
            store.restore(Session { last_used, ..session(id, 500) }, at(0));
        }
        assert_eq!(ids(&store), "futurenew", "one was idle for 60 s");
        assert!(store.trim(at(58)).is_empty());
        assert_eq!(store.trim(at(59)), ["new"]);
        assert_eq!(store.trim(at(60)), ["future"]);
    }

    #[test]
    fn one_request_at_a_time_may_write() {
        let mut store = store(9, 9_000);
        let first = store.claim("a").unwrap();
        assert_eq!((store.claim("a"), store.claim("b")), (None, Some(first + 1)));
        assert!(store.holds("a", first));
        assert!(store.remove("a"), "a new session that is in use");
        assert!(!store.holds("a", first));
        let second = store.claim("a").unwrap();
        store.release("a", first);
        assert!(store.holds("a", second), "only who has it gives it back");
        store.release("a", second);
        assert!(!store.is_busy("a"));
    }
}
