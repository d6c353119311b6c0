//! `server.json` in the data folder: where the running server is, and the token that opens its management API. Only its
//! owner can read it; that is what makes the token one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::NamedTempFile;

/// The file, which goes when this is dropped, unless another server has written its own by then.
pub(crate) struct ServerFile {
    path: PathBuf,
    content: String,
}

impl ServerFile {
    /// Writes it for this process, in place of one that may be there.
    pub(crate) fn write(data: &Path, url: &str, token: &str) -> io::Result<Self> {
        let version = env!("CARGO_PKG_VERSION");
        let content = json!({ "pid": std::process::id(), "url": url, "token": token, "version": version }).to_string();
        let path = data.join("server.json");
        // Its owner's alone from the first byte on, and whole wherever it can be seen.
        let mut file = NamedTempFile::new_in(data)?;
        file.write_all(content.as_bytes())?;
        file.persist(&path)?;
        Ok(Self { path, content })
    }
}

impl Drop for ServerFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|found| found == self.content) {
            // A file that stays is found out: its process is gone.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The token, which stays the same over restarts, so that a page that is open goes on. Without its file there is a new one.
pub(crate) fn token(data: &Path) -> io::Result<String> {
    let path = data.join("token");
    let is_one = |found: &String| found.len() == 64 && found.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(found) = fs::read_to_string(&path).ok().filter(is_one) {
        return Ok(found);
    }
    let token = hearth_server::secret()?;
    let mut file = NamedTempFile::new_in(data)?;
    file.write_all(token.as_bytes())?;
    file.persist(&path)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use hearth_server::secret;

    use super::*;

    #[test]
    fn the_token_stays_until_its_file_goes() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("token");
        let first = token(data.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(token(data.path()).unwrap(), first);
        fs::write(&path, "").unwrap();
        assert_ne!(token(data.path()).unwrap(), first);
    }

    #[test]
    fn it_is_its_owners_alone_and_goes_unless_another_took_its_place() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("server.json");
        let (one, two) = (secret().unwrap(), secret().unwrap());
        assert!(one != two && one.len() == 64);
        let first = ServerFile::write(data.path(), "http://127.0.0.1:1", &one).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = ServerFile::write(data.path(), "http://127.0.0.1:2", &two).unwrap();
        drop(first);
        let found: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((found["url"].as_str(), found["token"].as_str()), (Some("http://127.0.0.1:2"), Some(two.as_str())));
        drop(second);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }
}
