// SPDX-License-Identifier: MIT
//! Examines what exists at the paths of the results. A result replaces an older result of the same
//! kind, and anything else only with `--force`: a directory may contain the `package.json` of npm.
//!
//! Reads only as much of a file as its kind requires, and nothing that can block.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use bpfpack_schemas::executable;
use bpfpack_schemas::package::MAX_PACKAGE_SIZE;
use object::elf::{ELFMAG, EM_BPF};
use rustix::fs::OFlags;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use crate::args::Plan;
use crate::failure::{Failure, exit_code};
use crate::message::shown;

/// Text near the start of a header for Wasm, of all versions of ecc.
pub(crate) const HEADER_GUARD: &str = "EWASM_JSON_INCLUDE_H_";

/// The number of bytes of a header that are read.
const HEADER_START: u64 = 4096;

/// The number of bytes of an ELF header up to and including the machine.
const ELF_START: usize = 20;

/// The kind of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `X.bpf.o`
    Object,
    /// `X.skel.json`
    Skeleton,
    /// `package.json`
    Package,
    /// `ewasm-skel.h`
    Header,
    /// `X`, a standalone executable
    Executable,
}

/// A result to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its kind.
    pub(crate) kind: Kind,
}

/// What exists at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A result of this kind, with the name of its object if it is a package with a name.
    Result(Option<String>),
    /// Something that a result can replace with `--force`: another kind of file, or a link.
    Other(String),
    /// Something that a result cannot or must not replace.
    Obstacle(&'static str),
}

/// The results of a source.
pub(crate) fn targets(plan: &Plan) -> Vec<Target> {
    let extension = if plan.yaml { "yaml" } else { "json" };
    // Messages show `package.json`, not `./package.json`.
    let dir = if plan.output == Path::new(".") { Path::new("") } else { &plan.output };
    let target = |kind, name: String| Target { path: dir.join(name), kind };
    let mut targets = Vec::new();
    // An object that is packed in place is not rewritten.
    let object = target(Kind::Object, format!("{}.bpf.o", plan.name));
    if !is_same(&object.path, &plan.source) {
        targets.push(object);
    }
    targets.push(target(Kind::Skeleton, format!("{}.skel.{extension}", plan.name)));
    if plan.package {
        if plan.wasm_header {
            targets.push(target(Kind::Header, plan.wasm_name.clone()));
        }
        if plan.standalone {
            targets.push(target(Kind::Executable, plan.name.clone()));
        }
        targets.push(target(Kind::Package, plan.package_name.clone()));
    }
    targets
}

/// Examines the paths of the results.
///
/// # Errors
/// A result would replace something that it must not replace.
pub(crate) fn check(plan: &Plan, targets: &[Target]) -> Result<Vec<Found>, Failure> {
    targets.iter().map(|target| check_one(plan, target)).collect()
}

fn check_one(plan: &Plan, target: &Target) -> Result<Found, Failure> {
    let path = shown(&target.path);
    let refused = |text: String, hint: &str| {
        Err(Failure::new(exit_code::OUTPUT, anyhow!(text)).hint(hint.to_owned()))
    };
    let inputs = [Some(&plan.source), plan.export_header.as_ref()];
    if inputs.into_iter().flatten().chain(&plan.wasm).any(|input| is_same(input, &target.path)) {
        let text = format!("cannot write `{path}`: it is also an input");
        return refused(text, "write the results elsewhere: -o DIR");
    }
    let found = match look(&target.path, target.kind) {
        Ok(found) => found,
        Err(_) if plan.force => Found::Other("a file that cannot be read".to_owned()),
        Err(error) => {
            let text = format!("`{path}` is not replaced: cannot read it: {error}");
            return refused(text, "write the results elsewhere (-o DIR), or replace it (--force)");
        }
    };
    match &found {
        Found::Other(what) if !plan.force => {
            let text = format!("`{path}` is not replaced: it is {what}");
            refused(text, "write the results elsewhere (-o DIR), or replace it (--force)")
        }
        Found::Obstacle(what) => {
            let text = format!("cannot write `{path}`: it is {what}");
            refused(text, "remove it, or write the results elsewhere (-o DIR)")
        }
        _ => Ok(found),
    }
}

