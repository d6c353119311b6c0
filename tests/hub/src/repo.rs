//! What the hub serves: repositories with one revision each, from memory or from a folder `OWNER/NAME/…`.

use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use bytes::Bytes;

/// Larger files, and weights, are in LFS: served by redirect, named by their SHA-256.
const LFS_FROM: usize = 1 << 20;

/// A model repository at one commit, which `main` names.
#[derive(Clone)]
pub struct Repo {
    /// `owner/name`.
    pub id: String,
    /// Its files, by the names that the hub will tell, hostile ones too.
    pub files: Vec<File>,
    /// Only who sends a token may read it; others are told to accept terms.
    pub gated: bool,
    /// Tags that search filters by.
    pub tags: Vec<String>,
    /// Downloads in the last month.
    pub downloads: u64,
}

/// One file of a repository.
#[derive(Clone)]
pub struct File {
    /// Path in the repository.
    pub name: String,
    /// What is in it.
    pub content: Bytes,
    /// The size that the hub tells; the content's own, unless a test changes it.
    pub size: u64,
    /// Hexadecimal SHA-256 of the content, where the file is in LFS.
    pub sha256: Option<String>,
    /// Hexadecimal hash of the git blob: of the content, or of the LFS pointer.
    pub oid: String,
}

impl File {
    /// A file with hashes as git and LFS make them.
    pub fn new(name: impl Into<String>, content: impl Into<Bytes>) -> Self {
        let (name, content) = (name.into(), content.into());
        let lfs = name.ends_with(".safetensors") || content.len() > LFS_FROM;
        let sha256 = lfs.then(|| hex(digest(&SHA256, &content).as_ref()));
        let oid = sha256.as_ref().map_or_else(|| git_blob(&content), |sha| git_blob(&pointer(sha, content.len())));
        Self { size: content.len() as u64, name, sha256, oid, content }
    }

    /// What names the content: `ETag` of a plain file, `X-Linked-ETag` of one in LFS, the blob's name in the cache.
    #[must_use]
    pub fn etag(&self) -> &str {
        self.sha256.as_deref().unwrap_or(&self.oid)
    }
}

impl Repo {
    /// A repository that everybody may read.
    pub fn new(id: impl Into<String>, files: Vec<File>) -> Self {
        Self { id: id.into(), files, gated: false, tags: vec!["mlx".into()], downloads: 0 }
    }

    /// The commit: a hash of all names and contents, so that another content is another commit.
    #[must_use]
    pub fn commit(&self) -> String {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        for file in &self.files {
            context.update(format!("{} {}\n", file.name, file.etag()).as_bytes());
        }
        hex(context.finish().as_ref())
    }

    /// All repositories below a folder: `root/OWNER/NAME/…`.
    ///
    /// # Errors
    /// When a folder or a file cannot be read.
    pub fn read_all(root: &Path) -> io::Result<Vec<Self>> {
        let mut repos = Vec::new();
        for owner in folders(root)? {
            for name in folders(&root.join(&owner))? {
                let mut files = Vec::new();
                read_files(&root.join(&owner).join(&name), "", &mut files)?;
                repos.push(Self::new(format!("{owner}/{name}"), files));
            }
        }
        Ok(repos)
    }
}

fn folders(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn read_files(dir: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_files(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push(File::new(name, fs::read(entry.path())?));
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

fn git_blob(content: &[u8]) -> String {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(format!("blob {}\0", content.len()).as_bytes());
    context.update(content);
    hex(context.finish().as_ref())
}

fn pointer(sha256: &str, size: usize) -> Vec<u8> {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n").into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
