//! What `hearth doctor` has found wrong with a model's caches, kept in the data folder until a later check passes.
//!
//! A verdict belongs to a fingerprint: to a model's files, the form of its caches and MLX's version. With any other of
//! these it does not hold.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::{fs, io::ErrorKind};

use anyhow::{Context, Result};
use hearth_engine::LoadRequest;
use serde::{Deserialize, Serialize};

use crate::verify::Kind;

const FILE: &str = "cache-verdicts.json";

/// What was found wrong, by fingerprint.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Verdicts(BTreeMap<String, Verdict>);

/// What was found wrong with one model's caches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The model, for people.
    pub(crate) model: String,
    /// Bits of a cached number, where these are not the model's own.
    #[serde(default)]
    pub(crate) kv_bits: Option<u8>,
    /// Kinds that gave wrong answers.
    pub(crate) failed: Vec<Kind>,
}

impl Verdicts {
    /// Those in the data folder. A file that is not there holds none; nor does a damaged one, which is set aside.
    pub(crate) fn read(data: &Path) -> Result<Self> {
        let path = path(data);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_slice(&bytes).or_else(|_| {
            let bad = path.with_extension("json.bad");
            fs::rename(&path, &bad).with_context(|| format!("{} is damaged: remove it", path.display()))?;
            tracing::warn!(
                "{} was damaged, and what it said is not known: it is {} now",
                path.display(),
                bad.display()
            );
            Ok(Self::default())
        })
    }

    /// Notes what a check has found, and what it has not found any more.
    pub(crate) fn note(&mut self, fingerprint: &str, verdict: Verdict) {
        match verdict.failed.is_empty() {
            true => self.0.remove(fingerprint),
            false => self.0.insert(fingerprint.to_owned(), verdict),
        };
    }

    /// Writes them to the data folder, whole or not at all. Without any there is no file.
    pub(crate) fn write(&self, data: &Path) -> Result<()> {
        let path = path(data);
        let written = if self.0.is_empty() { remove(&path) } else { self.replace(data, &path) };
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    fn replace(&self, data: &Path, path: &Path) -> io::Result<()> {
        fs::create_dir_all(data)?;
        let file = tempfile::NamedTempFile::new_in(data)?;
        serde_json::to_writer_pretty(&file, self)?;
        file.persist(path)?;
        Ok(())
    }

    /// The verdict on a fingerprint.
    pub(crate) fn of(&self, fingerprint: &str) -> Option<&Verdict> {
        self.0.get(fingerprint)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Verdict> {
        self.0.values()
    }
}

impl Verdict {
    /// Switches off what was found wrong; in words.
    pub(crate) fn restrict(&self, request: &mut LoadRequest) -> String {
        let off = self.switched_off();
        if off.memory {
            request.cache.memory = Some(0);
        }
        if off.disk {
            request.cache.disk = None;
        }
        if off.batch {
            request.max_batch = 1;
        }
        off.words()
    }

    /// In words.
    pub(crate) fn consequence(&self) -> String {
        self.switched_off().words()
    }

    /// The disk needs what memory needs, and a branch needs two at a time.
    fn switched_off(&self) -> Off {
        let any = |kinds: &[Kind]| self.failed.iter().any(|kind| kinds.contains(kind));
        Off {
            memory: any(&[Kind::Cold, Kind::Memory, Kind::Cut]),
            disk: any(&[Kind::Cold, Kind::Memory, Kind::Cut, Kind::Disk]),
            batch: any(&[Kind::Branch, Kind::Batched]),
        }
    }
}

struct Off {
    memory: bool,
    disk: bool,
    batch: bool,
}

impl Off {
    fn words(&self) -> String {
        let parts = [
            (self.memory, "no cache in memory"),
            (self.disk, "no cache on disk"),
            (self.batch, "one answer at a time"),
        ];
        parts.iter().filter(|(off, _)| *off).map(|(_, words)| *words).collect::<Vec<_>>().join(", ")
    }
}

fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hearth_engine::{CacheOptions, DiskOptions};

    use super::*;

    fn verdict(failed: &[Kind]) -> Verdict {
        Verdict { model: "ember".into(), kv_bits: None, failed: failed.to_vec() }
    }

    #[test]
    fn a_verdict_stays_until_a_check_passes() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let note = |failed: &[Kind]| {
            let mut verdicts = Verdicts::read(&data).unwrap();
            verdicts.note("f1", verdict(failed));
            verdicts.write(&data).unwrap();
            Verdicts::read(&data).unwrap()
        };
        assert_eq!(note(&[Kind::Disk]).of("f1"), Some(&verdict(&[Kind::Disk])));
        assert_eq!(note(&[Kind::Cut, Kind::Batched]).all().count(), 1);
        assert_eq!(Verdicts::read(&data).unwrap().of("f2"), None);
        assert_eq!(note(&[]), Verdicts::default());
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "and no file is left");
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let data = tempfile::tempdir().unwrap();
        fs::write(path(data.path()), "{").unwrap();
        assert_eq!(Verdicts::read(data.path()).unwrap(), Verdicts::default());
        assert_eq!(fs::read(data.path().join("cache-verdicts.json.bad")).unwrap(), b"{");
        assert!(!path(data.path()).exists());
    }

    #[test]
    fn what_failed_is_switched_off() {
        for (failed, memory, disk, batch, words) in [
            (Kind::Disk, None, false, 32, "no cache on disk"),
            (Kind::Memory, Some(0), false, 32, "no cache in memory, no cache on disk"),
            (Kind::Cut, Some(0), false, 32, "no cache in memory, no cache on disk"),
            (Kind::Cold, Some(0), false, 32, "no cache in memory, no cache on disk"),
            (Kind::Branch, None, true, 1, "one answer at a time"),
            (Kind::Batched, None, true, 1, "one answer at a time"),
        ] {
            let disk_options = Some(DiskOptions { dir: "/caches".into(), bytes: 1 });
            let cache = CacheOptions { disk: disk_options, ..CacheOptions::default() };
            let mut request = LoadRequest { dir: "m".into(), context: None, max_batch: 32, cache };
            assert_eq!(verdict(&[failed]).restrict(&mut request), words);
            let left = (request.cache.memory, request.cache.disk.is_some(), request.max_batch);
            assert_eq!(left, (memory, disk, batch), "{failed:?}");
        }
    }
}