/// Whether two paths refer to the same existing file.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// What exists at a path, judged by a part of it.
fn look(path: &Path, kind: Kind) -> io::Result<Found> {
    let data = match fs::symlink_metadata(path) {
        Ok(data) => data,
        // The directory does not exist yet, or is not a directory: writing reports that.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(error),
    };
    let ty = data.file_type();
    if ty.is_symlink() {
        let target = fs::read_link(path)?;
        return Ok(Found::Other(format!("a symbolic link to `{}`", shown(&target))));
    }
    if let Some(what) = obstacle(ty) {
        return Ok(Found::Obstacle(what));
    }
    // It may have changed since: to a link, or to a pipe without a writer.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags as i32).open(path)?;
    let data = file.metadata()?;
    if let Some(what) = obstacle(data.file_type()) {
        return Ok(Found::Obstacle(what));
    }
    match kind {
        Kind::Object => object(file),
        Kind::Header => header(file),
        Kind::Executable => Ok(match executable::has_package(&file)? {
            true => Found::Result(None),
            false => none(kind),
        }),
        Kind::Skeleton | Kind::Package if data.len() > MAX_PACKAGE_SIZE => {
            Ok(Found::Other(format!("a file of {} bytes, too large for {}", data.len(), kind)))
        }
        Kind::Skeleton | Kind::Package => described(file, path, kind),
    }
}

/// A description of a file type other than a regular file.
fn obstacle(ty: fs::FileType) -> Option<&'static str> {
    if ty.is_file() {
        return None;
    }
    Some(match ty {
        _ if ty.is_dir() => "a directory",
        _ if ty.is_fifo() => "a named pipe",
        _ if ty.is_socket() => "a socket",
        _ => "a device",
    })
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Object => "an object for BPF",
            Kind::Skeleton => "a description of ecc",
            Kind::Package => "a package of ecc",
            Kind::Header => "a header of ecc",
            Kind::Executable => "an executable of ecc",
        })
    }
}

/// A description of a file that is not a result of this kind.
fn none(kind: Kind) -> Found {
    Found::Other(format!("not {kind}"))
}

fn object(file: File) -> io::Result<Found> {
    let mut start = Vec::new();
    file.take(ELF_START as u64).read_to_end(&mut start)?;
    let machine = match start.get(..ELF_START) {
        Some(start) if start.starts_with(&ELFMAG) && start[5] == 2 => {
            u16::from_be_bytes([start[18], start[19]])
        }
        Some(start) if start.starts_with(&ELFMAG) => u16::from_le_bytes([start[18], start[19]]),
        _ => return Ok(none(Kind::Object)),
    };
    Ok(match machine == EM_BPF.0 {
        true => Found::Result(None),
        false => Found::Other("an ELF file, but not for BPF".to_owned()),
    })
}

fn header(file: File) -> io::Result<Found> {
    let mut start = Vec::new();
    file.take(HEADER_START).read_to_end(&mut start)?;
    let guard = HEADER_GUARD.as_bytes();
    Ok(match start.windows(guard.len()).any(|bytes| bytes == guard) {
        true => Found::Result(None),
        false => none(Kind::Header),
    })
}

/// Recognizes a description or a package by its keys.
fn described(mut file: File, path: &Path, kind: Kind) -> io::Result<Found> {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let keys = if is_json { Keys::of_json(&mut file) } else { Keys::of_yaml(&mut file)? };
    let is_it = match kind {
        Kind::Package => keys.bpf_object,
        _ => keys.bpf_skel,
    };
    if is_it {
        let name = match kind {
            Kind::Package if is_json => {
                io::Seek::rewind(&mut file)?;
                Named::obj_name(file)
            }
            _ => keys.obj_name,
        };
        return Ok(Found::Result(name));
    }
    let is_npm = keys.is_named && keys.depends && kind == Kind::Package;
    Ok(match is_npm {
        true => Found::Other("an npm package.json".to_owned()),
        false => none(kind),
    })
}

