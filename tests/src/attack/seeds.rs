// SPDX-License-Identifier: MIT
//! Valid packages and objects from examples and fixtures, with which attacks begin.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::case::DEADLINE;
use super::process::{Io, start};
use super::random::Random;
use crate::{pack_with, program, root, scratch};

/// The sources: a name, a file, and the header of its records, if there is one.
const SOURCES: [(&str, &str, Option<&str>); 17] = [
    ("hardirqs", "examples/hardirqs/hardirqs.bpf.c", None),
    ("runqlat", "examples/runqlat/runqlat.bpf.c", None),
    ("opensnoop", "examples/opensnoop/opensnoop.bpf.c", None),
    ("execsnoop", "examples/execsnoop/execsnoop.bpf.c", None),
    ("bootstrap", "examples/bootstrap/bootstrap.bpf.c", None),
    ("profile", "examples/profile/profile.bpf.c", None),
    ("exits", "examples/exits/exits.bpf.c", None),
    ("hello", "examples/hello/hello.bpf.c", None),
    ("arguments", "tests/fixtures/arguments.bpf.c", None),
    ("edges", "tests/fixtures/edges.bpf.c", None),
    ("records", "tests/fixtures/records.bpf.c", None),
    ("views", "tests/fixtures/views.bpf.c", None),
    ("perf", "tests/fixtures/perf.bpf.c", Some("tests/fixtures/perf.h")),
    ("net", "tests/fixtures/wasm/net.bpf.c", None),
    ("hostile", "tests/fixtures/attack/hostile.bpf.c", None),
    ("samples", "tests/fixtures/attack/samples.bpf.c", None),
    ("huge", "tests/fixtures/attack/huge.bpf.c", None),
];

/// The resident memory of a release build without its input, in bytes. Other builds have more code:
/// three quarters of this are added to what they have when they show the help of a valid package.
pub const OWN: u64 = 20 << 20;

/// The number of sources, from the first one, that need ordinary memory when they run.
const ORDINARY: usize = SOURCES.len() - 1;

/// Flags of clang for an object with all debug information that ecc reads.
const CLANG: &str = "-g -O2 -target bpf -gdwarf-5 -gembed-source -w -c";

/// A package.
#[derive(Debug)]
pub struct Seed {
    /// Its name.
    pub name: &'static str,
    /// `package.json`.
    pub text: String,
    /// The same, parsed.
    pub json: Value,
    /// Its object, without debug information.
    pub object: Vec<u8>,
}

/// All seeds.
#[derive(Debug)]
pub struct Seeds {
    dir: TempDir,
    /// Packages.
    pub packages: Vec<Seed>,
    /// An object from clang, with debug information.
    pub debug: Vec<u8>,
    /// The resident memory of a program without its input, in bytes.
    pub own_memory: u64,
    /// A program that anybody may run and that becomes hostile processes: `attack victim …`.
    pub victim: PathBuf,
}

impl Seeds {
    /// Packs the sources, which takes some seconds the first time. `attack` is the program of that
    /// name.
    ///
    /// # Errors
    /// Returns an error if a source cannot be packed.
    pub fn make(attack: &Path) -> Result<Seeds> {
        let dir = scratch();
        // Others may not have access to the build directory.
        let victim = dir.path().join("victim");
        std::fs::copy(attack, &victim)?;
        std::fs::create_dir(dir.path().join("cache"))?;
        let packages = SOURCES.iter().map(seed).collect::<Result<Vec<_>>>()?;
        let debug = dir.path().join("debug.bpf.o");
        let status = Command::new("clang")
            .args(CLANG.split(' '))
            .arg(root().join("tests/fuzz/seed.bpf.c"))
            .arg("-o")
            .arg(&debug)
            .status()
            .context("clang cannot be started")?;
        ensure!(status.success(), "clang refused tests/fuzz/seed.bpf.c");
        let debug = std::fs::read(&debug)?;
        let own_memory = OWN.max(of_help(&packages)? + OWN / 4 * 3);
        Ok(Seeds { dir, packages, debug, own_memory, victim })
    }

    /// Any package that needs ordinary memory when it runs.
    #[must_use]
    pub fn any(&self, random: &mut Random) -> &Seed {
        random.choose(&self.packages[..ORDINARY])
    }

    /// A package by name.
    ///
    /// # Panics
    /// Panics if there is no package with this name.
    #[must_use]
    pub fn package(&self, name: &str) -> &Seed {
        let found = self.packages.iter().find(|seed| seed.name == name);
        found.unwrap_or_else(|| panic!("no package `{name}` is among the seeds"))
    }

    /// A cache for `ecc`.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }
}

fn seed(&(name, source, header): &(&'static str, &str, Option<&str>)) -> Result<Seed> {
    let dir = scratch();
    let header = header.map(|header| root().join(header).to_string_lossy().into_owned());
    let more: Vec<&str> = header.iter().map(String::as_str).collect();
    let package = pack_with(source, &dir, &more);
    let text = std::fs::read_to_string(&package)?;
    let object = std::fs::read(object_of(dir.path(), source))?;
    Ok(Seed { name, json: serde_json::from_str(&text)?, text, object })
}

/// The resident memory of ecli when it shows the help of a valid package, in bytes.
fn of_help(packages: &[Seed]) -> Result<u64> {
    let dir = scratch();
    let path = dir.path().join("package.json");
    std::fs::write(&path, packages.first().map_or("", |seed| &seed.text))?;
    let mut command = Command::new(program("ecli"));
    Ok(start(command.arg(path).arg("--help"), Io::default())?.wait(DEADLINE)?.peak)
}

fn object_of(dir: &Path, source: &str) -> PathBuf {
    let name = Path::new(source).file_name().unwrap_or_default();
    dir.join(Path::new(name).with_extension("o"))
}
