// SPDX-License-Identifier: MIT
//! Finds programs of others that can print, by their instructions as the kernel shows them. The
//! kernel shows a call as an offset of the helper in its memory; two programs of our own show these
//! offsets.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};

use bpfpack_schemas::insn::{self, Call};
use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions, ProgramInfo};
use libbpf_rs::{Object, Program};

use super::formats::HELPERS;
use crate::sys;

/// The maximum number of names in a message.
const MOST: usize = 4;

/// Programs of others that can print.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// The kernel does not show them.
    Unknown,
    /// The number of programs, and some of their names.
    There(usize, Vec<String>),
}

impl Others {
    /// Inspects all programs except those of `object`.
    pub(super) fn look(object: &Object) -> Others {
        let loaded: Vec<OwnedFd> =
            HELPERS.iter().filter_map(|helper| sys::program::load_caller(*helper).ok()).collect();
        let id = |fd: std::os::fd::BorrowedFd<'_>| Program::id_from_fd(fd).ok();
        let samples: BTreeSet<u32> = loaded.iter().filter_map(|fd| id(fd.as_fd())).collect();
        let ours: BTreeSet<u32> =
            object.progs().filter_map(|program| id(program.as_fd())).collect();
        let options = ProgInfoQueryOptions::default().include_xlated_prog_insns(true);
        let all: Vec<ProgramInfo> = ProgInfoIter::with_query_opts(options).collect();
        let (samples, others): (Vec<_>, Vec<_>) =
            all.iter().partition(|program| samples.contains(&program.id));
        let calls: BTreeSet<i32> =
            samples.iter().flat_map(|program| calls(&program.xlated_prog_insns)).collect();
        // Without permission, all calls are zero, or there are no instructions.
        if calls.is_empty() || calls.contains(&0) {
            return Others::Unknown;
        }
        // Another ecli may be inspecting programs right now.
        let others = others
            .iter()
            .filter(|program| !ours.contains(&program.id) && program.name != sys::program::PROBE);
        let names = others.filter(|program| {
            self::calls(&program.xlated_prog_insns).any(|call| calls.contains(&call))
        });
        let names: Vec<String> =
            names.map(|program| program.name.to_string_lossy().into_owned()).collect();
        let count = names.len();
        let distinct: BTreeSet<String> = names.into_iter().collect();
        Others::There(count, distinct.into_iter().take(MOST).collect())
    }

    /// A note about them; `None` if there are none. `is_sorted`: lines that cannot be ours are
    /// skipped.
    pub(super) fn in_words(&self, is_sorted: bool) -> Option<String> {
        let which = if is_sorted { "lines that look like the package's" } else { "their lines" };
        match self {
            Others::There(0, _) => None,
            Others::There(count, names) => Some(format!(
                "other programs on this machine also print ({}): {which} may be in the output, \
                 since the kernel does not say which program printed a line",
                listed(*count, names)
            )),
            Others::Unknown if is_sorted => None,
            Others::Unknown => Some(
                "the output may contain lines of other programs: the kernel does not say which \
                 program printed a line"
                    .to_owned(),
            ),
        }
    }
}

fn listed(count: usize, names: &[String]) -> String {
    let programs = if count == 1 { "program" } else { "programs" };
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("{count} {programs}: {}", names.join(", "))
}

/// The helpers that instructions call, as the kernel shows them.
fn calls(instructions: &[u8]) -> impl Iterator<Item = i32> {
    insn::all(instructions).filter_map(|(_, insn)| match insn.call() {
        Some(Call::Helper(number)) => Some(number as i32),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_and_others_are_named() {
        let code = [[0x85, 0, 0, 0, 5, 1, 0, 0], [0x85, 0x10, 0, 0, 7, 0, 0, 0], [0; 8]].concat();
        assert_eq!(calls(&code).collect::<Vec<_>>(), [0x105]);
        assert_eq!(Others::There(0, Vec::new()).in_words(false), None);
        let text = Others::There(2, vec!["a".into(), "b".into()]).in_words(true).unwrap();
        assert!(
            text.contains("(2 programs: `a`, `b`): lines that look like the package's"),
            "{text}"
        );
        assert_eq!(Others::Unknown.in_words(true), None, "most of theirs are left out");
        assert!(Others::Unknown.in_words(false).is_some());
    }
}
