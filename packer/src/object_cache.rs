// SPDX-License-Identifier: MIT
//! Keeps compiled objects in the user's cache directory: the same source with the same headers,
//! flags and compiler is not compiled again.
//!
//! The key of an object consists of the directory of its source, the flags, the compiler and our
//! headers. The object is used only if every file that clang read is unchanged, and if no header
//! has appeared that clang would find before one of those files. In case of doubt, the source is
//! compiled: if it asks for the date or whether a header exists, or if clang printed messages.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use bpfpack_schemas::package::Variant;

use crate::cache::{self, Kind, hex, keep_newest};
use crate::compiled::Compiled;
use crate::records::Facts;

/// The largest size of the line before an object, in bytes.
const MAX_MANIFEST: u64 = 16 << 20;

/// The number of bytes of a file that are searched at once.
const PIECE: usize = 64 << 10;

/// The length of the longest of the words below.
const LONGEST_WORD: usize = 13;

/// Words in a source that make its object depend on more than its files.
const DOUBTFUL: [&str; 5] =
    ["__DATE__", "__TIME__", "__TIMESTAMP__", "__has_include", "__has_embed"];

/// Environment variables that change the output of clang.
pub(crate) const ENVIRONMENT: [&str; 2] = ["CCC_OVERRIDE_OPTIONS", "LC_ALL"];

/// Environment variables that change clang's search path: if one is set, nothing is kept.
pub(crate) const SEARCHED: [&str; 2] = ["CPATH", "C_INCLUDE_PATH"];

/// The place of one object in the cache, whether it exists or not.
#[derive(Debug)]
pub(crate) struct CachedObject {
    file: PathBuf,
    /// The directories that clang searches before our headers.
    dirs: Vec<PathBuf>,
    /// Our headers: `file` identifies their content, which never changes.
    ours: PathBuf,
    /// The start of the run: a file that changed later may differ from what clang read.
    began: SystemTime,
}

