//! Which caches are in store, and which of them a prompt should begin with.
//!
//! Pure: it holds token ids, lengths and names, never a cache; the clock is passed in. What it decides is carried out by
//! [`crate::caches`]. Invariants:
//! - What a lookup promises is a length to which that entry can be cut back, and its tokens are the prompt's: tokens are
//!   compared one by one, on the way down the trie.
//! - The bytes of the entries in memory are counted here and nowhere else; what several of them share counts once.

use std::collections::HashMap;

use hearth_core::runner::{Cuts, Piece, SlotId, Snapshot, SnapshotId};
use hearth_core::task::SessionKey;

use crate::disk_tier::FileName;
use crate::radix::{Key, Radix};

/// Tokens that are cheaper to compute than to copy, to read or to wait for.
pub(crate) const FEW: usize = 32;
/// Tokens of conversations that are remembered after their caches are gone, and how many conversations.
const LOST_TOKENS: usize = 1 << 20;
const LOST_ENTRIES: usize = 4096;
/// Tokens that are worth the work of holding them once.
const WORTH_SHARING: usize = 256;
/// A file must spare this share of what is read of it, or the reading is not worth it.
const READ_SHARE: usize = 16;

/// Where an entry's cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Memory(SnapshotId),
    Disk(FileName),
    Running(SlotId),
    /// It was given up for others; only its tokens are still known, to say so.
    Lost,
}

/// A conversation in store.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    /// Whose it is.
    pub(crate) owner: Option<SessionKey>,
    /// When it was last of use.
    pub(crate) used: u64,
    /// Bytes in memory, but for what it shares.
    bytes: u64,
    shared: Vec<Piece>,
    /// Whether it shares what it can with those that were examined before it.
    examined: bool,
    pub(crate) cuts: Cuts,
    /// Its tokens; of a running sequence the prompt's.
    len: usize,
    /// Tokens that its cache holds: fewer while a prompt is being fed.
    held: usize,
    node: usize,
}

impl Entry {
    fn snapshot(&self) -> Option<SnapshotId> {
        if let Place::Memory(id) = self.place { Some(id) } else { None }
    }

    fn in_memory(&self) -> bool {
        self.snapshot().is_some()
    }

    /// Bytes of all that it holds, shared or not.
    pub(crate) fn whole_bytes(&self) -> u64 {
        self.bytes + self.shared.iter().map(|piece| piece.bytes).sum::<u64>()
    }

    /// Tokens that a file must have beyond what is at hand to be worth reading.
    fn worth_reading(&self) -> usize {
        FEW.max(self.held / READ_SHARE)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) prompt: &'a [u32],
    /// Tokens that may come from a cache.
    pub(crate) most: usize,
    /// Whose caches it may take as it likes.
    pub(crate) session: Option<SessionKey>,
    /// Whether files can be read.
    pub(crate) files: bool,
}

/// What a lookup has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) hit: Option<Hit>,
    /// Tokens shared with the conversation that is most like the prompt, and that one's tokens.
    pub(crate) shared: usize,
    pub(crate) stored: usize,
    /// Tokens that some cache could give, also one that is not worth what it costs to come by.
    pub(crate) in_store: usize,
    /// A running sequence that is about to hold much more of the prompt, and how much.
    pub(crate) soon: Option<(SlotId, usize)>,
}

/// The entry to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) key: Key,
    /// The tokens of it that are of use: what it is cut back to.
    pub(crate) len: usize,
    pub(crate) from: From,
}

/// How a cache is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// Nobody else will miss it.
    Take(SnapshotId),
    /// Others may branch there, too.
    Copy(SnapshotId),
    Branch(SlotId),
    File(FileName),
}

/// Two caches in memory that begin with the same tokens and do not share them yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alike {
    /// Who has them, and who could have them from there.
    pub(crate) from: SnapshotId,
    pub(crate) to: SnapshotId,
    /// How many they are.
    pub(crate) tokens: usize,
}