/// Which of the keys that identify files a file has at the top level.
#[derive(Debug, Default)]
struct Keys {
    bpf_object: bool,
    bpf_skel: bool,
    /// `name` or `version`.
    is_named: bool,
    /// `dependencies`, `scripts` and the like.
    depends: bool,
    obj_name: Option<String>,
}

impl Keys {
    /// The keys of a JSON object; if it is truncated, the keys before its end.
    fn of_json(file: &mut File) -> Keys {
        let mut keys = Keys::default();
        let reader = BufReader::new(file.take(MAX_PACKAGE_SIZE));
        let mut json = serde_json::Deserializer::from_reader(reader);
        // Anything but an object has no keys.
        let _ = (&mut keys).deserialize(&mut json);
        keys
    }

    /// The keys of YAML text as ecc and npm write it: each at the start of a line.
    fn of_yaml(file: &mut File) -> io::Result<Keys> {
        /// The rest of the line is not needed.
        const LINE: usize = 256;
        let mut keys = Keys::default();
        let mut reader = BufReader::new(file.take(MAX_PACKAGE_SIZE));
        let mut line = Vec::new();
        loop {
            let start = reader.fill_buf()?;
            if start.is_empty() {
                keys.note_line(&line);
                return Ok(keys);
            }
            let end = start.iter().position(|byte| *byte == b'\n');
            let part = &start[..end.unwrap_or(start.len())];
            line.extend_from_slice(&part[..part.len().min(LINE - line.len())]);
            let passed = part.len() + usize::from(end.is_some());
            reader.consume(passed);
            if end.is_some() {
                keys.note_line(&line);
                line.clear();
            }
        }
    }

