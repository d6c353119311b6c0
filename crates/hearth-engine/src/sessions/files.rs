//! The sessions' files, all of whose reading and writing is done by one thread.
//!
//! Invariants: a file is whole or not there (written under another name, then renamed); only its owner can read it; its
//! name is a hash, in a folder of its model's; nothing of a chat is ever logged; no file is touched whose name is not of
//! that form. What is yet to be written is the latest state of each session, so
//! a slow disk costs no more memory than that.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hearth_core::task::SessionKey;
use rustix::process::{Pid, test_kill_process};

use super::file::{self, Read};
use super::store::Session;
use super::{SessionOptions, file_name, folder_name, key_in, off_offer};

/// Largest file that is read: more than a request may hold, in JSON's longest spelling, over many turns.
const MAX_FILE: u64 = 256 << 20;

const EXTENSION: &str = "json";
/// What is broken, and kept for whoever wants to look at it until it is as old as a session may become.
const BAD: &str = "bad";
/// So many of them, the newest.
const MOST_BAD: usize = 8;
const TEMPORARY: &str = "tmp";

/// Held while a file is written, and while folders are cleared away.
pub(super) static WRITING: Mutex<()> = Mutex::new(());

/// Whose files they are.
pub(super) trait Owner {
    /// What bounds them.
    fn options(&self) -> &SessionOptions;
    /// Takes over what the files hold, oldest first.
    fn loaded(&self, sessions: Vec<Session>);
    /// Lets go of the sessions that were not used for too long; their ids.
    fn expired(&self) -> Vec<String>;
    /// Takes note that the file of a session was removed unread.
    fn removed(&self, session: SessionKey);
}

/// A file of the folder whose name is of the sessions' form.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    kind: Kind,
    modified: SystemTime,
    bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Session,
    Bad,
    Temporary,
}

/// The way to the thread.
pub(super) struct Files {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    model: String,
    /// Bytes that the files of all models may take.
    cap: u64,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// By file name.
    pending: HashMap<String, Change>,
    /// What could not be done, to be tried again.
    failed: HashMap<String, Change>,
    writing: bool,
    closed: bool,
    /// Whether the last change failed, which is said once.
    failing: bool,
}

/// What the thread does next.
enum Next {
    Change(String, Change),
    /// It looks for what has expired, and tries again what has failed.
    Look,
    /// All is done, and nobody will ask for more.
    End,
}

enum Change {
    Write(Session),
    Remove,
}

impl Files {
    /// Starts the thread, for the folder of `model` in `dir`. It first reads what is there, and later looks `every` so often for what has expired.
    pub(super) fn start(
        dir: &Path,
        model: &str,
        every: Duration,
        owner: impl Owner + Send + 'static,
    ) -> io::Result<Self> {
        let (dir, cap, queue) = (dir.join(folder_name(model)), owner.options().disk, Mutex::default());
        let shared = Arc::new(Shared { dir, model: model.to_owned(), cap, queue, changed: Condvar::new() });
        let thread = shared.clone();
        let run = move || {
            // Whatever a file may hold, nobody waits for ever.
            let load = AssertUnwindSafe(|| thread.load(&owner));
            owner.loaded(catch_unwind(load).unwrap_or_default());
            thread.run(every, &owner);
        };
        std::thread::Builder::new().name("hearth-sessions".into()).spawn(run)?;
        Ok(Self { shared })
    }

    pub(super) fn write(&self, session: Session) {
        self.shared.change(&session.id.clone(), Change::Write(session));
    }

    pub(super) fn remove(&self, id: &str) {
        self.shared.change(id, Change::Remove);
    }