/// All that is in store.
#[derive(Debug, Default)]
pub(crate) struct PrefixCache {
    trie: Radix,
    entries: HashMap<Key, Entry>,
    kept: HashMap<SnapshotId, Key>,
    running: HashMap<SlotId, Key>,
    files: HashMap<FileName, Key>,
    last_key: Key,
    /// Bytes of the entries in memory.
    bytes: u64,
    /// How many of them hold a piece, by its id.
    holders: HashMap<u64, usize>,
    /// Tokens of the lost entries, and their number.
    lost: usize,
    lost_entries: usize,
}

impl PrefixCache {
    /// Bytes of the entries in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that are given back when an entry goes.
    pub(crate) fn bytes_of(&self, key: Key) -> u64 {
        self.entries.get(&key).map_or(0, |entry| self.freed(entry))
    }

    /// Bytes of an entry that nobody else holds.
    fn freed(&self, entry: &Entry) -> u64 {
        let alone = entry.shared.iter().filter(|piece| self.holders.get(&piece.id) == Some(&1));
        entry.bytes + alone.map(|piece| piece.bytes).sum::<u64>()
    }

    pub(crate) fn entry(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key)
    }

    pub(crate) fn tokens(&self, key: Key) -> Vec<u32> {
        self.entries.get(&key).map(|entry| self.trie.tokens(entry.node)).unwrap_or_default()
    }

    pub(crate) fn file(&self, name: FileName) -> Option<Key> {
        self.files.get(&name).copied()
    }

    /// The longest usable prefix of a prompt; of equally long ones the cheapest.
    pub(crate) fn find(&self, query: Query<'_>) -> Found {
        let path = self.trie.path(query.prompt);
        let mut search = Search::new(self, query);
        for (common, keys) in self.trie.near(&path) {
            if search.is_over(common) {
                break;
            }
            keys.into_iter().for_each(|key| search.consider(key, common));
        }
        search.found()
    }

    /// The entry was of use.
    pub(crate) fn touch(&mut self, key: Key, now: u64) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.used = now;
        }
    }

    /// A sequence begins to run, with the first `held` tokens of its prompt in its cache.
    pub(crate) fn opened(&mut self, slot: SlotId, prompt: &[u32], held: usize, now: u64) {
        let entry = Entry { held, ..entry(Place::Running(slot), prompt.len(), now) };
        self.insert(prompt, entry);
    }

    /// A running sequence has come so far, and can be cut back so.
    pub(crate) fn fed(&mut self, slot: SlotId, held: usize, cuts: Cuts) {
        if let Some(entry) = self.running.get(&slot).and_then(|key| self.entries.get_mut(key)) {
            entry.held = held.min(entry.len);
            entry.cuts = cuts;
        }
    }

    /// A sequence has ended.
    pub(crate) fn closed(&mut self, slot: SlotId) {
        if let Some(&key) = self.running.get(&slot) {
            self.remove(key);
        }
    }

    /// Puts a cache in store. What it makes superfluous goes: prefixes of it, as far as it can be cut back to them.
    pub(crate) fn keep(
        &mut self,
        tokens: &[u32],
        snapshot: Snapshot,
        owner: Option<SessionKey>,
        now: u64,
    ) -> Vec<SnapshotId> {
        let gone = self.remove_covered(tokens, &snapshot.cuts);
        self.keep_beside(tokens, snapshot, owner, now);
        gone
    }

    /// Puts a cache in store, and leaves all others there.
    pub(crate) fn keep_beside(
        &mut self,
        tokens: &[u32],
        snapshot: Snapshot,
        owner: Option<SessionKey>,
        now: u64,
    ) -> Key {
        let Snapshot { id, bytes, shared, cuts, .. } = snapshot;
        self.insert(tokens, Entry { bytes, shared, cuts, owner, ..entry(Place::Memory(id), tokens.len(), now) })
    }

    /// A file holds the cache of these tokens.
    pub(crate) fn add_file(
        &mut self,
        tokens: &[u32],
        name: FileName,
        cuts: Cuts,
        owner: Option<SessionKey>,
        used: u64,
    ) -> Key {
        self.insert(tokens, Entry { cuts, owner, ..entry(Place::Disk(name), tokens.len(), used) })
    }

    /// The files that this one, now written, makes superfluous. Much shorter ones, as of a system prompt, are quicker to
    /// read for those who need no more.
    pub(crate) fn covered_files(&self, name: FileName) -> Vec<FileName> {
        let Some(key) = self.file(name) else { return Vec::new() };
        let path = self.trie.path(&self.tokens(key));
        let Entry { cuts, len: whole, .. } = &self.entries[&key];
        let covered = self.trie.prefixes(&path).into_iter().filter(|&other| other != key);
        let files = covered.filter_map(|other| match &self.entries[&other] {
            Entry { place: Place::Disk(file), len, .. } if cuts.longest(*len) == *len && len * 2 >= *whole => {
                Some(*file)
            }
            _ => None,
        });
        files.collect()
    }

    /// The entry in memory that has been of no use for longest, but for `spare`.
    pub(crate) fn oldest(&self, spare: Option<Key>) -> Option<Key> {
        let kept = self.entries.iter().filter(|(key, entry)| entry.in_memory() && Some(**key) != spare);
        kept.min_by_key(|(_, entry)| entry.used).map(|(&key, _)| key)
    }

    /// Two entries in memory, neither of them `spare`, that should share. Each is looked at once, the oldest first, beside
    /// those before it. That is enough: of any two the later one has found the earlier, or another that is more like it.
    pub(crate) fn alike(&mut self, spare: Option<Key>) -> Option<Alike> {
        loop {
            let new = |(key, entry): &(&Key, &Entry)| entry.in_memory() && !entry.examined && Some(**key) != spare;
            let (&key, _) = self.entries.iter().filter(new).min_by_key(|(_, entry)| entry.used)?;
            let alike = self.most_alike(key, spare);
            self.entries.entry(key).and_modify(|entry| entry.examined = true);
            if alike.is_some() {
                return alike;
            }
        }
    }

    fn most_alike(&self, key: Key, spare: Option<Key>) -> Option<Alike> {
        let to = self.entries[&key].snapshot()?;
        let path = self.trie.path(&self.tokens(key));
        let near = self.trie.near(&path).take_while(|&(tokens, _)| tokens >= WORTH_SHARING);
        let others = near.flat_map(|(tokens, keys)| keys.into_iter().map(move |key| (tokens, key)));
        let mut examined = others.filter(|(_, other)| self.entries[other].examined && Some(*other) != spare);
        examined.find_map(|(tokens, other)| Some(Alike { from: self.entries[&other].snapshot()?, to, tokens }))
    }

    /// What these snapshots share has changed.
    pub(crate) fn changed(&mut self, snapshots: Vec<Snapshot>) {
        for Snapshot { id, bytes, shared, .. } in snapshots {
            let Some(&key) = self.kept.get(&id) else { continue };
            let Some(entry) = self.entries.remove(&key) else { continue };
            self.discount(&entry);
            let entry = Entry { bytes, shared, ..entry };
            self.count(&entry);
            self.entries.insert(key, entry);
        }
    }

    /// The entries in memory, last used first.
    pub(crate) fn latest(&self) -> Vec<Key> {
        let mut kept: Vec<_> = self.entries.iter().filter(|(_, entry)| entry.in_memory()).collect();
        kept.sort_unstable_by_key(|(_, entry)| std::cmp::Reverse(entry.used));
        kept.into_iter().map(|(&key, _)| key).collect()
    }

    /// The entry's cache is no longer in memory but in a file, or nowhere.
    pub(crate) fn moved(&mut self, key: Key, place: Place) {
        if let Some(entry) = self.entries.get(&key).cloned() {
            let tokens = self.tokens(key);
            self.remove(key);
            self.insert(&tokens, Entry { place, bytes: 0, shared: Vec::new(), ..entry });
            self.forget_lost();
        }
    }

    /// The entry is gone.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.trie.remove(entry.node, key);
        match entry.place {
            Place::Memory(id) => {
                self.discount(&entry);
                self.kept.remove(&id);
            }
            Place::Running(slot) => drop(self.running.remove(&slot)),
            Place::Disk(name) => drop(self.files.remove(&name)),
            Place::Lost => {
                self.lost -= entry.len;
                self.lost_entries -= 1;
            }
        }
        Some(entry)
    }

    /// Removes what a session has left behind.
    pub(crate) fn forget(&mut self, session: SessionKey) -> Vec<Place> {
        let of_session = |(&key, entry): (&Key, &Entry)| (entry.owner == Some(session)).then_some(key);
        let keys: Vec<Key> = self.entries.iter().filter_map(of_session).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).map(|entry| entry.place).collect()
    }

    /// Removes prefixes of `tokens` that a cache of all of them stands in for; the snapshots among them.
    fn remove_covered(&mut self, tokens: &[u32], cuts: &Cuts) -> Vec<SnapshotId> {
        let mut gone = Vec::new();
        for key in self.trie.prefixes(&self.trie.path(tokens)) {
            let entry = &self.entries[&key];
            match entry.place {
                Place::Memory(id) if entry.len == tokens.len() || cuts.longest(entry.len) == entry.len => gone.push(id),
                Place::Lost => {}
                _ => continue,
            }
            self.remove(key);
        }
        gone
    }

    fn insert(&mut self, tokens: &[u32], mut entry: Entry) -> Key {
        self.last_key += 1;
        let key = self.last_key;
        entry.node = self.trie.insert(tokens, key);
        match entry.place {
            Place::Memory(id) => {
                self.count(&entry);
                self.kept.insert(id, key);
            }
            Place::Running(slot) => drop(self.running.insert(slot, key)),
            Place::Disk(name) => drop(self.files.insert(name, key)),
            Place::Lost => {
                self.lost += entry.len;
                self.lost_entries += 1;
            }
        }
        self.entries.insert(key, entry);
        key
    }

    /// Counts an entry's bytes, and those of its pieces where it is the first to hold them.
    fn count(&mut self, entry: &Entry) {
        entry.shared.iter().for_each(|piece| *self.holders.entry(piece.id).or_default() += 1);
        self.bytes += self.freed(entry);
    }

    fn discount(&mut self, entry: &Entry) {
        self.bytes -= self.freed(entry);
        for piece in &entry.shared {
            if let Some(holders @ 2..) = self.holders.remove(&piece.id) {
                self.holders.insert(piece.id, holders - 1);
            }
        }
    }

    /// Bounds what is remembered of what is gone.
    fn forget_lost(&mut self) {
        while self.lost > LOST_TOKENS || self.lost_entries > LOST_ENTRIES {
            let lost = self.entries.iter().filter(|(_, entry)| entry.place == Place::Lost);
            let Some((&key, _)) = lost.min_by_key(|(_, entry)| entry.used) else { return };
            self.remove(key);
        }
    }
}

