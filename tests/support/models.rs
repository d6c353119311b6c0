//! Model folders: Ember as it is in the repository, copies of it with something changed, and random models.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
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
        let copy = Self::empty(name);
        let files = fs::read_dir(ember()).expect("models/ember").flatten().map(|file| file.path());
        let of_the_model = ["json", "jinja", "safetensors"];
        let is_model = |path: &PathBuf| path.extension().is_some_and(|end| of_the_model.iter().any(|e| end == *e));
        for path in files.filter(is_model) {
            fs::copy(&path, copy.dir.join(path.file_name().expect("a file"))).expect("a copy");
        }
        copy
    }

    /// An empty folder called `name`.
    fn empty(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join(name);
        fs::create_dir(&dir).expect("a folder");
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

/// Characters of [`random`]'s vocabulary: one token each, so that a text has one form in tokens alone.
const LETTERS: usize = 156;

/// A random float32 model (`llama-f32`, …, a folder of tests/fixtures/parity) with a tokenizer of single characters and a
/// ChatML template: what it says has no sense, but every token depends on all before it.
pub fn random(name: &str) -> Copy {
    let source = root().join("tests/fixtures/parity").join(name);
    let file = |file: &str| fs::read(source.join(file)).unwrap_or_else(|error| panic!("{name}/{file}: {error}"));
    Copy::empty(name)
        .write("config.json", file("config.json"))
        .write("model.safetensors", file("model.safetensors"))
        .write("tokenizer.json", tokenizer().to_string())
        .write("chat_template.jinja", CHATML)
}

/// ChatML in its plainest form.
pub const CHATML: &str = "{%- for message in messages -%}\
     {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' -}}\
     {%- endfor -%}\
     {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

fn tokenizer() -> Value {
    let special = ["<unk>", "<|im_start|>", "<|im_end|>", "<pad>"];
    let letters = [' ', '\n'].into_iter().chain('!'..='~').chain('À'..='ÿ').take(LETTERS);
    let names = special.map(str::to_owned).into_iter().chain(letters.map(String::from));
    let vocab: serde_json::Map<String, Value> =
        names.zip(0..).map(|(name, id): (String, u32)| (name, id.into())).collect();
    let added = special.iter().zip(0..).map(|(content, id): (_, u32)| {
        json!({"id": id, "content": content, "special": true, "normalized": false,
               "single_word": false, "lstrip": false, "rstrip": false})
    });
    json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": vocab, "merges": [], "unk_token": "<unk>", "fuse_unk": false,
                  "byte_fallback": false, "dropout": null, "continuing_subword_prefix": null, "end_of_word_suffix": null},
    })
}
