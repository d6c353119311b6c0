//! From what a person calls a model to the folder that holds it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use hearth_engine::ModelSpec;
use hearth_hub::files::RepoId;
use hearth_hub::{cache, names};

use crate::ember;
use crate::paths::{self, process_env};

/// Finds a model by folder, by Hugging Face id among what is on this machine already, or by the name `ember`.
pub fn find(name: &str) -> Result<ModelSpec> {
    find_in(name, process_env)
}

fn find_in(name: &str, env: impl Fn(&str) -> Option<OsString>) -> Result<ModelSpec> {
    if name.eq_ignore_ascii_case(ember::NAME) {
        let data = paths::data_dir(&env)?;
        let dir = ember::unpack(&data)
            .with_context(|| format!("cannot write the built-in model into {} (HEARTH_HOME)", data.display()))?;
        return Ok(ModelSpec { id: ember::NAME.into(), source: ember::NAME.into(), dir, ..ModelSpec::default() });
    }
    let dir = match Path::new(name) {
        path if path.is_dir() => path.canonicalize().with_context(|| format!("cannot open {name}"))?,
        path if path.is_file() => bail!("{name} is a file; give the folder that holds the model"),
        _ => in_hub_cache(name, env)?,
    };
    let id = names::api_name(names::display_name(&display(name)));
    Ok(ModelSpec { id, source: name.to_owned(), dir, ..ModelSpec::default() })
}

/// What people call a model: a folder by its own name, wherever it lies, anything else as it was asked for.
pub fn display(name: &str) -> String {
    let folder = Path::new(name).canonicalize().ok().filter(|path| path.is_dir());
    let folder = folder.as_deref().and_then(Path::file_name);
    folder.map_or(name.to_owned(), |folder| folder.to_string_lossy().into_owned())
}

/// What people call these models.
pub fn display_all(names: &[String]) -> String {
    names.iter().map(|name| display(name)).collect::<Vec<_>>().join(", ")
}

/// The snapshot of a Hugging Face repository that another tool has downloaded.
fn in_hub_cache(name: &str, env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let Ok(repo) = name.parse::<RepoId>() else {
        bail!("there is no model `{name}`: give a model's folder, a Hugging Face id (owner/name), or `ember`");
    };
    let cache = cache::cache_dir(env).context("HOME is not set, so there is no Hugging Face cache to look into")?;
    let folder = cache.join(repo.folder());
    Ok(snapshot(&folder).ok_or_else(|| NotHere { repo: name.to_owned(), cache })?)
}

/// A repository that is not on this machine, and could be downloaded.
#[derive(Debug)]
pub(crate) struct NotHere {
    repo: String,
    cache: PathBuf,
}

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repo, cache } = self;
        let cache = cache.display();
        write!(
            f,
            "{repo} is neither a folder nor in the Hugging Face cache ({cache}): download it with `hearth pull {repo}`"
        )
    }
}

impl std::error::Error for NotHere {}

fn snapshot(folder: &Path) -> Option<PathBuf> {
    let revision = std::fs::read_to_string(folder.join("refs/main")).ok()?;
    let revision = revision.trim();
    // It names one folder, whatever the file says.
    let plain = Path::new(revision).components().eq([Component::Normal(revision.as_ref())]);
    let dir = folder.join("snapshots").join(plain.then_some(revision)?);
    dir.is_dir().then_some(dir)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn no_env(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn a_folder_is_called_by_its_last_segment() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("Tiny Llama 1B");
        fs::create_dir(&folder).unwrap();
        let spec = find_in(folder.to_str().unwrap(), no_env).unwrap();
        assert_eq!((spec.id.as_str(), spec.dir), ("tiny-llama-1b", folder.canonicalize().unwrap()));
        // Tests run in the crate's folder.
        assert_eq!(display("."), "hearth");
        assert_eq!(display("mlx-community/Tiny-4bit"), "mlx-community/Tiny-4bit");
    }

    #[test]
    fn a_repository_is_found_in_the_hub_cache() {
        let home = tempfile::tempdir().unwrap();
        let repo = home.path().join("hub/models--mlx-community--Tiny-4bit");
        fs::create_dir_all(repo.join("refs")).unwrap();
        fs::create_dir_all(repo.join("snapshots/abc123")).unwrap();
        fs::write(repo.join("refs/main"), "abc123\n").unwrap();
        let env = |name: &str| (name == "HF_HOME").then(|| home.path().into());
        let spec = find_in("mlx-community/Tiny-4bit", env).unwrap();
        assert_eq!(
            spec,
            ModelSpec {
                id: "tiny-4bit".into(),
                source: "mlx-community/Tiny-4bit".into(),
                dir: repo.join("snapshots/abc123"),
                ..ModelSpec::default()
            }
        );
        fs::write(repo.join("refs/main"), "../../elsewhere").unwrap();
        assert!(find_in("mlx-community/Tiny-4bit", env).is_err());
    }

    #[test]
    fn what_is_not_there_is_named_with_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("model.gguf");
        fs::write(&file, "").unwrap();
        let env = |name: &str| (name == "HF_HOME").then(|| home.path().into());
        let table = [
            ("no-such-model", "there is no model `no-such-model`"),
            ("../secret/x", "there is no model"),
            ("owner/../../x", "there is no model"),
            ("owner/name", "hearth pull owner/name"),
            (file.to_str().unwrap(), "is a file; give the folder"),
        ];
        for (name, part) in table {
            let message = find_in(name, env).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }
}