fn entry(place: Place, len: usize, used: u64) -> Entry {
    let cuts = Cuts::default();
    Entry { place, owner: None, used, bytes: 0, shared: Vec::new(), examined: false, cuts, len, held: len, node: 0 }
}

/// A lookup on its way.
struct Search<'a> {
    cache: &'a PrefixCache,
    query: Query<'a>,
    /// The best cache at hand, and the best in a file.
    near: Option<Candidate<'a>>,
    far: Option<Candidate<'a>>,
    /// Most like the prompt: tokens shared, when used, tokens.
    alike: (usize, u64, usize),
    in_store: usize,
    /// What running sequences will hold: tokens, how far they are, and which.
    soon: Option<(usize, usize, SlotId)>,
}

#[derive(Clone, Copy)]
struct Candidate<'a> {
    key: Key,
    len: usize,
    entry: &'a Entry,
}

impl<'a> Search<'a> {
    fn new(cache: &'a PrefixCache, query: Query<'a>) -> Self {
        Self { cache, query, near: None, far: None, alike: (0, 0, 0), in_store: 0, soon: None }
    }

    /// Whether nothing that shares only `common` tokens can be chosen.
    fn is_over(&self, common: usize) -> bool {
        let near = self.near.map_or(0, |near| near.len);
        let far = self.far.map_or(0, |far| far.len.saturating_sub(far.entry.worth_reading()));
        common < near.max(far)
    }