/// The line before the object.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    /// The hash of each file that clang read.
    files: BTreeMap<PathBuf, String>,
    /// The size of each object in bytes: first the object itself, then its variants, with their
    /// instruction sets.
    objects: Vec<(String, usize)>,
    /// Paths that clang would have found before one of these files, if they had existed.
    absent: Vec<PathBuf>,
    /// The facts from the debug information.
    facts: Facts,
    /// What is printed whenever the object is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl CachedObject {
    /// The name of an object. `identity` is everything that determines the object, except for the
    /// files read.
    pub(crate) fn new(
        cache: &Path,
        identity: &[&[u8]],
        dirs: Vec<PathBuf>,
        ours: &Path,
    ) -> CachedObject {
        let mut hasher = Sha256::new();
        for part in identity {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        CachedObject {
            file: Kind::Object.path(cache, &hex(hasher)),
            dirs,
            ours: ours.to_owned(),
            began: SystemTime::now(),
        }
    }

    /// Sets the directories that were searched in the end, if remedies added some, and our headers, if
    /// they were others. `file` identifies these, too: the same files lead to the same remedies.
    pub(crate) fn searched(&mut self, dirs: Vec<PathBuf>, ours: &Path) {
        self.dirs = dirs;
        self.ours = ours.to_owned();
    }

    /// The object and its note, if it exists and clang would still produce it.
    pub(crate) fn find(&self) -> Option<(Compiled, Option<String>)> {
        let mut file = BufReader::new(cache::open(&self.file)?);
        cache::note_use(&self.file);
        let mut line = Vec::new();
        file.by_ref().take(MAX_MANIFEST).read_until(b'\n', &mut line).ok()?;
        let manifest: Manifest = serde_json::from_slice(&line).ok()?;
        let unchanged = manifest
            .files
            .iter()
            .all(|(path, hash)| look_at(path).is_some_and(|(h, _)| h == *hash))
            && !manifest.absent.iter().any(|path| path.exists());
        let mut all = Vec::new();
        file.read_to_end(&mut all).ok().filter(|_| unchanged)?;
        let mut objects = Vec::new();
        let mut rest = &*all;
        for (cpu, size) in manifest.objects {
            let (object, after) = rest.split_at_checked(size)?;
            objects.push(Variant { cpu, object: object.to_vec() });
            rest = after;
        }
        let variants = objects.split_off(1.min(objects.len()));
        let object = objects.pop()?.object;
        Some((Compiled { object, variants, facts: manifest.facts }, manifest.note))
    }

    /// Keeps an object, unless its dependencies are in doubt. A failure to keep it is not an error.
    pub(crate) fn keep(&self, dependencies: &str, compiled: &Compiled, note: Option<String>) {
        let Some(mut manifest) = self.manifest(dependencies) else { return };
        manifest.facts = compiled.facts.clone();
        let of = |variant: &Variant| (variant.cpu.clone(), variant.object.len());
        manifest.objects = vec![(String::new(), compiled.object.len())];
        manifest.objects.extend(compiled.variants.iter().map(of));
        manifest.note = note;
        let Ok(mut line) = serde_json::to_vec(&manifest) else { return };
        line.push(b'\n');
        let Some(dir) = self.file.parent() else { return };
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new().prefix("new-").tempfile_in(dir)?;
            file.write_all(&line)?;
            file.write_all(&compiled.object)?;
            compiled.variants.iter().try_for_each(|variant| file.write_all(&variant.object))?;
            file.persist(&self.file).map_err(|error| error.error)?;
            Ok(())
        };
        if write().is_ok() {
            keep_newest(dir, Kind::Object);
        }
    }

    fn manifest(&self, dependencies: &str) -> Option<Manifest> {
        let mut manifest = Manifest::default();
        for path in parse_dependencies(dependencies) {
            let path = std::path::absolute(path).ok()?;
            self.note_absent(&path, &mut manifest.absent);
            if path.starts_with(&self.ours) || self.is_renaming(&path) {
                continue;
            }
            let changed = fs::metadata(&path).ok()?.modified().ok()?;
            // The clock of a file system is coarser than the system clock.
            if changed + Duration::from_millis(20) >= self.began {
                return None;
            }
            let (hash, is_doubtful) = look_at(&path)?;
            if is_doubtful {
                return None;
            }
            manifest.files.insert(path, hash);
        }
        // One of these paths exists already, and clang did not use it, for a reason that is not
        // visible here.
        let doubtful = manifest.absent.iter().any(|path| path.exists());
        (!doubtful && !manifest.files.is_empty()).then_some(manifest)
    }

    /// Whether a file is a vmlinux.h with replaced names: its directory is named by its content.
    fn is_renaming(&self, path: &Path) -> bool {
        let dir = path.parent();
        let name = dir.and_then(Path::file_name).unwrap_or_default();
        name.to_str().is_some_and(|name| Kind::Renamed.is_name(name))
            && dir.and_then(Path::parent) == self.ours.parent()
    }

    /// Paths that precede a header in clang's search path, by the name that may have included it.
    fn note_absent(&self, path: &Path, absent: &mut Vec<PathBuf>) {
        let names =
            self.dirs.iter().chain([&self.ours]).filter_map(|dir| path.strip_prefix(dir).ok());
        let beside: Vec<&Path> = names.collect();
        let name = path.file_name().map(Path::new);
        for name in beside.into_iter().chain(name) {
            for dir in &self.dirs {
                let other = dir.join(name);
                if other == path {
                    break;
                }
                if !absent.contains(&other) {
                    absent.push(other);
                }
            }
        }
    }
}

/// The hash of a file, and whether it contains one of the doubtful words. It is read in pieces,
/// because clang may have read a large file.
fn look_at(path: &Path) -> Option<(String, bool)> {
    let mut file = fs::File::open(path).ok()?;
    let mut hasher = Sha256::new();
    let mut is_doubtful = false;
    let mut piece = vec![0; PIECE];
    // A word may span the end of the previous piece.
    let mut kept = 0;
    loop {
        let read = match file.read(&mut piece[kept..]) {
            Ok(0) => return Some((hex(hasher), is_doubtful)),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return None,
        };
        let end = kept + read;
        hasher.update(&piece[kept..end]);
        // All words begin like this.
        let starts = piece[..end].windows(2).enumerate().filter(|(_, two)| *two == b"__");
        is_doubtful = is_doubtful
            || starts.into_iter().any(|(at, _)| {
                DOUBTFUL.iter().any(|word| piece[at..end].starts_with(word.as_bytes()))
            });
        kept = end.min(LONGEST_WORD - 1);
        piece.copy_within(end - kept..end, 0);
    }
}

