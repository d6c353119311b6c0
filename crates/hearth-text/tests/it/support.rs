//! What the tests of this crate share: the repository's fixtures and a repeatable source of chance.

use std::path::{Path, PathBuf};

/// A folder of `tests/fixtures`.
pub(crate) fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(folder)
}

/// The files of a fixture folder with this extension, sorted by name.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(fixtures(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = listed.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "no .{extension} in {folder}");
    files
}

/// A file as JSON.
pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Marsaglia's xorshift64: the same numbers on every run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    /// One of `items`.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A text from snippets, Unicode of all lengths among them.
    pub(crate) fn text(&mut self, snippets: &[&str], longest: usize) -> String {
        (0..self.below(longest)).map(|_| *self.pick(snippets)).collect()
    }
}
