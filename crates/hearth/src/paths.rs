//! Where things lie on disk. The environment is an argument, so that tests need not change their own.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A variable of this process's environment; an empty one counts as not set.
pub(crate) fn process_env(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Hearth's own data: `HEARTH_HOME`, else the system's place for such data.
pub(crate) fn data_dir(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let system = || system_dir(&env, "Library/Application Support/Hearth", "XDG_DATA_HOME", ".local/share");
    let dir = env("HEARTH_HOME").map(PathBuf::from).or_else(system);
    dir.context("there is no place for Hearth's data: set HEARTH_HOME (or HOME) to a folder")
}

/// What Hearth keeps to be faster, and can do without: `HEARTH_HOME/cache`, else the system's place for such things.
pub(crate) fn cache_dir(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let system = || system_dir(&env, "Library/Caches/Hearth", "XDG_CACHE_HOME", ".cache");
    let dir = env("HEARTH_HOME").map(|home| PathBuf::from(home).join("cache")).or_else(system);
    dir.context("there is no place for Hearth's cache: set --cache-dir (or HOME) to a folder, or --cache-disk to 0")
}

/// On a Mac `mac` below the home folder; elsewhere `hearth` in the folder that `variable` names, else in `other` below it.
fn system_dir(env: impl Fn(&str) -> Option<OsString>, mac: &str, variable: &str, other: &str) -> Option<PathBuf> {
    let home = |part: &str| Some(PathBuf::from(env("HOME")?).join(part));
    if cfg!(target_os = "macos") {
        return home(mac);
    }
    let absolute = env(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    Some(absolute.or_else(|| home(other))?.join("hearth"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
    }

    #[test]
    fn hearth_home_wins_over_the_systems_place() {
        let variables = [("HEARTH_HOME", "/a"), ("XDG_DATA_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(data_dir(env(&variables)).unwrap(), PathBuf::from("/a"));
        let system = if cfg!(target_os = "macos") { "/c/Library/Application Support/Hearth" } else { "/b/hearth" };
        assert_eq!(data_dir(env(&variables[1..])).unwrap(), PathBuf::from(system));
    }

    #[test]
    fn the_cache_has_a_place_of_its_own() {
        let variables = [("HEARTH_HOME", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(cache_dir(env(&variables)).unwrap(), PathBuf::from("/a/cache"));
        let system = if cfg!(target_os = "macos") { "/c/Library/Caches/Hearth" } else { "/b/hearth" };
        assert_eq!(cache_dir(env(&variables[1..])).unwrap(), PathBuf::from(system));
        let home = if cfg!(target_os = "macos") { "/c/Library/Caches/Hearth" } else { "/c/.cache/hearth" };
        assert_eq!(cache_dir(env(&[("XDG_CACHE_HOME", "b"), variables[2]])).unwrap(), PathBuf::from(home));
        assert!(cache_dir(env(&[])).unwrap_err().to_string().contains("--cache-dir"));
    }

    #[test]
    fn without_any_home_the_error_says_what_to_set() {
        assert!(data_dir(env(&[])).unwrap_err().to_string().contains("HEARTH_HOME"));
    }
}
