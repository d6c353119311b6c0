//! Model folders: Ember as it is in the repository, and copies of it with something changed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::root;

/// Ember's own folder.
pub fn ember() -> PathBuf {
    root().join("models/ember")
}

/// A copy of Ember, to be changed; it lives as long as the value.
pub struct Copy {
    // Only its life is needed.
    _folder: TempDir,
    dir: PathBuf,
}

impl Copy {
    /// A copy in a folder called `name`.
    pub fn of_ember(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join(name);
        fs::create_dir(&dir).expect("a folder");
        let files = fs::read_dir(ember()).expect("models/ember").flatten().map(|file| file.path());
        let of_the_model = ["json", "jinja", "safetensors"];
        let is_model = |path: &PathBuf| path.extension().is_some_and(|end| of_the_model.iter().any(|e| end == *e));
        for path in files.filter(is_model) {
            fs::copy(&path, dir.join(path.file_name().expect("a file"))).expect("a copy");
        }
        Self { _folder: folder, dir }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its folder as an argument.
    pub fn path(&self) -> &str {
        self.dir.to_str().expect("temporary folders are UTF-8")
    }

    /// Takes a file away.
    pub fn remove(self, file: &str) -> Self {
        fs::remove_file(self.dir.join(file)).expect("the file was there");
        self
    }

    /// Writes a file.
    pub fn write(self, file: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.dir.join(file), content).expect("a file");
        self
    }

    /// Cuts a file to `length` bytes.
    pub fn cut(self, file: &str, length: u64) -> Self {
        let opened = fs::File::options().write(true).open(self.dir.join(file)).expect("the file is there");
        opened.set_len(length).expect("cut");
        self
    }

    /// Changes a JSON file.
    pub fn json(self, file: &str, change: impl FnOnce(&mut Value)) -> Self {
        let path = self.dir.join(file);
        let mut value = serde_json::from_slice(&fs::read(&path).expect("the file is there")).expect("JSON");
        change(&mut value);
        self.write(file, value.to_string())
    }
}

/// Ember with room for 100,000 tokens and no token that ends its turn, so that an answer lasts as long as a test needs it.
pub fn tireless_ember() -> Copy {
    let room = |config: &mut Value| config["max_position_embeddings"] = 100_000.into();
    let never = |config: &mut Value| config["eos_token_id"] = Value::Array(Vec::new());
    Copy::of_ember("ember").json("config.json", room).json("config.json", never).json("generation_config.json", never)
}
