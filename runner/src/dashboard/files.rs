// SPDX-License-Identifier: MIT
//! Writes the dashboard and the rules as files, both or none. Files that something else wrote are
//! replaced only if that is asked for.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bpfpack_registry::file::{Written, check};

use crate::failure::{Failure, exit_code};

/// The text near the beginning of every file that `ecli dashboard` writes.
pub(super) const MARK: &str = "Written by ecli dashboard";

/// The number of bytes in which the mark is found.
const BEGINNING: u64 = 4096;

/// The permissions of new files, less the umask.
const MODE: u32 = 0o666;

/// Writes files into a directory, which is created if it does not exist. Returns their paths.
///
/// # Errors
/// Returns an error if a file cannot be written, or must not be replaced. No file is replaced then,
/// unless a rename fails.
pub(super) fn write(
    directory: &Path,
    files: &[(String, &str)],
    force: bool,
) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::new(exit_code::OUTPUT, error);
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create the directory `{}`", directory.display()))
        .map_err(failed)?;
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| directory.join(name)).collect();
    let cannot = |path: &Path| format!("cannot write `{}`", path.display());
    for path in &paths {
        let is_ours = force || may_replace(path).with_context(|| cannot(path)).map_err(failed)?;
        if !is_ours {
            let text = format!("{}: `ecli dashboard` did not write this file", cannot(path));
            return Err(failed(anyhow!(text)).hint("write elsewhere, or replace it (--force)"));
        }
    }
    let mut written = Vec::new();
    for (path, (_, text)) in paths.iter().zip(files) {
        let file = Written::beside(path, text.as_bytes(), MODE);
        written.push(file.with_context(|| cannot(path)).map_err(failed)?);
    }
    for (written, path) in written.into_iter().zip(&paths) {
        written.rename().with_context(|| cannot(path)).map_err(failed)?;
    }
    Ok(paths)
}

/// Whether nothing is at a path, or a file with the mark.
fn may_replace(path: &Path) -> io::Result<bool> {
    // Opening a special file could block.
    check(path)?;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut beginning = Vec::new();
    file.take(BEGINNING).read_to_end(&mut beginning)?;
    Ok(beginning.windows(MARK.len()).any(|part| part == MARK.as_bytes()))
}

/// The name of a package as part of a file's name.
pub(super) fn stem(package: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String =
        package.chars().take(100).map(|c| if allowed(c) { c } else { '_' }).collect();
    match name.trim_start_matches('.') {
        "" => "package".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("new");
        let text = format!("# {MARK} …\n");
        let write = |text: &str, force| {
            let files = [("a".to_owned(), "1"), ("b".to_owned(), text)];
            super::write(&directory, &files, force)
        };
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        let names = || fs::read_dir(&directory).unwrap().count();
        assert_eq!(write(&text, false).unwrap(), [directory.join("a"), directory.join("b")]);
        fs::write(directory.join("a"), &text).unwrap();
        let _ = write("mine", false).unwrap();
        assert_eq!((read("a"), read("b")), ("1".into(), "mine".into()));
        fs::write(directory.join("a"), &text).unwrap();
        let error = write("new", false).unwrap_err();
        assert_eq!(error.exit_code(), exit_code::OUTPUT);
        assert!(error.message().contains("did not write this file"), "{}", error.message());
        assert_eq!((read("a"), read("b"), names()), (text, "mine".into(), 2), "both or none");
        let _ = write("new", true).unwrap();
        assert_eq!((read("b"), names()), ("new".into(), 2));
        fs::remove_file(directory.join("b")).unwrap();
        fs::create_dir(directory.join("b")).unwrap();
        assert!(write("x", true).is_err());
        assert_eq!(names(), 2);
    }

    #[test]
    fn names_stay_in_the_directory() {
        for (name, wanted) in [
            ("hardirqs", "hardirqs"),
            ("../a/b", "_a_b"),
            ("..", "package"),
            ("é", "_"),
            ("", "package"),
        ] {
            assert_eq!(stem(name), wanted);
        }
    }
}
