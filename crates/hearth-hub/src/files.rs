//! Names that come from outside: repositories, revisions, files. Whatever a Hub or a person says becomes one of these
//! before it becomes a path or an address, so that no name can lead out of the folder that it belongs to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::HubError;

/// The longest segment of a repository's name, as the Hub has it.
const MAX_SEGMENT: usize = 96;
/// The longest name that file systems take, with room for what is appended to it.
const MAX_COMPONENT: usize = 200;
const MAX_PATH: usize = 1024;

/// A repository: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoId {
    text: String,
    slash: usize,
}

impl RepoId {
    /// Whose repository it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.text[..self.slash]
    }

    /// Its name below the owner.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// `owner/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The repository's folder in the Hugging Face cache: `models--owner--name`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("models--{}--{}", self.owner(), self.name())
    }

    /// The repository that a folder of the Hugging Face cache is of; none for other folders.
    #[must_use]
    pub fn from_folder(folder: &str) -> Option<Self> {
        let (owner, name) = folder.strip_prefix("models--")?.split_once("--")?;
        format!("{owner}/{name}").parse().ok()
    }
}

impl FromStr for RepoId {
    type Err = HubError;

    /// # Errors
    /// When it is not two segments that the Hub would take.
    fn from_str(text: &str) -> Result<Self, HubError> {
        let plain = text.split_once('/').filter(|(owner, name)| is_segment(owner) && is_segment(name));
        match plain {
            Some((owner, _)) => Ok(Self { text: text.into(), slash: owner.len() }),
            None => Err(HubError::RepoName(shown(text))),
        }
    }
}

/// One part of a repository's id. `--` stands for the slash in folder names, so neither the Hub nor we allow it elsewhere.
pub(crate) fn is_segment(segment: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let edge = |c: char| c == '.' || c == '-';
    (1..=MAX_SEGMENT).contains(&segment.len())
        && segment.chars().all(inner)
        && !segment.starts_with(edge)
        && !segment.ends_with(edge)
        && !segment.contains("--")
        && !segment.contains("..")
}

/// A branch, a tag, or a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision(String);

impl Revision {
    /// `main`.
    #[must_use]
    pub fn main() -> Self {
        Self("main".into())
    }

    /// As it was said.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Revision {
    type Err = HubError;

    /// # Errors
    /// When it is not what git would take for a name, of letters, digits, `.`, `_`, `-` and `/`.
    fn from_str(text: &str) -> Result<Self, HubError> {
        let inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let part = |part: &str| {
            !part.is_empty() && !part.starts_with(['.', '-']) && !part.contains("..") && part.chars().all(inner)
        };
        let good = text.len() <= MAX_COMPONENT && text.split('/').all(part);
        if good { Ok(Self(text.into())) } else { Err(HubError::RevisionName(shown(text))) }
    }
}

/// One commit: forty hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit(String);

impl Commit {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Commit {
    type Err = HubError;

    /// # Errors
    /// When it is not forty hexadecimal digits in lower case.
    fn from_str(text: &str) -> Result<Self, HubError> {
        let digits = text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits { Ok(Self(text.into())) } else { Err(HubError::Answer(format!("{} is not a commit", shown(text)))) }
    }
}

/// A file of a repository: a relative path of plain components, with `/` between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// With `/` between the components.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below `dir`.
    #[must_use]
    pub fn below(&self, dir: &Path) -> PathBuf {
        self.components().fold(dir.to_path_buf(), |path, component| path.join(component))
    }

    /// Its folders' names, then its own.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for FileName {
    type Err = HubError;

    /// # Errors
    /// When a component is empty, `.` or `..`, too long, or has a character that is a separator or a control on some system.
    fn from_str(text: &str) -> Result<Self, HubError> {
        let plain = |c: char| !c.is_control() && !"\\:".contains(c);
        let component = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && part.len() <= MAX_COMPONENT && part.chars().all(plain)
        };
        let good = text.len() <= MAX_PATH && text.split('/').all(component);
        if good { Ok(Self(text.into())) } else { Err(HubError::FileName(shown(text))) }
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A hostile name as it may be printed: escaped and short.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_owner_and_a_name() {
        let repo: RepoId = "mlx-community/Llama-3.2-3B-Instruct-4bit".parse().unwrap();
        assert_eq!((repo.owner(), repo.name()), ("mlx-community", "Llama-3.2-3B-Instruct-4bit"));
        assert_eq!(repo.folder(), "models--mlx-community--Llama-3.2-3B-Instruct-4bit");
        assert_eq!(RepoId::from_folder(&repo.folder()), Some(repo));
        assert_eq!(RepoId::from_folder("datasets--a--b"), None);
    }

    #[test]
    fn hostile_repositories_are_refused() {
        let long = format!("a/{}", "b".repeat(97));
        let names = [
            "",
            "a",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "../b",
            "a/..",
            "a/.b",
            "-a/b",
            "~a/b",
            "a/b c",
            "a/b\0",
            "a\\b",
            "a/b--c",
            "a/..%2f",
            "a/%2e%2e",
            "a/b..c",
            "C:/b",
            "//b/c",
            "a/é",
            "a/b.",
            "a/b-",
            "a/\u{202e}b",
            &long,
        ];
        for name in names {
            assert!(name.parse::<RepoId>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn revisions_are_gits() {
        for good in ["main", "v1.0", "refs/pr/1", "0123456789abcdef0123456789abcdef01234567"] {
            assert_eq!(good.parse::<Revision>().unwrap().as_str(), good);
        }
        for bad in ["", "/", "a//b", "../x", "a/../b", "-x", ".x", "a b", "a\\b", "a\0", "a/"] {
            assert!(bad.parse::<Revision>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_stay_below_their_folder() {
        let name: FileName = "additional_chat_templates/tool use.jinja".parse().unwrap();
        assert_eq!(name.below(Path::new("/c")), Path::new("/c/additional_chat_templates/tool use.jinja"));
        let long = "x".repeat(201);
        let names = [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "..\\a",
            "C:\\a",
            "C:a",
            "a\0b",
            "a\nb",
            ".",
            &long,
        ];
        for name in names {
            assert!(name.parse::<FileName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_error_shows_no_control_character_and_no_endless_name() {
        let error = format!("a\u{1b}[2J{}", "x".repeat(500)).parse::<FileName>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}') && error.len() < 250, "{error}");
    }
}
