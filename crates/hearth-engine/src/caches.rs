//! Carries out what the prefix cache decides: keeps, evicts, restores and forgets caches, in memory and in files.
//!
//! A snapshot that is evicted goes to a file where there is a disk tier. What a file gives back is a sequence's at once, so
//! that it never counts as kept in memory; the file stays, for others.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hearth_core::Result;
use hearth_core::model::CacheFacts;
use hearth_core::runner::{Cuts, Resume, Runner, SlotId, Snapshot, Source};
use hearth_core::task::{CacheSource, SessionKey};

use crate::disk_tier::{Content, DiskTier, Event, FileName, Indexed, Label};
use crate::prefix_cache::{Alike, Entry, Found, From, Hit, Place, PrefixCache, Query};
use crate::radix::Key;
use crate::scheduler::Fed;
use crate::sequence::{Ended, Sequence};

/// Files that are being read, or were read and are not used yet.
const MOST_READS: usize = 2;
/// How long a file may take; a disk that takes longer is no help.
pub(crate) const READ: Duration = Duration::from_secs(30);

/// The caches of a worker that do not belong to a running sequence.
pub(crate) struct Caches {
    cache: PrefixCache,
    facts: CacheFacts,
    /// Bytes that may be kept in memory; 0 keeps nothing.
    cap: u64,
    tier: Option<DiskTier>,
    /// Bytes that the files may take.
    tier_cap: u64,
    /// Whether the files are known, and whether it is worth waiting until they are.
    indexed: bool,
    patient: bool,
    /// Files that were asked for, when the next of them should be there, and whether that has passed.
    asked: HashSet<FileName>,
    read_by: Instant,
    stuck: bool,
    /// Files that were read and are about to be used.
    read: HashMap<FileName, Content>,
    /// Whether the device has copied caches, to count as nobody's time.
    copied: bool,
    /// Sessions that were forgotten before the files were known.
    forgotten: HashSet<SessionKey>,
    /// The last time that was given out, in microseconds since 1970.
    clock: u64,
}

/// Whether a file's content is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetched {
    Here,
    Soon,
    /// Enough files are being read.
    Busy,
    /// Nobody is there to read it.
    Never,
}

/// What a sequence begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) source: CacheSource,
    /// Tokens of its prompt that it has.
    pub(crate) held: usize,
}

impl Caches {
    /// Keeps at most `cap` bytes in memory, and what is evicted in `tier`, whose files take at most `tier_cap` bytes.
    pub(crate) fn new(facts: CacheFacts, cap: u64, tier: Option<DiskTier>, tier_cap: u64) -> Self {
        Self {
            cache: PrefixCache::default(),
            facts,
            cap,
            indexed: tier.is_none(),
            patient: true,
            tier,
            tier_cap,
            asked: HashSet::new(),
            read_by: Instant::now(),
            stuck: false,
            read: HashMap::new(),
            copied: false,
            forgotten: HashSet::new(),
            clock: 0,
        }
    }

    /// Bytes that are kept in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Keeps at most `cap` bytes in memory from now on.
    pub(crate) fn set_cap(&mut self, runner: &mut dyn Runner, cap: u64) {
        self.cap = cap;
        self.shrink(runner, cap, None);
    }

    /// Whether anything is kept at all.
    pub(crate) fn keeps(&self) -> bool {
        self.cap > 0
    }

    /// Whether the files are known.
    pub(crate) fn is_indexed(&self) -> bool {
        self.indexed
    }

    /// Whether lookups have to wait until the files are known.
    pub(crate) fn is_indexing(&self) -> bool {
        !self.indexed && self.patient
    }

    /// Waits no longer for the files to be known.
    pub(crate) fn go_on_without_index(&mut self) {
        self.patient = false;
    }

    /// What a sequence could begin with.
    pub(crate) fn find(&self, sequence: &Sequence) -> Found {
        let task = &sequence.task;
        let session = task.session.filter(|_| task.takes_over);
        let (prompt, files) = (task.prompt.as_slice(), !self.stuck);
        self.cache.find(Query { prompt, most: sequence.most_reused(), session, files })
    }

    /// The bytes that are given back when an entry goes.
    pub(crate) fn bytes_of(&self, key: Key) -> u64 {
        self.cache.bytes_of(key)
    }

    /// The bytes that an entry takes where there is no other.
    pub(crate) fn whole_bytes_of(&self, key: Key) -> u64 {
        self.cache.entry(key).map_or(0, Entry::whole_bytes)
    }

