// SPDX-License-Identifier: MIT
//! Names of numbers that are not in a package: of errors, signals, users ….

use bpfpack_decode::meaning::Meaning;

/// Who knows the names that numbers have by their meaning.
pub trait Names {
    /// All that have a name, where they can be listed.
    fn all(&self, meaning: Meaning) -> Vec<(i128, String)>;

    /// The number of a name by a meaning whose names cannot be listed.
    fn unlisted(&self, _meaning: Meaning, _name: &str) -> Option<i128> {
        None
    }

    /// The number of a name. One that is written in small letters, or without what all begin with
    /// (`SIG`, `AF_`, `CAP_`), is the same unless there is another one.
    fn number(&self, meaning: Meaning, name: &str) -> Option<i128> {
        if let Some(number) = self.unlisted(meaning, name) {
            return Some(number);
        }
        let prefix = match meaning {
            Meaning::Signal => "SIG",
            Meaning::Family => "AF_",
            Meaning::Capability => "CAP_",
            _ => "",
        };
        let all = self.all(meaning);
        let find = |is: &dyn Fn(&str) -> bool| all.iter().find(|(_, name)| is(name));
        let found = find(&|known| known == name).or_else(|| {
            find(&|known| {
                let short = known.strip_prefix(prefix).unwrap_or(known);
                known.eq_ignore_ascii_case(name) || short.eq_ignore_ascii_case(name)
            })
        });
        found.map(|(number, _)| *number)
    }
}

/// Nobody: numbers have no names.
#[derive(Debug, Clone, Copy)]
pub struct NoNames;

impl Names for NoNames {
    fn all(&self, _meaning: Meaning) -> Vec<(i128, String)> {
        Vec::new()
    }
}
