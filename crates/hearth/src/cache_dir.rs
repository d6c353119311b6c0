//! The cache folder as it lies on disk, for those who look at it from outside: `HASH.safetensors` are models' caches,
//! whose headers name the model, and what lies under `sessions/` are conversations. Servers may be using it all the while:
//! what is listed may be gone a moment later, and whoever removes a file removes work, never correctness.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const SESSIONS: &str = "sessions";
/// The file whose lock belongs to whoever writes: it has no bytes, and stays.
const LOCK: &str = "lock";

/// Hexadecimal digits in the name of a cache's file.
const DIGITS: usize = 64;
/// As many of a fingerprint are shown.
const SHOWN: usize = 16;

/// Bytes of a file's header, the most that is read: some hundred tensors need a tenth of it.
const LONGEST_HEADER: u64 = 1 << 20;

/// Folders in each other, the most: there are three.
const DEEPEST: usize = 4;

/// What lies in a cache folder.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Listing {
    /// Of all files, those that are none of Hearth's too: the cap counts them.
    pub(crate) bytes: u64,
    /// Models' caches, largest first.
    pub(crate) models: Vec<ModelFiles>,
    /// Conversations.
    pub(crate) sessions: Files,
    /// Files that are being written, and whatever else lies there.
    pub(crate) others: Files,
}

/// The caches of one model.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct ModelFiles {
    /// Its name, where a file tells it.
    pub(crate) model: Option<String>,
    /// The beginning of its fingerprint; empty where its files are damaged.
    pub(crate) fingerprint: String,
    /// Tokens of all files.
    pub(crate) tokens: u64,
    #[serde(flatten)]
    pub(crate) files: Files,
}

/// Some files, counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Files {
    /// How many.
    #[serde(rename = "files")]
    pub(crate) count: usize,
    pub(crate) bytes: u64,
    /// When the oldest was last written or used, seconds since 1970.
    pub(crate) oldest: Option<u64>,
    /// The same of the newest.
    pub(crate) newest: Option<u64>,
}

/// Where sessions lie in the cache folder `dir`.
pub(crate) fn sessions(dir: &Path) -> PathBuf {
    dir.join(SESSIONS)
}

/// Bytes of all files under `dir`; 0 where it is not there.
pub(crate) fn bytes(dir: &Path) -> u64 {
    files_under(dir, DEEPEST).iter().map(|file| file.bytes).sum()
}

/// Looks through the cache folder `dir`; one that is not there is empty.
pub(crate) fn list(dir: &Path) -> Listing {
    let (mut listing, mut models) = (Listing::default(), BTreeMap::<String, ModelFiles>::new());
    for file in files_under(dir, DEEPEST) {
        listing.bytes += file.bytes;
        match file.kind(dir) {
            Kind::Cache => {
                let said = metadata(&file.path).unwrap_or_default();
                models.entry(said.fingerprint.clone()).or_default().add(&file, said);
            }
            Kind::Session => listing.sessions.add(&file),
            Kind::Lock => {}
            Kind::Rest | Kind::Foreign => listing.others.add(&file),
        }
    }
    let shown = |fingerprint: String| fingerprint.chars().take(SHOWN).collect();
    let models = models.into_iter();
    listing.models =
        models.map(|(fingerprint, files)| ModelFiles { fingerprint: shown(fingerprint), ..files }).collect();
    listing.models.sort_by_key(|model| std::cmp::Reverse(model.files.bytes));
    listing
}