    /// Waits until everything is written that can be; false where that takes longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let mut queue = self.shared.queue();
        queue.try_again();
        self.shared.changed.notify_all();
        let busy = |queue: &mut Queue| queue.writing || !queue.pending.is_empty();
        let waited = self.shared.changed.wait_timeout_while(queue, limit, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Queue {
    fn try_again(&mut self) {
        for (name, change) in self.failed.drain() {
            // What came later stands.
            self.pending.entry(name).or_insert(change);
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Plain data: no holder of the lock can leave it half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: &str, change: Change) {
        let name = file_name(&self.model, id);
        let mut queue = self.queue();
        queue.failed.remove(&name);
        queue.pending.insert(name, change);
        self.changed.notify_all();
    }

    fn run(&self, every: Duration, owner: &impl Owner) {
        let mut look = Instant::now() + every;
        loop {
            match self.next(look) {
                Next::Change(name, change) => self.carry_out(name, change),
                Next::Look => {
                    owner.expired().iter().for_each(|id| self.change(id, Change::Remove));
                    self.queue().try_again();
                    look = Instant::now() + every;
                }
                Next::End => return,
            }
        }
    }

    fn next(&self, look: Instant) -> Next {
        let idle = |queue: &mut Queue| queue.pending.is_empty() && !queue.closed;
        let left = look.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.queue(), left, idle);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if !queue.closed && Instant::now() >= look {
            return Next::Look;
        }
        let name = queue.pending.keys().next().cloned();
        match name.and_then(|name| queue.pending.remove_entry(&name)) {
            Some((name, change)) => {
                queue.writing = true;
                Next::Change(name, change)
            }
            None => Next::End,
        }
    }

    fn carry_out(&self, name: String, change: Change) {
        let done = match &change {
            Change::Write(session) => self.write(&name, session),
            Change::Remove => remove(&self.path(&name)),
        };
        let mut queue = self.queue();
        if let Err(error) = &done {
            if !queue.failing {
                tracing::warn!("a session cannot be saved in {}: {error}", self.dir.display());
            }
            if !queue.pending.contains_key(&name) {
                queue.failed.insert(name, change);
            }
        }
        queue.failing = done.is_err();
        queue.writing = false;
        self.changed.notify_all();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name).with_extension(EXTENSION)
    }

    fn write(&self, name: &str, session: &Session) -> io::Result<()> {
        let bytes = file::write(session, &self.model)?;
        // One thread at a time: the models' threads keep one cap together.
        let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        create_dir(&self.dir)?;
        self.make_room(name, bytes.len() as u64)?;
        let temporary = self.dir.join(format!("{name}.{}.{TEMPORARY}", std::process::id()));
        let written = write_new(&temporary, &bytes).and_then(|()| fs::rename(&temporary, self.path(name)));
        if written.is_err() {
            // It may never have come to be.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        File::open(&self.dir)?.sync_all()
    }

    /// Removes the files of all models that were not written for longest, until another one's bytes fit. Their sessions stay
    /// in memory, if they are there; they only do not outlive the process.
    fn make_room(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut files = self.dir.parent().map_or_else(Vec::new, files_of_all);
        files.sort_by_key(|file| file.modified);
        let mut over = files.iter().map(|file| file.bytes).sum::<u64>().saturating_add(bytes).saturating_sub(self.cap);
        let ours = self.path(name);
        for file in files.iter().filter(|file| file.kind != Kind::Temporary && file.path != ours) {
            if over == 0 {
                return Ok(());
            }
            remove(&file.path)?;
            over = over.saturating_sub(file.bytes);
        }
        Ok(())
    }

    /// All sessions, oldest first; clears away what nobody will read again, and what there is no room for.
    fn load(&self, owner: &impl Owner) -> Vec<Session> {
        let SessionOptions { count, bytes: most, idle, .. } = owner.options();
        // Nobody else looks there.
        if let Some(dir) = self.dir.parent() {
            off_offer::expire(dir, &self.dir, *idle);
        }
        let mut sessions = Vec::new();
        let mut bytes = 0;
        for entry in self.entries() {
            let full = sessions.len() >= *count || bytes >= *most;
            if entry.is_over(*idle) || (full && entry.kind == Kind::Session) {
                entry.remove(owner);
            } else if entry.kind == Kind::Session
                && let Some(session) = self.load_file(&entry.path)
            {
                bytes += session.bytes;
                sessions.push(session);
            }
        }
        let bad = self.entries().into_iter().filter(|entry| entry.kind == Kind::Bad);
        bad.skip(MOST_BAD).for_each(|entry| entry.remove(owner));
        sessions.sort_by_key(|session: &Session| session.last_used);
        sessions
    }

    /// The files that are sessions', newest first.
    fn entries(&self) -> Vec<Entry> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!("the sessions in {} cannot be read: {error}", self.dir.display());
                return Vec::new();
            }
        };
        let mut files: Vec<Entry> = entries.flatten().filter_map(|file| Entry::of(&file)).collect();
        files.sort_by_key(|entry| std::cmp::Reverse(entry.modified));
        files
    }

    fn load_file(&self, path: &Path) -> Option<Session> {
        let set_aside = |why: &str| {
            tracing::warn!("the session file {} is set aside: {why}", path.display());
            if let Err(error) = fs::rename(path, path.with_extension(format!("{EXTENSION}.{BAD}"))) {
                tracing::warn!("it stays where it is: {error}");
            }
        };
        let bytes = match read_bounded(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!("the session file {} cannot be read: {error}", path.display());
                return None;
            }
        };
        match file::read(&bytes) {
            Ok(Read::Session { session, model })
                if model == self.model && self.path(&file_name(&model, &session.id)) == path =>
            {
                Some(session)
            }
            Ok(Read::Session { .. }) => {
                set_aside("it is another session's");
                None
            }
            Ok(Read::Foreign) => {
                tracing::info!("the session file {} is of another version and is left alone", path.display());
                None
            }
            Err(why) => {
                set_aside(&why);
                None
            }
        }
    }
}