    fn consider(&mut self, key: Key, common: usize) {
        let entry = &self.cache.entries[&key];
        if common > 0 {
            self.alike = self.alike.max((common, entry.used, entry.len));
        }
        let reach = common.min(self.query.most);
        // Nothing of what is gone, or lies where it cannot be read.
        let is_there = match entry.place {
            Place::Memory(_) | Place::Running(_) => true,
            Place::Disk(_) => self.query.files,
            Place::Lost => false,
        };
        let len = if is_there { entry.cuts.longest(reach.min(entry.held)) } else { 0 };
        self.in_store = self.in_store.max(len);
        let candidate = Some(Candidate { key, len, entry }).filter(|candidate| self.is_worth_it(candidate));
        match entry.place {
            Place::Memory(_) => self.near = self.better(self.near, candidate),
            Place::Disk(_) => self.far = self.better(self.far, candidate),
            Place::Running(slot) => {
                self.near = self.better(self.near, candidate);
                if reach > entry.held {
                    self.soon = self.soon.max(Some((reach, entry.held, slot)));
                }
            }
            Place::Lost => {}
        }
    }

    /// Whether it spares more than it costs to come by.
    fn is_worth_it(&self, &Candidate { len, entry, .. }: &Candidate<'_>) -> bool {
        match entry.place {
            Place::Memory(_) if self.takes(len, entry) => len > 0,
            Place::Memory(_) | Place::Running(_) => len >= FEW,
            Place::Disk(_) => len > entry.worth_reading(),
            Place::Lost => false,
        }
    }

