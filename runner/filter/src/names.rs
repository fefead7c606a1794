// SPDX-License-Identifier: MIT
//! Names of numbers that are not in a package: of errors, signals, users and others.

use bpfpack_decode::meaning::Meaning;

/// Looks up the names that numbers have by their meaning.
pub trait Names {
    /// All names of a meaning, if they can be listed.
    fn all(&self, meaning: Meaning) -> Vec<(i128, String)>;

    /// The number for a name of a meaning whose names cannot be listed.
    fn unlisted(&self, _meaning: Meaning, _name: &str) -> Option<i128> {
        None
    }

    /// The number for a name. Case and a common prefix (`SIG`, `AF_`, `CAP_`) do not matter unless
    /// two names differ only by that.
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

/// Numbers without names.
#[derive(Debug, Clone, Copy)]
pub struct NoNames;

impl Names for NoNames {
    fn all(&self, _meaning: Meaning) -> Vec<(i128, String)> {
        Vec::new()
    }
}