impl Entry {
    fn of(file: &fs::DirEntry) -> Option<Self> {
        let kind = kind(file.file_name().to_str()?)?;
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Self { path: file.path(), kind, modified: metadata.modified().ok()?, bytes: metadata.len() })
    }

    /// Those of a folder.
    pub(super) fn all(folder: &Path) -> impl Iterator<Item = Self> + use<> {
        fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|file| Self::of(&file))
    }

    /// Whether it is too old, or a process left it behind when it died.
    pub(super) fn is_over(&self, idle: Duration) -> bool {
        // A time in the future is an age of zero.
        let expired = self.modified.elapsed().unwrap_or_default() >= idle;
        expired || (self.kind == Kind::Temporary && !writer_lives(&self.path))
    }

    fn remove(&self, owner: &impl Owner) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!("the session file {} cannot be removed: {error}", self.path.display());
        }
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let (Some(session), true) = (key_in(name), self.kind != Kind::Temporary) {
            owner.removed(session);
        }
    }
}

/// The sessions' files in all folders under `dir`.
fn files_of_all(dir: &Path) -> Vec<Entry> {
    let folders = fs::read_dir(dir).into_iter().flatten().flatten();
    folders.flat_map(|folder| Entry::all(&folder.path())).collect()
}

/// What a file of this name is: `<64 hex digits>` and `.json`, `.json.bad` or `.<process>.tmp`.
fn kind(name: &str) -> Option<Kind> {
    let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let (hash, rest) = name.split_once('.')?;
    if hash.len() != 64 || !hash.bytes().all(is_hex) {
        return None;
    }
    match rest.split_once('.') {
        None if rest == EXTENSION => Some(Kind::Session),
        Some((EXTENSION, BAD)) => Some(Kind::Bad),
        Some((process, TEMPORARY)) if process.parse::<u32>().is_ok() => Some(Kind::Temporary),
        _ => None,
    }
}

/// Whether the process in a temporary file's name is there.
fn writer_lives(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let pid = name.rsplit('.').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}

fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Writes a file that is this process's: whatever else lies there, a link perhaps, is not written to.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    remove(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::chat::{Message, Role};

    use super::*;

    struct Forgetful(SessionOptions);

    impl Owner for Forgetful {
        fn options(&self) -> &SessionOptions {
            &self.0
        }

        fn loaded(&self, _sessions: Vec<Session>) {}

        fn expired(&self) -> Vec<String> {
            vec!["a".into()]
        }

        fn removed(&self, _session: SessionKey) {}
    }

    #[test]
    fn what_expires_is_removed_although_nobody_asks() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Forgetful(SessionOptions::default());
        let files = Files::start(dir.path(), "m", Duration::from_millis(1), owner).unwrap();
        for id in ["a", "b"] {
            files.write(Session::new(id.into(), Vec::new(), 0, None));
        }
        assert!(files.flush(Duration::from_secs(10)));
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let file = |id| dir.path().join(folder_name("m")).join(file_name("m", id)).with_extension(EXTENSION);
        while file("a").exists() {
            assert!(std::time::Instant::now() < deadline, "it is still there");
            std::thread::yield_now();
        }
        assert!(file("b").exists());
    }

    #[test]
    fn what_could_not_be_saved_is_saved_when_it_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join(folder_name("m"));
        let owner = Forgetful(SessionOptions::default());
        let files = Files::start(dir.path(), "m", Duration::from_secs(3600), owner).unwrap();
        let flush = || assert!(files.flush(Duration::from_secs(10)));
        // Not even root can write there.
        fs::write(&top, "in the way").unwrap();
        for id in ["b", "c"] {
            files.write(Session::new(id.into(), Vec::new(), 0, None));
        }
        flush();
        files.remove("c");
        fs::remove_file(&top).unwrap();
        flush();
        assert_eq!(fs::read_dir(&top).unwrap().count(), 1);
        assert!(top.join(file_name("m", "b")).with_extension(EXTENSION).exists());
    }

    /// Not within one model's bounds alone, which all of them together would pass.
    #[test]
    fn the_files_of_all_models_keep_one_cap() {
        let dir = tempfile::tempdir().unwrap();
        let options = SessionOptions { disk: 4_000, ..SessionOptions::default() };
        let text = "x".repeat(1_000);
        for (n, model) in ["a", "b", "c", "a", "b"].into_iter().enumerate() {
            let files = Files::start(dir.path(), model, Duration::from_secs(3600), Forgetful(options.clone())).unwrap();
            let message = Message::text(Role::User, text.as_str());
            files.write(Session::new(n.to_string(), vec![message], 0, None));
            assert!(files.flush(Duration::from_secs(10)));
            let bytes: u64 = files_of_all(dir.path()).iter().map(|file| file.bytes).sum();
            assert!(bytes <= 4_000, "{bytes} after {n}");
            let path = dir.path().join(folder_name(model)).join(file_name(model, &n.to_string()));
            assert!(path.with_extension(EXTENSION).exists(), "the newest is there");
        }
        assert_eq!(files_of_all(dir.path()).len(), 3, "as many as fit");
    }

    #[test]
    fn what_lies_at_the_temporary_name_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, theirs) = (dir.path().join("mine"), dir.path().join("theirs"));
        fs::write(&theirs, "theirs").unwrap();
        std::os::unix::fs::symlink(&theirs, &mine).unwrap();
        write_new(&mine, b"mine").unwrap();
        assert_eq!((fs::read(&mine).unwrap(), fs::read(&theirs).unwrap()), (b"mine".to_vec(), b"theirs".to_vec()));
    }

    #[test]
    fn only_names_of_the_sessions_form_are_theirs() {
        let hash = "0123456789abcdef".repeat(4);
        for (rest, ours) in [(".json", true), (".json.bad", true), (".7.tmp", true), ("", false), (".json.x", false)] {
            assert_eq!(kind(&format!("{hash}{rest}")).is_some(), ours, "{rest}");
        }
        for name in
            ["a.json", "0.json.bad", "x.7.tmp", &format!("{}.json", hash.to_uppercase()), &format!("{hash}.x.tmp")]
        {
            assert!(kind(name).is_none(), "{name}");
        }
        assert_eq!(key_in(&file_name("m", "a")), Some(super::super::key("m", "a")));
    }
}