/// Removes models' caches and sessions; the bytes and the number of files that went, and the first failure.
///
/// Only what is Hearth's goes, since the cache folder may be one that holds other things too. Folders and the lock stay: a
/// server that is about to write must not find them gone.
pub(crate) fn clear(dir: &Path) -> (Files, Option<io::Error>) {
    let (mut removed, mut failure) = (Files::default(), None);
    let files = files_under(dir, DEEPEST);
    for file in files.iter().filter(|file| !matches!(file.kind(dir), Kind::Lock | Kind::Foreign)) {
        match fs::remove_file(&file.path) {
            Ok(()) => removed.add(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    (removed, failure)
}

impl Files {
    fn add(&mut self, file: &Found) {
        self.count += 1;
        self.bytes += file.bytes;
        self.oldest = Some(self.oldest.map_or(file.used, |oldest| oldest.min(file.used)));
        self.newest = Some(self.newest.map_or(file.used, |newest| newest.max(file.used)));
    }
}

impl ModelFiles {
    fn add(&mut self, file: &Found, said: Metadata) {
        self.files.add(file);
        self.tokens += said.tokens.and_then(|tokens| tokens.parse::<u64>().ok()).unwrap_or(0);
        self.model = self.model.take().or(said.model);
    }
}

/// A file under the cache folder.
struct Found {
    path: PathBuf,
    bytes: u64,
    used: u64,
}

/// What a file under the cache folder is.
enum Kind {
    /// A model's cache.
    Cache,
    /// A conversation.
    Session,
    /// Ours, and neither: on its way to become one, or a session's that was damaged.
    Rest,
    Lock,
    Foreign,
}

impl Found {
    /// By its place under `dir`, and its name.
    fn kind(&self, dir: &Path) -> Kind {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if self.path.parent().is_some_and(|folder| folder.starts_with(sessions(dir))) {
            return if name.ends_with(".json") { Kind::Session } else { Kind::Rest };
        }
        let is_hash = |hash: &str| hash.bytes().all(|digit| digit.is_ascii_hexdigit());
        let end = name.split_at_checked(DIGITS).filter(|(hash, _)| is_hash(hash)).map(|(_, end)| end);
        match end {
            _ if self.path.parent() != Some(dir) => Kind::Foreign,
            None if name == LOCK => Kind::Lock,
            Some(".safetensors") => Kind::Cache,
            Some(end) if end.starts_with(".safetensors.") && end.ends_with(".tmp") => Kind::Rest,
            _ => Kind::Foreign,
        }
    }
}

/// All files under `dir`, through folders in it, not through links. What cannot be read is left out.
fn files_under(dir: &Path, depth: usize) -> Vec<Found> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let below = |entry: DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() && depth > 0 => files_under(&entry.path(), depth - 1),
        Ok(kind) if kind.is_dir() => Vec::new(),
        _ => found(&entry).into_iter().collect(),
    };
    entries.flat_map(below).collect()
}

fn found(entry: &DirEntry) -> Option<Found> {
    let metadata = entry.metadata().ok()?;
    let used = metadata.modified().unwrap_or(UNIX_EPOCH).duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Some(Found { path: entry.path(), bytes: metadata.len(), used })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a cache's file says of itself.
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    fingerprint: String,
    model: Option<String>,
    tokens: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Metadata,
}

/// The header of a safetensors file: its length in eight bytes, then JSON.
fn metadata(path: &Path) -> Option<Metadata> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return None;
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    serde_json::from_slice::<Header>(&header).ok().map(|header| header.metadata)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// Writes a file of a cache, whose name is `digit` all over: a header, and data after it.
    pub(crate) fn write_kv(dir: &Path, digit: char, fingerprint: &str, model: Option<&str>, tokens: usize) {
        let said =
            json!({ "__metadata__": { "fingerprint": fingerprint, "model": model, "tokens": tokens.to_string() } });
        let header = said.to_string();
        let content = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 100]].concat();
        fs::write(dir.join(kv(digit)), content).unwrap();
    }

    fn kv(digit: char) -> String {
        format!("{}.safetensors", digit.to_string().repeat(DIGITS))
    }

    fn write(dir: &Path, path: &str, bytes: usize) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![b'x'; bytes]).unwrap();
    }

    /// Files that are Hearth's and neither caches nor sessions, of 7 + 9 + 20 bytes.
    fn write_rest(dir: &Path) {
        write(dir, "sessions/0123456789abcdef/5.123.tmp", 7);
        write(dir, "sessions/0123456789abcdef/6.json.bad", 9);
        write(dir, &format!("{}.123-0.tmp", kv('7')), 20);
        write(dir, LOCK, 0);
    }

    #[test]
    fn files_are_counted_by_model() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(list(&dir.path().join("nothing")), Listing::default());
        let long = "b".repeat(64);
        write_kv(dir.path(), '1', "aaaa", Some("ember"), 300);
        write_kv(dir.path(), '2', &long, None, 200);
        write_kv(dir.path(), '3', &long, Some("qwen3"), 50);
        write(dir.path(), &kv('4'), 3);
        write(dir.path(), "sessions/4.json", 10);
        write(dir.path(), "sessions/0123456789abcdef/5.json", 11);
        write_rest(dir.path());
        // Not where caches lie, and not named as they are.
        write(dir.path(), &format!("elsewhere/{}", kv('4')), 2);
        write(dir.path(), "notes.safetensors", 5);

        let listing = list(dir.path());
        let models: Vec<_> = listing
            .models
            .iter()
            .map(|m| (m.model.as_deref(), m.fingerprint.as_str(), m.files.count, m.tokens))
            .collect();
        let expected = [(Some("qwen3"), &long[..SHOWN], 2, 250), (Some("ember"), "aaaa", 1, 300), (None, "", 1, 0)];
        assert_eq!(models, expected);
        assert_eq!((listing.sessions.count, listing.sessions.bytes), (2, 21));
        assert_eq!((listing.others.count, listing.others.bytes), (5, 7 + 9 + 20 + 2 + 5));
        let parts: u64 = listing.models.iter().map(|model| model.files.bytes).sum();
        assert_eq!(listing.bytes, parts + 21 + 43);
        assert_eq!(listing.bytes, bytes(dir.path()));
        assert!(listing.sessions.newest.is_some_and(|newest| now().abs_diff(newest) < 3600));
    }

    /// A damaged or hostile header costs nothing but its name.
    #[test]
    fn headers_that_lie_are_only_counted() {
        let dir = tempfile::tempdir().unwrap();
        for (digit, content) in [
            ('1', &b"\xff\xff\xff\xff\xff\xff\xff\xff{}"[..]),
            ('2', b"\x02\0\0\0\0\0\0\0[]"),
            ('3', b"\x40\0\0\0\0\0\0\0{\"__metadata__\":"),
            ('4', b"abc"),
        ] {
            fs::write(dir.path().join(kv(digit)), content).unwrap();
        }
        let listing = list(dir.path());
        assert_eq!((listing.models[0].files.count, &listing.models[0].model), (4, &None));
    }

    #[test]
    fn clearing_takes_what_is_hearths_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        write_kv(dir.path(), '1', "aaaa", Some("ember"), 1);
        write(dir.path(), "sessions/0123456789abcdef/2.json", 10);
        write_rest(dir.path());
        write(dir.path(), "kv/notes.txt", 5);
        write(elsewhere.path(), "precious", 9);
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("sessions/link")).unwrap();
        let before = bytes(dir.path());

        let (removed, failure) = clear(dir.path());
        assert!(failure.is_none());
        assert_eq!((removed.count, removed.bytes), (6, before - 5));
        assert_eq!(bytes(dir.path()), 5, "a file of somebody else's");
        assert!(elsewhere.path().join("precious").exists(), "and nothing behind a link");
        assert!(dir.path().join("sessions/0123456789abcdef").is_dir(), "a server may be about to write there");
        assert!(dir.path().join(LOCK).exists(), "or hold this");
        assert_eq!(clear(dir.path()).0, Files::default());
    }
}
