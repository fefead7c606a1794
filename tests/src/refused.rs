// SPDX-License-Identifier: MIT
//! Programs that no kernel accepts, in tests/fixtures/refused. Their first lines say what `ecli`
//! prints about them.

use std::fs;
use std::path::{Path, PathBuf};

use bpfpack_refusal::since::Version;
use tempfile::TempDir;

use crate::{Outcome, ecc, root};

/// A program, and what is said about it.
#[derive(Debug, Clone)]
pub struct Program {
    /// The name of its source, without `.bpf.c`.
    pub name: String,
    /// Its source.
    pub source: PathBuf,
    /// How the error begins: one of these, since kernels say different things.
    pub errors: Vec<String>,
    /// Lines of source and their numbers, one of which is on the second line of the message.
    pub at: Vec<(usize, String)>,
    /// The hints.
    pub hints: Vec<String>,
    /// The first version of Linux that accepts it.
    pub until: Option<Version>,
}

/// All programs.
#[must_use]
pub fn all() -> Vec<Program> {
    let entries = fs::read_dir(root().join("tests/fixtures/refused")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut all: Vec<Program> = paths.filter_map(|path| Program::read(&path)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The command for a package of this name in a virtual machine.
#[must_use]
pub fn command(ecli: &str, name: &str) -> Vec<String> {
    let package = format!("/{name}.json");
    [ecli, "run", "-q", "-d", "20ms", &package].map(str::to_owned).into()
}

impl Program {
    fn read(path: &Path) -> Option<Program> {
        let name = path.file_name()?.to_str()?.strip_suffix(".bpf.c")?.to_owned();
        let text = fs::read_to_string(path).unwrap();
        let head = || text.lines().take_while(|line| line.starts_with("//"));
        let said = |start: &str| -> Vec<String> {
            head().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
        };
        let numbered = |at: String| {
            let of_line = |line: &str| line.trim() == at;
            let number = text.lines().position(of_line).unwrap_or_else(|| panic!("{name}: {at}"));
            (number + 1, at)
        };
        let at = said("// at: ").into_iter().map(numbered).collect();
        let until = said("// until: ").pop().and_then(|text| Version::parse(&text));
        let (errors, hints) = (said("// error: "), said("// hint: "));
        Some(Program { name, source: path.to_owned(), errors, at, hints, until })
    }

    /// Packs it; with `is_mended`, as its hint says. Returns the path of the package.
    #[must_use]
    pub fn pack(&self, dir: &TempDir, is_mended: bool) -> PathBuf {
        let out = dir.path().join(&self.name).join(if is_mended { "mended" } else { "refused" });
        let source = self.source.to_str().unwrap();
        // One instruction set is enough, and is packed in half of the time.
        let mut args = vec![source, "-o", out.to_str().unwrap(), "--mcpu", "v3"];
        if is_mended {
            args.extend(["-D", "MENDED"]);
        }
        let _ = ecc(dir.path(), &args).succeeded();
        out.join("package.json")
    }

    /// What is wrong with what `ecli run -q` said about it; `None` if nothing is.
    #[must_use]
    pub fn judge(&self, outcome: &Outcome, kernel: Version) -> Option<String> {
        let said = &outcome.stderr;
        if outcome.code == 0 {
            let is_accepted = self.until.is_some_and(|until| until <= kernel);
            return (!is_accepted).then(|| format!("{} is not refused", self.name));
        }
        let lines: Vec<&str> = said.lines().collect();
        let first = lines.first().copied().unwrap_or_default();
        let error =
            self.errors.iter().position(|error| first.starts_with(&format!("error: {error}")));
        let Some(error) = error.filter(|_| [4, 5].contains(&outcome.code)) else {
            return Some(format!("{}: no such error, code {}:\n{said}", self.name, outcome.code));
        };
        if self.until.is_some_and(|until| until <= kernel) {
            return Some(format!("{} is still refused:\n{said}", self.name));
        }
        let of_line =
            |(number, at): &(usize, String)| format!("  | {}.bpf.c:{number}: {at}", self.name);
        if !self.at.is_empty() && !self.at.iter().any(|at| lines.get(1) == Some(&&*of_line(at))) {
            return Some(format!("{}: at another place:\n{said}", self.name));
        }
        // The other errors have other remedies.
        let hints: Vec<&str> =
            lines.iter().filter_map(|line| line.strip_prefix("hint: ")).collect();
        (error == 0 && hints != self.hints).then(|| format!("{}: other hints:\n{said}", self.name))
    }
}