/// The files in a rule for make that `clang -MD` writes: the target, a colon, the files.
fn parse_dependencies(rule: &str) -> Vec<String> {
    let Some((_, files)) = rule.split_once(": ") else { return Vec::new() };
    let mut found = vec![String::new()];
    let mut chars = files.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\n')) => {
                chars.next();
                found.push(String::new());
            }
            ('\\', Some(' ' | '#')) | ('$', Some('$')) => {
                let next = chars.next();
                found.last_mut().into_iter().for_each(|file| file.extend(next));
            }
            (' ' | '\n', _) => found.push(String::new()),
            _ => found.last_mut().into_iter().for_each(|file| file.push(c)),
        }
    }
    found.retain(|file| !file.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_make() {
        assert_eq!(
            parse_dependencies("a.o: b.c dir\\ x/c.h \\\n  /d$$.h\n"),
            ["b.c", "dir x/c.h", "/d$.h"]
        );
        assert!(parse_dependencies("").is_empty());
    }

    #[test]
    fn doubtful_words_are_found_wherever_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.c");
        for word in DOUBTFUL {
            assert!(word.starts_with("__") && word.len() <= LONGEST_WORD);
            for before in [0, 1, PIECE - word.len(), PIECE - 5, PIECE - 1, PIECE, 2 * PIECE - 7] {
                let text = format!("{}{word}", " ".repeat(before));
                fs::write(&file, &text).unwrap();
                let hash = hex(Sha256::new().chain_update(&text));
                assert_eq!(look_at(&file), Some((hash, true)), "{word} behind {before}");
                fs::write(&file, &text[..text.len() - 1]).unwrap();
                assert!(!look_at(&file).unwrap().1, "{word} behind {before}");
            }
        }
    }

    #[test]
    fn what_changes_the_object_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["first", "second", "ours"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("first/x.c"), "int x;").unwrap();
        fs::write(at("second/h.h"), "int h;").unwrap();
        fs::write(at("ours/maps.h"), "").unwrap();
        std::thread::sleep(Duration::from_millis(60));
        let dirs = vec![at("first"), at("second")];
        let cached = |identity: &str| {
            CachedObject::new(dir.path(), &[identity.as_bytes()], dirs.clone(), &at("ours"))
        };
        let files = [at("first/x.c"), at("second/h.h"), at("ours/maps.h")];
        let rule = format!("x.o: {}", files.map(|f| f.display().to_string()).join(" "));
        assert_eq!(cached("a").find(), None);
        let object = b"object\nof two lines".to_vec();
        let variants = vec![Variant { cpu: "v2".into(), object: b"another".to_vec() }];
        let compiled = Compiled { object, variants, facts: Facts::default() };
        let note = Some("older types".to_owned());
        cached("a").keep(&rule, &compiled, note.clone());
        assert_eq!(cached("a").find(), Some((compiled.clone(), note)));
        assert_eq!(cached("b").find(), None, "other flags");
        // A header that hides another one, and one that hides ours.
        for hiding in ["first/h.h", "second/maps.h", "first/maps.h"] {
            fs::write(at(hiding), "").unwrap();
            assert_eq!(cached("a").find(), None, "{hiding}");
            fs::remove_file(at(hiding)).unwrap();
            assert!(cached("a").find().is_some());
        }
        fs::write(at("second/h.h"), "int i;").unwrap();
        assert_eq!(cached("a").find(), None, "a changed header");
        // Just changed, and therefore not kept.
        cached("c").keep(&rule, &compiled, None);
        assert_eq!(cached("c").find(), None);
        fs::write(at("second/h.h"), "char *d = __DATE__;").unwrap();
        std::thread::sleep(Duration::from_millis(60));
        cached("c").keep(&rule, &compiled, None);
        assert_eq!(cached("c").find(), None);
    }
}
