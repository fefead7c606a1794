// SPDX-License-Identifier: MIT
//! The BPF objects that a process holds. Others on the machine may have programs with the same
//! names, and links of their own.

use std::fs;

use crate::{eventually, sys};

/// The programs and links that a process held when it was inspected.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// IDs and names of the programs.
    pub programs: Vec<(u32, String)>,
    /// IDs of the links.
    pub links: Vec<u32>,
}

impl Held {
    /// Inspects the descriptors of a process.
    #[must_use]
    pub fn by(pid: u32) -> Held {
        let (mut programs, mut links) = (Vec::new(), Vec::new());
        // A process that has ended holds nothing.
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let id = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().parse::<u32>().ok()
            };
            programs.extend(id("prog_id:"));
            links.extend(id("link_id:"));
        }
        let programs = sys::loaded_programs().into_iter().filter(|(id, _)| programs.contains(id));
        Held { programs: programs.collect(), links }
    }

    /// The number of its programs whose name begins with this.
    #[must_use]
    pub fn count(&self, begin: &str) -> usize {
        self.programs.iter().filter(|(_, name)| name.starts_with(begin)).count()
    }

    /// Waits until all of them are gone.
    #[track_caller]
    pub fn is_gone(&self) {
        eventually("its programs are gone", || {
            let loaded = sys::loaded_programs();
            !self.programs.iter().any(|program| loaded.contains(program))
        });
        eventually("its links are gone", || {
            let links = sys::links();
            !self.links.iter().any(|link| links.contains(link))
        });
    }
}

/// A name for a program that is unique on the machine and has as many characters as the kernel
/// keeps.
#[must_use]
pub fn unique_name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos();
    let name = format!("t{:x}_{number:x}_{now:x}", std::process::id());
    name[..name.len().min(15)].to_owned()
}