    fn note_line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let bare = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
        let Some((key, value)) = line.split_once(':') else { return };
        if !line.starts_with([' ', '\t', '-', '#']) {
            self.note(&bare(key));
        } else if bare(key) == "obj_name" && self.obj_name.is_none() {
            self.obj_name = Some(bare(value));
        }
    }

    fn note(&mut self, key: &str) {
        match key {
            "bpf_object" => self.bpf_object = true,
            "bpf_skel" => self.bpf_skel = true,
            "name" | "version" => self.is_named = true,
            "dependencies" | "devDependencies" | "peerDependencies" | "scripts" => {
                self.depends = true;
            }
            _ => {}
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Keys {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Keys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.note(&key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The part of a package that contains its object's name.
#[derive(Deserialize)]
struct Named {
    meta: NamedMeta,
}

#[derive(Deserialize)]
struct NamedMeta {
    bpf_skel: NamedSkeleton,
}

#[derive(Deserialize)]
struct NamedSkeleton {
    obj_name: String,
}

impl Named {
    fn obj_name(file: File) -> Option<String> {
        let reader = BufReader::new(file.take(MAX_PACKAGE_SIZE));
        let named: Named = serde_json::from_reader(reader).ok()?;
        Some(named.meta.bpf_skel.obj_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result for a file with this content.
    fn found(name: &str, kind: Kind, content: impl AsRef<[u8]>) -> Found {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        look(&path, kind).unwrap()
    }

    fn other(what: &str) -> Found {
        Found::Other(what.to_owned())
    }

    #[test]
    fn packages_are_told_by_their_keys() {
        let package = |text: &str| found("package.json", Kind::Package, text);
        let ours = "{\"bpf_object\":\"eJw=\",\"meta\":{\"bpf_skel\":{\"obj_name\":\"x_bpf\"}}}";
        assert_eq!(package(ours), Found::Result(Some("x_bpf".to_owned())));
        // A truncated package is recognized, too.
        assert_eq!(package(&ours[..40]), Found::Result(None));
        assert_eq!(package("{\"meta\":7,\"bpf_object\":null}"), Found::Result(None));
        let npm = "{\"name\": \"web\", \"scripts\": {\"bpf_object\": \"x\"}}";
        assert_eq!(package(npm), other("an npm package.json"));
        for text in
            ["", "{}", "[\"bpf_object\"]", "bpf_object", "\0", "{\"name\": 1}", "{\"bpf_skel\":{}}"]
        {
            assert_eq!(package(text), other("not a package of ecc"), "{text}");
        }
        let skeleton = |text: &str| found("x.skel.json", Kind::Skeleton, text);
        assert_eq!(skeleton("{\"bpf_skel\":{}}"), Found::Result(None));
        assert_eq!(skeleton(npm), other("not a description of ecc"));
    }

    #[test]
    fn yaml_has_its_keys_at_the_beginning_of_lines() {
        let package = |text: &str| found("package.yaml", Kind::Package, text);
        let ours = format!(
            "bpf_object: {}\nbpf_object_size: 1\nmeta:\n  bpf_skel:\n    obj_name: x_bpf\n",
            "A".repeat(100_000)
        );
        assert_eq!(package(&ours), Found::Result(Some("x_bpf".to_owned())));
        assert_eq!(package("name: a\nversion: 1\nscripts:\n"), other("an npm package.json"));
        for text in ["", "a:\n  bpf_object: x\n", "# bpf_object: x\n", "- bpf_object: x\n"] {
            assert_eq!(package(text), other("not a package of ecc"), "{text}");
        }
        assert_eq!(found("x.skel.yaml", Kind::Skeleton, "bpf_skel:\n"), Found::Result(None));
    }

    #[test]
    fn objects_and_headers_are_told_by_their_beginning() {
        let elf = |order: u8, machine: [u8; 2]| {
            let mut start = [0; 64];
            start[..4].copy_from_slice(b"\x7fELF");
            start[5] = order;
            start[18..20].copy_from_slice(&machine);
            found("x.bpf.o", Kind::Object, start)
        };
        assert_eq!(elf(1, [247, 0]), Found::Result(None));
        assert_eq!(elf(2, [0, 247]), Found::Result(None));
        for (order, machine) in [(1, [62, 0]), (1, [0, 247]), (2, [247, 0])] {
            assert_eq!(elf(order, machine), other("an ELF file, but not for BPF"));
        }
        for bytes in [&b""[..], b"\x7fELF", b"text that is long enough to be an object"] {
            assert_eq!(found("x.bpf.o", Kind::Object, bytes), other("not an object for BPF"));
        }
        let header = |text: &str| found("ewasm-skel.h", Kind::Header, text);
        assert_eq!(header("// A\n#ifndef EWASM_JSON_INCLUDE_H_\n"), Found::Result(None));
        assert_eq!(header("#pragma once\n"), other("not a header of ecc"));
    }

    #[test]
    fn what_is_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        for (name, kind, is_other) in [
            ("package.json", Kind::Package, true),
            ("x.skel.json", Kind::Skeleton, true),
            ("ewasm-skel.h", Kind::Header, true),
            ("x.bpf.o", Kind::Object, true),
        ] {
            let path = directory.path().join(name);
            File::create(&path).unwrap().set_len(10 << 30).unwrap();
            let found = look(&path, kind).unwrap();
            assert_eq!(matches!(found, Found::Other(_)), is_other, "{found:?}");
        }
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("package.json");
        assert_eq!(look(&path, Kind::Package).unwrap(), Found::Nothing);
        assert_eq!(look(&path.join("x"), Kind::Package).unwrap(), Found::Nothing);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        assert_eq!(look(&path, Kind::Package).unwrap(), Found::Obstacle("a named pipe"));
        fs::remove_file(&path).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(look(&path, Kind::Package).unwrap(), Found::Obstacle("a socket"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(look(&path, Kind::Package).unwrap(), Found::Obstacle("a directory"));
        assert_eq!(
            look(Path::new("/dev/null"), Kind::Object).unwrap(),
            Found::Obstacle("a device")
        );
        for target in ["nowhere", "/dev/zero"] {
            let link = directory.path().join(format!("{}.json", target.len()));
            std::os::unix::fs::symlink(target, &link).unwrap();
            let found = look(&link, Kind::Package).unwrap();
            assert_eq!(found, other(&format!("a symbolic link to `{target}`")));
        }
    }
}