    /// Bytes that were read and are not used yet.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read.values().map(Content::bytes).sum()
    }

    /// ... of one file.
    pub(crate) fn read_bytes_of(&self, name: FileName) -> u64 {
        self.read.get(&name).map_or(0, Content::bytes)
    }

    /// Whether a file's content is at hand; asks for it otherwise.
    pub(crate) fn fetch(&mut self, name: FileName) -> Fetched {
        if self.read.contains_key(&name) {
            return Fetched::Here;
        }
        if self.asked.contains(&name) {
            return Fetched::Soon;
        }
        if self.asked.len() + self.read.len() >= MOST_READS {
            return Fetched::Busy;
        }
        if !self.tier.as_ref().is_some_and(|tier| tier.read(name)) {
            self.stuck = true;
            return Fetched::Never;
        }
        if self.asked.is_empty() {
            self.read_by = Instant::now() + READ;
        }
        self.asked.insert(name);
        Fetched::Soon
    }

    /// Until when to wait for a file, where one was asked for.
    pub(crate) fn read_by(&self) -> Option<Instant> {
        (!self.asked.is_empty() && !self.stuck).then_some(self.read_by)
    }

    /// Does without files where one has taken too long, until it has come; whether that begins now.
    pub(crate) fn give_up_reading(&mut self, now: Instant) -> bool {
        let late = self.read_by().is_some_and(|by| by <= now);
        if late {
            tracing::warn!("A cache file has not been read after {} s; until it has, no other is.", READ.as_secs());
            self.stuck = true;
        }
        late
    }

    /// Whether the device has copied caches since this was last asked.
    pub(crate) fn has_copied(&mut self) -> bool {
        std::mem::take(&mut self.copied)
    }

    /// Opens `slot` with the cache that was found, or empty where that turns out to be of no use.
    pub(crate) fn open(
        &mut self,
        runner: &mut dyn Runner,
        slot: SlotId,
        sequence: &Sequence,
        hit: Option<Hit>,
    ) -> Result<Start> {
        let prompt = sequence.task.prompt.as_slice();
        let resumed = hit.and_then(|hit| self.resume(runner, slot, sequence, hit));
        let start = match resumed {
            Some(start) => start,
            None => {
                runner.open(slot, &sequence.task.sampling, None)?;
                Start::default()
            }
        };
        let now = self.now();
        self.cache.opened(slot, prompt, start.held, now);
        self.fed(runner, &Fed { slot, held: start.held, mark: false });
        Ok(start)
    }

    /// A running sequence has fed more of its prompt.
    pub(crate) fn fed(&mut self, runner: &mut dyn Runner, fed: &Fed) {
        if fed.mark
            && let Err(error) = runner.mark(fed.slot)
        {
            tracing::warn!("A cache could not be marked: {error}");
        }
        let cuts = match self.facts.cuts_anywhere {
            true => Cuts::default(),
            // Its end moves on, so that only its marks can be relied on.
            false => Cuts { from: usize::MAX, ..runner.cuts(fed.slot).unwrap_or_default() },
        };
        self.cache.fed(fed.slot, fed.held, cuts);
    }

    /// Keeps what an ended sequence leaves behind.
    pub(crate) fn keep(&mut self, runner: &mut dyn Runner, ended: &Ended) {
        if !self.keeps() || ended.tokens.is_empty() {
            return self.close(runner, ended.slot);
        }
        self.cache.closed(ended.slot);
        match runner.keep(ended.slot) {
            Ok(snapshot) if snapshot.len == ended.tokens.len() => self.add(runner, ended, snapshot),
            Ok(Snapshot { id, len, .. }) => {
                tracing::error!("A cache holds {len} tokens where {} were fed; it is given up.", ended.tokens.len());
                runner.forget(id);
            }
            Err(error) => {
                tracing::warn!("A cache could not be kept: {error}");
                runner.close(ended.slot);
            }
        }
    }

    /// Ends a sequence whose cache is worth nothing.
    pub(crate) fn close(&mut self, runner: &mut dyn Runner, slot: SlotId) {
        self.cache.closed(slot);
        runner.close(slot);
    }

    /// Gives `bytes` back: first what was read, which can be read again, then what is kept; `spare` stays as it is.
    pub(crate) fn give_back(&mut self, runner: &mut dyn Runner, bytes: u64, spare: Option<Key>) {
        let spared = spare.and_then(|key| self.cache.entry(key)).map(|entry| entry.place);
        let mut left = bytes;
        while left > 0
            && let Some(name) = self.read.keys().copied().find(|&name| spared != Some(Place::Disk(name)))
        {
            left = left.saturating_sub(self.read_bytes_of(name));
            self.read.remove(&name);
        }
        self.shrink(runner, self.cache.bytes().saturating_sub(left), spare);
    }

    /// Holds once what several begin with, then evicts what was of no use for longest, until no more than `bytes` are kept;
    /// `spare` stays as it is.
    fn shrink(&mut self, runner: &mut dyn Runner, bytes: u64, spare: Option<Key>) {
        while self.cache.bytes() > bytes {
            if let Some(alike) = self.cache.alike(spare) {
                self.share(runner, alike);
            } else if let Some(key) = self.cache.oldest(spare) {
                self.evict(runner, key);
            } else {
                return;
            }
        }
    }

    /// Forgets what a session has left behind.
    pub(crate) fn forget(&mut self, runner: &mut dyn Runner, session: SessionKey) {
        if !self.indexed {
            self.forgotten.insert(session);
        }
        for place in self.cache.forget(session) {
            match (place, &self.tier) {
                (Place::Memory(id), _) => runner.forget(id),
                (Place::Disk(name), Some(tier)) => tier.remove(name),
                _ => {}
            }
        }
        self.read.retain(|_, content| content.label.session != Some(session));
    }

    /// Takes over what happened to the files; the file that is settled by it, for those who wait for it.
    pub(crate) fn handle(&mut self, event: Event) -> Option<FileName> {
        match event {
            Event::Indexed(files) => {
                self.index(files);
                None
            }
            Event::Written(name) => {
                self.remove_covered(name);
                None
            }
            Event::Gone(name) => {
                self.settle(name);
                if let Some(key) = self.cache.file(name) {
                    self.cache.moved(key, Place::Lost);
                }
                Some(name)
            }
            Event::Read(name, content) => {
                self.settle(name);
                self.read.insert(name, *content);
                Some(name)
            }
        }
    }

    /// A file that was asked for is there, or gone: the time of the next one begins.
    fn settle(&mut self, name: FileName) {
        if self.asked.remove(&name) {
            self.stuck = false;
            self.read_by = Instant::now() + READ;
        }
    }

    /// Drops what was read for those who do not come to use it.
    pub(crate) fn drop_unused(&mut self, wanted: impl Fn(FileName) -> bool) {
        self.read.retain(|&name, _| wanted(name));
    }

    /// Whether no file's content waits to be used.
    #[cfg(test)]
    pub(crate) fn holds_nothing_read(&self) -> bool {
        self.read.is_empty()
    }

    /// Saves what is kept in memory, last used first, until `deadline`.
    pub(crate) fn save(&mut self, runner: &mut dyn Runner, deadline: Instant) {
        let Some(tier) = self.tier.take() else { return };
        let mut bytes = 0;
        for key in self.cache.latest() {
            let Some(entry) = self.cache.entry(key).cloned() else { continue };
            bytes += entry.whole_bytes();
            // What does not fit would push out what was used later.
            if bytes > self.tier_cap || Instant::now() >= deadline {
                break;
            }
            let tokens = self.cache.tokens(key);
            self.write(runner, &tier, tokens, &entry, Some(deadline));
        }
        if !tier.drained(deadline) {
            tracing::warn!("Not all caches could be saved in time.");
        }
    }

    /// Waits until all that was handed to the disk is there.
    #[cfg(test)]
    pub(crate) fn wait_for_disk(&self) {
        if let Some(tier) = &self.tier {
            assert!(tier.drained(Instant::now() + Duration::from_secs(60)));
        }
    }

    fn add(&mut self, runner: &mut dyn Runner, ended: &Ended, snapshot: Snapshot) {
        let now = self.now();
        if snapshot.bytes > self.cap {
            // Those that fit do not have to go for one that does not.
            let key = self.cache.keep_beside(&ended.tokens, snapshot, ended.session, now);
            return self.evict(runner, key);
        }
        for id in self.cache.keep(&ended.tokens, snapshot, ended.session, now) {
            runner.forget(id);
        }
        self.shrink(runner, self.cap, None);
    }

    fn share(&mut self, runner: &mut dyn Runner, Alike { from, to, tokens }: Alike) {
        self.copied = true;
        match runner.share(from, to, tokens) {
            Ok(changed) => self.cache.changed(changed),
            // They are gone; whoever finds one of them will see.
            Err(error) => tracing::error!("What two caches have in common could not be shared: {error}"),
        }
    }

    fn evict(&mut self, runner: &mut dyn Runner, key: Key) {
        let Some(entry) = self.cache.entry(key).cloned() else { return };
        let tokens = self.cache.tokens(key);
        let tier = self.tier.take();
        let file = tier.as_ref().filter(|tier| tier.takes(entry.whole_bytes()));
        let place =
            file.and_then(|tier| self.write(runner, tier, tokens, &entry, None)).map_or(Place::Lost, Place::Disk);
        self.tier = tier;
        if let Place::Memory(id) = entry.place {
            runner.forget(id);
        }
        match place {
            Place::Disk(name) if self.cache.file(name).is_some() => drop(self.cache.remove(key)),
            place => self.cache.moved(key, place),
        }
    }

    /// Hands an entry's cache to the writer, unless there is such a file already; its name. Until `deadline` it waits for
    /// its place in the queue, without one it takes that of another.
    fn write(
        &mut self,
        runner: &mut dyn Runner,
        tier: &DiskTier,
        tokens: Vec<u32>,
        entry: &Entry,
        deadline: Option<Instant>,
    ) -> Option<FileName> {
        let Place::Memory(id) = entry.place else { return None };
        let name = tier.name(&tokens);
        let used = time(entry.used);
        if let Some(key) = self.cache.file(name) {
            self.cache.touch(key, entry.used);
            tier.refresh(name, used);
            return Some(name);
        }
        self.copied = true;
        let tensors = match runner.export(id) {
            Ok(tensors) => tensors,
            Err(error) => {
                tracing::warn!("A cache cannot be written to a file: {error}");
                return None;
            }
        };
        let label = Label { tokens, cuts: entry.cuts.clone(), session: entry.owner };
        let content = Content { label, tensors };
        if deadline.is_some_and(|deadline| !tier.wait_for(content.bytes(), deadline)) {
            return None;
        }
        tier.write(name, content, used);
        Some(name)
    }

    /// Begins a sequence with the cache that was found; `None` where that fails and it has to begin empty.
    fn resume(&mut self, runner: &mut dyn Runner, slot: SlotId, sequence: &Sequence, hit: Hit) -> Option<Start> {
        let (from, len) = match hit.from {
            From::Take(id) => (Source::Take(id), hit.len),
            From::Copy(id) => (Source::Copy(id), hit.len),
            From::Branch(slot) => (Source::Branch(slot), hit.len),
            From::File(name) => self.import(runner, name, sequence, hit.len)?,
        };
        let tokens = sequence.task.prompt.get(..len)?;
        self.copied = true;
        let opened = runner.open(slot, &sequence.task.sampling, Some(Resume { from, tokens }));
        if let Err(error) = opened {
            tracing::error!("A cache could not be used: {error}");
            self.drop_entry(runner, hit.key);
            return None;
        }
        match hit.from {
            From::Take(_) => drop(self.cache.remove(hit.key)),
            _ => {
                let now = self.now();
                self.cache.touch(hit.key, now);
            }
        }
        let source = if let From::File(_) = hit.from { CacheSource::Disk } else { CacheSource::Memory };
        Some(Start { source, held: len })
    }

    /// Forgets an entry that turned out to be of no use, unless it is a running sequence's.
    fn drop_entry(&mut self, runner: &mut dyn Runner, key: Key) {
        match self.cache.entry(key).map(|entry| entry.place) {
            Some(Place::Memory(id)) => {
                runner.forget(id);
                self.cache.remove(key);
            }
            Some(Place::Disk(name)) => self.remove_file(name),
            _ => {}
        }
    }

    /// Puts a file's content aside as a snapshot; how many of its tokens are of use.
    fn import(
        &mut self,
        runner: &mut dyn Runner,
        name: FileName,
        sequence: &Sequence,
        len: usize,
    ) -> Option<(Source, usize)> {
        let Content { label, tensors } = self.read.remove(&name)?;
        let snapshot = match runner.import(tensors) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.give_up(name, &error.message);
                return None;
            }
        };
        let len = snapshot.cuts.longest(len);
        if snapshot.len != label.tokens.len() || len == 0 || label.tokens.get(..len) != sequence.task.prompt.get(..len)
        {
            runner.forget(snapshot.id);
            self.give_up(name, "it holds other tokens than it says");
            return None;
        }
        Some((Source::Take(snapshot.id), len))
    }

    fn give_up(&mut self, name: FileName, why: &str) {
        tracing::warn!("The cache file {name} is of no use, so it is deleted: {why}");
        self.remove_file(name);
    }

    fn remove_file(&mut self, name: FileName) {
        if let Some(key) = self.cache.file(name) {
            self.cache.remove(key);
        }
        if let Some(tier) = &self.tier {
            tier.remove(name);
        }
    }

    fn index(&mut self, files: Vec<Indexed>) {
        self.indexed = true;
        let mut names = Vec::new();
        for Indexed { name, label, used } in files {
            match label.session {
                Some(session) if self.forgotten.contains(&session) => self.remove_file(name),
                _ if self.cache.file(name).is_some() => {}
                session => {
                    self.cache.add_file(&label.tokens, name, label.cuts, session, micros(used));
                    names.push(name);
                }
            }
        }
        self.forgotten.clear();
        names.into_iter().for_each(|name| self.remove_covered(name));
    }

    /// Removes the files that this one makes superfluous.
    fn remove_covered(&mut self, name: FileName) {
        for name in self.cache.covered_files(name) {
            self.remove_file(name);
        }
    }

    /// A time later than all before; the clock of the house, unless that runs backwards.
    fn now(&mut self) -> u64 {
        self.clock = micros(SystemTime::now()).max(self.clock + 1);
        self.clock
    }
}

fn micros(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn time(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}
