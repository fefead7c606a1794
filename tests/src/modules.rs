// SPDX-License-Identifier: MIT
//! The dependencies between the modules of a crate, from the paths in its sources, so that a test
//! can check that they have no cycle.
//!
//! A module is a direct child of the crate's root: `src/x.rs` with `src/x/`. The root itself
//! (`lib.rs`, `main.rs`) may use all of them, so a module that uses an item of the root is in a
//! cycle; an item that the root only re-exports belongs to its module. Comments, strings and test
//! modules (`#[cfg(test)]`) do not count. Paths in the bodies of macros do.

mod paths;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use paths::{Used, paths};
use tokens::{Token, tokens};

/// The name of the root in a graph.
pub const ROOT: &str = "(root)";

/// The dependencies between modules, with locations.
#[derive(Debug, Default)]
pub struct Graph {
    uses: BTreeMap<String, BTreeMap<String, String>>,
}

impl Graph {
    /// The modules that a module uses, each with one location.
    #[must_use]
    pub fn uses(&self, module: &str) -> Option<&BTreeMap<String, String>> {
        self.uses.get(module)
    }

    /// A cycle: each module uses the next one, and the last one uses the first.
    #[must_use]
    pub fn cycle(&self) -> Option<Vec<String>> {
        let mut done = BTreeSet::new();
        self.uses.keys().find_map(|module| self.cycle_from(module, &mut Vec::new(), &mut done))
    }

    fn cycle_from<'g>(
        &'g self,
        module: &'g str,
        path: &mut Vec<&'g str>,
        done: &mut BTreeSet<&'g str>,
    ) -> Option<Vec<String>> {
        if let Some(at) = path.iter().position(|known| *known == module) {
            return Some(path[at..].iter().map(|module| (*module).to_owned()).collect());
        }
        if done.contains(module) {
            return None;
        }
        path.push(module);
        let used = self.uses.get(module).into_iter().flat_map(BTreeMap::keys);
        let found = used.into_iter().find_map(|used| self.cycle_from(used, path, done));
        path.pop();
        done.insert(module);
        found
    }

    /// Describes a cycle, with a location for each step.
    #[must_use]
    pub fn describe(&self, cycle: &[String]) -> String {
        let next = cycle.iter().cycle().skip(1);
        let step = |(from, to): (&String, &String)| {
            let place = self.uses.get(from).and_then(|uses| uses.get(to));
            format!("{from} uses {to} ({})", place.map_or("", String::as_str))
        };
        cycle.iter().zip(next).map(step).collect::<Vec<_>>().join(", ")
    }
}

/// Reads the sources of a crate.
///
/// # Panics
/// Panics if they cannot be read.
#[must_use]
pub fn graph(src: &Path) -> Graph {
    let mut modules = BTreeMap::new();
    let tests = test_files(src);
    for path in entries(src).into_iter().filter(|path| !tests.contains(path)) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_root = path.is_file() && ["lib", "main"].contains(&name.as_str());
        let is_source = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if !is_root && name != "bin" && is_source {
            modules.entry(name).or_insert_with(Vec::new).push(path);
        }
    }
    let reader = Reader { exported: exported(src, &modules), src, modules: &modules };
    let mut graph = Graph::default();
    for (module, paths) in &modules {
        let mut uses = BTreeMap::new();
        for path in paths {
            reader.read(path, &mut uses);
        }
        uses.remove(module);
        graph.uses.insert(module.clone(), uses);
    }
    let all = modules.keys().map(|module| (module.clone(), "lib.rs".to_owned()));
    graph.uses.insert(ROOT.to_owned(), all.collect());
    graph
}

/// The module of each name that the root re-exports or imports; `None` if it is of another crate.
fn exported(
    src: &Path,
    modules: &BTreeMap<String, Vec<PathBuf>>,
) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    for root in ["lib.rs", "main.rs"] {
        let text = fs::read_to_string(src.join(root)).unwrap_or_default();
        let tokens = tokens(&text);
        for (at, _) in tokens.iter().enumerate().filter(|(_, (token, _))| *token == Token::Use) {
            for Used { parts, name } in paths(&tokens[at + 1..]) {
                let start = usize::from(matches!(parts[0].as_str(), "crate" | "self"));
                let module = parts.get(start).filter(|name| modules.contains_key(*name));
                found.insert(name, module.cloned());
            }
        }
    }
    found
}

struct Reader<'r> {
    src: &'r Path,
    modules: &'r BTreeMap<String, Vec<PathBuf>>,
    exported: BTreeMap<String, Option<String>>,
}

