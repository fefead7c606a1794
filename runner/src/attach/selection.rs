// SPDX-License-Identifier: MIT
//! Which programs are always or never loaded, by the package and the command line.

use std::collections::BTreeSet;

use anyhow::anyhow;
use bpfpack_schemas::meta::ProgMeta;
use bpfpack_schemas::object::Program;

use crate::failure::{Failure, exit_code};

/// The programs that the user and the package choose or leave out.
#[derive(Debug)]
pub(super) struct Selection {
    /// Programs that are loaded even if better alternatives exist.
    pub(super) wanted: BTreeSet<String>,
    /// Programs that are not loaded.
    pub(super) off: BTreeSet<String>,
    /// Programs that are left out if they cannot be loaded or attached.
    pub(super) optional: BTreeSet<String>,
}

impl Selection {
    /// Reads the annotations of the programs; the options `--with` and `--without` override them.
    ///
    /// # Errors
    /// Returns an error if the object has no programs, or no program of a given name.
    pub(super) fn new(
        programs: &[Program],
        annotations: &[ProgMeta],
        with: &[String],
        without: &[String],
    ) -> Result<Selection, Failure> {
        for name in with.iter().chain(without) {
            if !programs.iter().any(|program| program.name == *name) {
                let names: Vec<_> = programs.iter().map(|p| p.name.as_str()).collect();
                let text = format!("the package has no program `{name}`");
                return Err(
                    Failure::usage(text).hint(format!("its programs are {}", names.join(", ")))
                );
            }
        }
        if programs.is_empty() {
            let error = anyhow!("the package's object has no programs");
            return Err(Failure::new(exit_code::PACKAGE, error));
        }
        let annotated = |on: bool| {
            let programs = annotations.iter().filter(move |meta| meta.autoload == Some(on));
            programs.map(|meta| meta.name.clone())
        };
        let mut wanted: BTreeSet<String> = annotated(true).collect();
        let mut off: BTreeSet<String> = annotated(false).collect();
        // libbpf loads programs with such a section only on request. If there are no others, each
        // is a choice, and all are tried.
        let is_asked = |program: &&Program| program.section.starts_with('?');
        let optional: BTreeSet<String> = match programs.iter().all(|program| is_asked(&program)) {
            true => programs.iter().map(|program| program.name.clone()).collect(),
            false => {
                let asked = programs.iter().filter(is_asked).map(|program| program.name.clone());
                off.extend(asked.filter(|name| !wanted.contains(name)));
                let annotated = annotations.iter().filter(|meta| meta.optional == Some(true));
                annotated.map(|meta| meta.name.clone()).collect()
            }
        };
        for name in with {
            off.remove(name);
            wanted.insert(name.clone());
        }
        for name in without {
            wanted.remove(name);
            off.insert(name.clone());
        }
        Ok(Selection { wanted, off, optional })
    }
}

impl Selection {
    /// Loads a program even if better alternatives exist.
    pub(super) fn want(&mut self, name: &str) {
        self.off.remove(name);
        self.wanted.insert(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(with: &[&str], without: &[&str]) -> Result<[Vec<String>; 2], Failure> {
        let programs =
            ["a", "b", "c"].map(|name| Program { name: name.into(), section: "xdp".into() });
        let annotations: Vec<ProgMeta> = serde_json::from_str(
            r#"[{"name": "a", "attach": "xdp", "autoload": true},
                {"name": "b", "attach": "xdp", "autoload": false}]"#,
        )
        .unwrap();
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let selection = Selection::new(&programs, &annotations, &owned(with), &owned(without))?;
        Ok([selection.wanted, selection.off].map(Vec::from_iter))
    }

    #[test]
    fn options_decide_over_annotations() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(select(&[], &[]).unwrap(), [names(&["a"]), names(&["b"])]);
        assert_eq!(select(&["b"], &["a"]).unwrap(), [names(&["b"]), names(&["a"])]);
        assert_eq!(select(&["c"], &["c"]).unwrap(), [names(&["a"]), names(&["b", "c"])]);
    }

    #[test]
    fn programs_that_are_not_there() {
        let failure = select(&["d"], &[]).unwrap_err();
        assert_eq!(failure.exit_code(), exit_code::USAGE);
        assert!(failure.message().contains("no program `d`"));
        let failure = Selection::new(&[], &[], &[], &[]).unwrap_err();
        assert_eq!(failure.exit_code(), exit_code::PACKAGE);
    }
}