    /// Whether nobody else will miss it.
    fn takes(&self, len: usize, entry: &Entry) -> bool {
        self.is_own(entry) || entry.held - len < FEW
    }

    fn is_own(&self, entry: &Entry) -> bool {
        entry.owner.is_some() && entry.owner == self.query.session
    }

    fn better(&self, a: Option<Candidate<'a>>, b: Option<Candidate<'a>>) -> Option<Candidate<'a>> {
        let worth = |candidate: &Candidate<'_>| {
            let Candidate { len, entry, key } = *candidate;
            (len, entry.in_memory(), self.is_own(entry), std::cmp::Reverse(entry.held - len), entry.used, key)
        };
        a.into_iter().chain(b).max_by_key(worth)
    }

    fn found(self) -> Found {
        let Self { near, far, alike: (shared, _, stored), in_store, .. } = self;
        let best = match (near, far) {
            (Some(near), Some(far)) if far.len > near.len + far.entry.worth_reading() => Some(far),
            (near, far) => near.or(far),
        };
        let at_hand = best.map_or(0, |best| best.len);
        let soon = self.soon.filter(|&(reach, ..)| reach >= at_hand + FEW).map(|(reach, _, slot)| (slot, reach));
        Found { hit: best.and_then(|best| self.hit(best)), shared, stored, in_store, soon }
    }

    fn hit(&self, Candidate { key, len, entry }: Candidate<'_>) -> Option<Hit> {
        let from = match entry.place {
            Place::Memory(id) if self.takes(len, entry) => From::Take(id),
            Place::Memory(id) => From::Copy(id),
            Place::Running(slot) => From::Branch(slot),
            Place::Disk(name) => From::File(name),
            Place::Lost => return None,
        };
        Some(Hit { key, len, from })
    }
}

#[cfg(test)]
#[path = "prefix_cache_tests.rs"]
mod tests;