impl Reader<'_> {
    /// Adds the dependencies of a file, or of all files in a directory.
    fn read(&self, path: &Path, uses: &mut BTreeMap<String, String>) {
        if path.is_dir() {
            let tests = test_files(path);
            for path in entries(path).iter().filter(|path| !tests.contains(*path)) {
                self.read(path, uses);
            }
            return;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            return;
        }
        let shown = path.strip_prefix(self.src).unwrap();
        // The path from the root to this file.
        let mut own: Vec<String> = shown
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        if own.last().is_some_and(|name| name == "mod") {
            own.pop();
        }
        let tokens = tokens(&fs::read_to_string(path).unwrap());
        let mut note = |name: &str, line: usize| {
            let module = match self.exported.get(name) {
                _ if self.modules.contains_key(name) => name,
                Some(Some(module)) => module,
                Some(None) => return,
                None => ROOT,
            };
            let place = || format!("{}:{line}", shown.display());
            uses.entry(module.to_owned()).or_insert_with(place);
        };
        // Inline modules: the brace depth before each.
        let mut inside: Vec<usize> = Vec::new();
        let mut depth = 0;
        for (at, (token, line)) in tokens.iter().enumerate() {
            match token {
                Token::Punct('{') => {
                    if let [(Token::Word(word), _), (Token::Word(_), _)] =
                        &tokens[at.saturating_sub(2)..at]
                        && word == "mod"
                    {
                        inside.push(depth);
                    }
                    depth += 1;
                }
                Token::Punct('}') => {
                    depth = depth.saturating_sub(1);
                    inside.pop_if(|opened| *opened == depth);
                }
                Token::Word(word) if word == "crate" || word == "super" => {
                    let is_inner = at > 0 && tokens[at - 1].0 == Token::Colons;
                    if is_inner || tokens.get(at + 1).is_none_or(|next| next.0 != Token::Colons) {
                        continue;
                    }
                    for Used { parts, .. } in paths(&tokens[at..]) {
                        let up = parts.iter().take_while(|part| *part == "super").count();
                        let is_of_root = word == "crate" || up == own.len() + inside.len();
                        if let Some(name) = parts.get(up.max(1)).filter(|_| is_of_root) {
                            note(name, *line);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// Files in a directory that are test modules: those that a file next to or above them declares as
/// such.
fn test_files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut declaring: Vec<PathBuf> = entries(dir).into_iter().filter(|p| p.is_file()).collect();
    declaring.push(dir.with_extension("rs"));
    let mut found = BTreeSet::new();
    for path in declaring {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for name in tokens::test_modules(&text) {
            found.insert(dir.join(&name));
            found.insert(dir.join(&name).with_extension("rs"));
        }
    }
    found
}

/// The paths in a directory, sorted.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dependencies of each module in generated sources, except the root's.
    fn of(files: &[(&str, &str)]) -> Graph {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        graph(dir.path())
    }

    fn used(graph: &Graph, module: &str) -> Vec<String> {
        graph.uses(module).unwrap().keys().cloned().collect()
    }

    #[test]
    fn paths_of_all_forms_are_seen() {
        let graph = of(&[
            (
                "lib.rs",
                "mod a; mod b; mod c; mod d; mod e; pub use b::{Item, deep::Other as More};",
            ),
            ("a.rs", "use crate::{b::x, c::{self, y}};\nfn f() -> crate::d::T { super::e::g() }"),
            ("b.rs", "use super::c;\npub(crate) mod inner { use super::super::d; use super::x; }"),
            ("c/mod.rs", "mod below;\npub(super) use crate::d::T as U;\npub(crate) fn f() {}"),
            ("c/below.rs", "use super::f; use super::super::e::g; use crate::c::f as h;"),
            ("d.rs", "pub type T = crate::Item;"),
            ("e.rs", "use crate::More;\nmacro_rules! m { () => { $crate::d::T } }"),
        ]);
        assert_eq!(used(&graph, "a"), ["b", "c", "d", "e"]);
        assert_eq!(used(&graph, "b"), ["c", "d"]);
        assert_eq!(used(&graph, "c"), ["d", "e"]);
        assert_eq!(used(&graph, "d"), ["b"]);
        assert_eq!(used(&graph, "e"), ["b", "d"]);
        assert_eq!(used(&graph, ROOT), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn comments_texts_and_tests_do_not_count() {
        let graph = of(&[
            ("lib.rs", "mod a; mod b;\n#[cfg(test)]\nmod tests;"),
            ("tests/mod.rs", "use crate::f;"),
            (
                "a.rs",
                "//! [`crate::b`]\n/* crate::b /* nested */ crate::b */\n\
                 const A: &str = \"crate::b \\\" crate::b\"; const B: &str = r#\"\" crate::b\"#;\n\
                 const C: char = '\"'; fn f<'a>(_: &'a str) -> char { '\\'' } // crate::b\n\
                 #[cfg(test)]\nmod tests { use crate::b; mod c { fn f() { crate::b::g() } } }\n\
                 #[cfg(test)]\nuse crate::b;\n#[cfg(test)]\n#[allow(unused)]\nfn t() { crate::b::g() }\n\
                 #[cfg(test)]\nmod more;\n",
            ),
            ("a/more.rs", "use crate::b;"),
            ("a/odd_tests.rs", "use crate::b;"),
            ("a/d.rs", "#[cfg(test)]\n#[path = \"odd_tests.rs\"]\nmod tests;"),
            ("b.rs", "use crate::a;"),
        ]);
        assert_eq!(used(&graph, "a"), [""; 0]);
        assert_eq!(graph.cycle(), None);
    }

    #[test]
    fn a_cycle_is_named_with_its_places() {
        let graph = of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::x;"),
            ("b.rs", "\nuse crate::c::x;"),
            ("c.rs", "use crate::d::x;\n\nfn f() { crate::b::x() }"),
            ("d.rs", ""),
        ]);
        let cycle = graph.cycle().unwrap();
        assert_eq!(cycle, ["b", "c"]);
        assert_eq!(graph.describe(&cycle), "b uses c (b.rs:2), c uses b (c.rs:3)");
    }

    #[test]
    fn what_the_root_has_of_other_crates_is_no_modules() {
        let graph = of(&[
            (
                "lib.rs",
                "mod a; mod b; use other::{self as outer, Item}; use b::x as y; pub use a::*;",
            ),
            ("a.rs", "use crate::{Item, outer::f, y};"),
            ("b.rs", "use crate::outer;"),
        ]);
        assert_eq!(used(&graph, "a"), ["b"]);
        assert_eq!(used(&graph, "b"), [""; 0]);
        assert_eq!(graph.cycle(), None);
    }

    #[test]
    fn an_item_of_the_root_closes_a_cycle() {
        let graph = of(&[("lib.rs", "mod a; pub fn run() {}"), ("a.rs", "use crate::run;")]);
        assert_eq!(graph.cycle().unwrap(), [ROOT, "a"]);
    }
}
