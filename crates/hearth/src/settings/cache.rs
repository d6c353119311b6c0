//! What is kept of conversations and of the work on them, and where.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hearth_engine::{CacheOptions, DiskOptions, SessionOptions};

use super::options::Options;
use crate::paths::{self, process_env};
use crate::{cache_dir, disk};

/// Bytes on disk where the disk is large.
const DISK: u64 = 10 << 30;
/// The part of the room on disk that is for the sessions' files, and the most that these get.
const SESSIONS_SHARE: u64 = 10;
const SESSIONS: u64 = 256 << 20;
/// A session's file is larger than its messages in memory, as JSON spells out what it holds: by less than this factor.
const SPELLED: u64 = 2;

/// What the engine needs to know, from what was said of caches and sessions.
///
/// The room on disk is divided so that all files together never pass it, without the two kinds' writers knowing each
/// other: a worker counts every file, the sessions' too, when it makes room in its part, and the sessions of all models add
/// at most theirs.
pub(super) fn of(options: &Options) -> Result<(CacheOptions, SessionOptions)> {
    let mut disk = disk_options(options)?;
    let mut sessions = sessions(options);
    if let Some(disk) = &mut disk {
        let share = SESSIONS.min(disk.bytes / SESSIONS_SHARE);
        disk.bytes -= share;
        let dir = Some(cache_dir::sessions(&disk.dir));
        sessions = SessionOptions { bytes: share / SPELLED, disk: share, dir, ..sessions };
    }
    let limit = options.memory.map(|size| size.0);
    if limit == Some(0) {
        bail!("--memory is 0: say how much the model may take, or leave it away");
    }
    let memory = options.cache_memory.map(|size| size.0);
    Ok((CacheOptions { memory, disk, kv_bits: options.kv_bits.map(|bits| bits.get()), limit }, sessions))
}

fn disk_options(options: &Options) -> Result<Option<DiskOptions>> {
    if options.cache_disk.is_some_and(|size| size.0 == 0) {
        return Ok(None);
    }
    let dir = match dir(options.cache_dir.as_deref()) {
        // A service without a home: nobody asked for files, and all works without them.
        Err(error) if options.cache_dir.is_none() => {
            tracing::warn!("nothing is kept on disk: {error:#}");
            return Ok(None);
        }
        dir => dir?,
    };
    let bytes = options.cache_disk.map_or_else(|| default_bytes(&dir), |size| size.0);
    // A disk without any room: nothing would ever be written.
    Ok((bytes > 0).then_some(DiskOptions { dir, bytes }))
}

/// The cache's folder: the one that was given, else the system's place for it.
pub(crate) fn dir(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        // A worker may have another folder to work in.
        Some(dir) => std::path::absolute(dir).with_context(|| format!("--cache-dir {} cannot be used", dir.display())),
        None => paths::cache_dir(process_env),
    }
}

/// 10 GB or a tenth of the disk's free space, the smaller. What the cache takes up already counts as free, or it would
/// shrink at each start.
pub(crate) fn default_bytes(dir: &Path) -> u64 {
    let held = cache_dir::bytes(dir);
    disk::free(dir).map_or(DISK, |free| DISK.min(free.saturating_add(held) / 10))
}

fn sessions(options: &Options) -> SessionOptions {
    let default = SessionOptions::default();
    SessionOptions {
        count: options.sessions.map_or(default.count, Into::into),
        idle: options.session_ttl.map_or(default.idle, |span| span.0),
        ..default
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::units::Size;

    fn read(change: impl FnOnce(&mut Options)) -> Result<(CacheOptions, SessionOptions)> {
        let mut options = Options { cache_dir: Some("/caches".into()), ..Options::default() };
        change(&mut options);
        of(&options)
    }

    #[test]
    fn silence_leaves_memory_to_the_worker_and_bounds_the_disk() {
        let (cache, sessions) = read(|_| {}).unwrap();
        assert_eq!((cache.memory, cache.kv_bits, cache.limit), (None, None, None));
        let disk = cache.disk.unwrap();
        assert_eq!(disk.dir, PathBuf::from("/caches"));
        assert!((1..=DISK).contains(&disk.bytes), "{}", disk.bytes);
        let expected = SessionOptions { dir: Some("/caches/sessions".into()), ..SessionOptions::default() };
        assert_eq!((sessions.disk / SPELLED, sessions.disk > 0), (sessions.bytes, true));
        assert_eq!(SessionOptions { bytes: expected.bytes, disk: expected.disk, ..sessions }, expected);
    }

    #[test]
    fn every_option_arrives() {
        let (cache, sessions) = read(|o| {
            (o.cache_memory, o.cache_disk) = (Some(Size(1)), Some(Size(200)));
            (o.kv_bits, o.memory) = ("4".parse().ok(), Some(Size(3)));
            (o.sessions, o.session_ttl) = (7.try_into().ok(), "15m".parse().ok());
        })
        .unwrap();
        let disk = Some(DiskOptions { dir: "/caches".into(), bytes: 180 });
        assert_eq!(cache, CacheOptions { memory: Some(1), disk, kv_bits: Some(4), limit: Some(3) });
        assert_eq!((sessions.count, sessions.idle, sessions.bytes), (7, Duration::from_secs(900), 10));
    }

    #[test]
    fn sessions_get_a_tenth_of_the_disk_but_never_more_than_they_need() {
        for (disk, sessions) in [(1 << 20, 104_857), (10 << 30, 256 << 20), (1 << 40, 256 << 20)] {
            let (cache, options) = read(|o| o.cache_disk = Some(Size(disk))).unwrap();
            assert_eq!((cache.disk.unwrap().bytes, options.bytes), (disk - sessions, sessions / 2));
        }
    }

    #[test]
    fn zero_switches_the_disk_off_and_the_sessions_files_with_it() {
        let (cache, sessions) = read(|o| o.cache_disk = Some(Size(0))).unwrap();
        assert_eq!((cache.disk, sessions.dir), (None, None));
        assert!(read(|o| o.memory = Some(Size(0))).unwrap_err().to_string().contains("--memory"));
    }

    #[test]
    fn a_folder_is_made_absolute() {
        let (cache, _) = read(|o| o.cache_dir = Some("caches".into())).unwrap();
        assert_eq!(cache.disk.unwrap().dir, std::env::current_dir().unwrap().join("caches"));
    }
}
