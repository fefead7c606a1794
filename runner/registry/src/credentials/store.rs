// SPDX-License-Identifier: MIT
//! The files with credentials: `$REGISTRY_AUTH_FILE` (podman, skopeo), `$DOCKER_CONFIG/config.json`,
//! `~/.docker/config.json`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::config::{Config, Source};
use super::{Credentials, CredentialsError, helper};
use crate::file;

/// Who may read a file with credentials.
const MODE: u32 = 0o600;

/// The files with credentials, in the order in which they are searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    files: Vec<PathBuf>,
}

impl Store {
    /// The files that the environment of this process names.
    #[must_use]
    pub fn of_environment() -> Store {
        Store::of(|name| std::env::var_os(name))
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Store {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker = path("DOCKER_CONFIG").or_else(|| Some(path("HOME")?.join(".docker")));
        let docker = docker.map(|dir| dir.join("config.json"));
        Store { files: path("REGISTRY_AUTH_FILE").into_iter().chain(docker).collect() }
    }

    /// Finds the credentials for a repository.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or a program that it names fails.
    pub fn find(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credentials>, CredentialsError> {
        for path in &self.files {
            let Some(config) = read(path)? else { continue };
            let sources = config.find(host, repository).map_err(|reason| content(path, reason))?;
            for source in sources {
                let found = match source {
                    Source::Here(credentials) => Some(credentials),
                    Source::Helper { name, key } => helper::ask(&name, &key)?,
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// Stores a user name and a password in the first file. Returns its path.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or written.
    pub fn save(&self, host: &str, user: &str, password: &str) -> Result<&Path, CredentialsError> {
        let path = self.files.first().ok_or(CredentialsError::NoHome)?;
        let mut config = match read(path)? {
            Some(config) => config,
            None => Config::parse(b"").map_err(|reason| content(path, reason))?,
        };
        config.set(host, user, password).map_err(|reason| content(path, reason))?;
        write(path, &config)?;
        Ok(path)
    }

    /// Removes the credentials for a registry from all files. Returns the files that had them.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or written.
    pub fn remove(&self, host: &str) -> Result<Vec<&Path>, CredentialsError> {
        let mut changed = Vec::new();
        for path in &self.files {
            let Some(mut config) = read(path)? else { continue };
            if config.remove(host).map_err(|reason| content(path, reason))? {
                write(path, &config)?;
                changed.push(path.as_path());
            }
        }
        Ok(changed)
    }
}

fn content(path: &Path, reason: String) -> CredentialsError {
    CredentialsError::Content { path: path.to_owned(), reason }
}

fn read(path: &Path) -> Result<Option<Config>, CredentialsError> {
    match std::fs::read(path) {
        Ok(bytes) => Config::parse(&bytes).map(Some).map_err(|reason| content(path, reason)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CredentialsError::File { what: "read", path: path.to_owned(), error }),
    }
}

fn write(path: &Path, config: &Config) -> Result<(), CredentialsError> {
    let error = |error| CredentialsError::File { what: "write", path: path.to_owned(), error };
    // The file is often a link into a directory with other settings.
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(_) => path.to_owned(),
    };
    if let Some(parent) = real.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        file::create_private_directory(parent).map_err(error)?;
    }
    file::replace(&real, &config.text(), MODE).map_err(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_environment_names_the_files() {
        let of = |known: &[(&str, &str)]| {
            let store = Store::of(|name| {
                known.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            });
            store.files
        };
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[("HOME", "/h")]), ["/h/.docker/config.json"].map(PathBuf::from));
        let all = of(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d"), ("REGISTRY_AUTH_FILE", "/a.json")]);
        assert_eq!(all, ["/a.json", "/d/config.json"].map(PathBuf::from));
        assert!(of(&[("HOME", ""), ("DOCKER_CONFIG", "")]).is_empty());
    }

    #[test]
    fn credentials_are_saved_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.json");
        let store = Store { files: vec![path.clone()] };
        assert_eq!(store.find("h.io", "a").unwrap(), None);
        assert!(store.remove("h.io").unwrap().is_empty());
        assert_eq!(store.save("h.io", "u", "p").unwrap(), path);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let password = Credentials::Password { user: "u".into(), password: "p".into() };
        assert_eq!(store.find("h.io", "a").unwrap(), Some(password));
        assert_eq!(store.remove("h.io").unwrap(), [path.as_path()]);
        assert_eq!(store.find("h.io", "a").unwrap(), None);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_remains_and_a_public_file_becomes_private() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, r#"{"detachKeys":"ctrl-a"}"#).unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&real, &link).unwrap();
        let store = Store { files: vec![link.clone()] };
        store.save("h.io", "u", "p").unwrap();
        assert!(link.is_symlink());
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&real).unwrap().contains("detachKeys"));
    }

    #[test]
    fn a_broken_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, "{ broken").unwrap();
        let store = Store { files: vec![path.clone()] };
        assert!(store.find("h.io", "a").is_err());
        assert!(store.save("h.io", "u", "p").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ broken");
    }
}
