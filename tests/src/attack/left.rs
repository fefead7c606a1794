// SPDX-License-Identifier: MIT
//! BPF objects that are left in the kernel after programs have ended, by ID.
//!
//! Others on the machine load programs meanwhile. So a new object is only recorded, and counts as
//! left if it still exists later and no process holds it.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};

use crate::sys::{Kind, next_id};

/// How long the kernel may take to free objects without an owner.
const GRACE: Duration = Duration::from_millis(1500);

/// The kind and ID of a BPF object.
pub type Id = (Kind, u32);

const KINDS: [Kind; 3] = [Kind::Program, Kind::Map, Kind::Link];

/// Watches for new objects.
#[derive(Debug, Default)]
pub struct Left {
    /// The largest IDs before the start.
    before: [u32; 3],
    known: HashSet<Id>,
    pending: Vec<Seen>,
    /// Objects that seem to be left.
    alone: Vec<(Id, u64)>,
}

/// A new object.
#[derive(Debug)]
struct Seen {
    id: Id,
    /// The case after which it was first seen.
    case: u64,
    /// When it was last inspected.
    looked: Instant,
    /// Whether no process held it then.
    was_alone: bool,
}

impl Left {
    /// Starts watching.
    #[must_use]
    pub fn watch() -> Left {
        let last = |kind| ids(kind, 0).last().unwrap_or(0);
        Left { before: KINDS.map(last), ..Left::default() }
    }

    /// Records new objects after a case.
    pub fn after(&mut self, case: u64) {
        let now = Instant::now();
        for (kind, before) in KINDS.into_iter().zip(self.before) {
            for id in ids(kind, before) {
                if self.known.insert((kind, id)) {
                    self.pending.push(Seen { id: (kind, id), case, looked: now, was_alone: false });
                }
            }
        }
        self.look();
    }

    /// Inspects objects again that were seen some time ago: whether they exist, and whether a
    /// process holds them.
    fn look(&mut self) {
        self.pending.retain(|seen| exists(seen.id));
        if !self.pending.iter().any(|seen| seen.looked.elapsed() > GRACE) {
            return;
        }
        let held = all_held();
        let mut alone = Vec::new();
        self.pending.retain_mut(|seen| {
            if seen.looked.elapsed() <= GRACE {
                return true;
            }
            let is_alone = !held.contains(&seen.id);
            if is_alone && seen.was_alone && exists(seen.id) {
                alone.push((seen.id, seen.case));
                return false;
            }
            (seen.looked, seen.was_alone) = (Instant::now(), is_alone);
            true
        });
        self.alone.extend(alone);
    }

    /// The objects that are left, with the case after which each was first seen: no process has
    /// held them for some time, and everything else has ended.
    #[must_use]
    pub fn close(mut self) -> Vec<(Id, u64)> {
        std::thread::sleep(Duration::from_millis(20));
        for _ in 0..2 {
            self.pending.retain(|seen| exists(seen.id));
            if !self.pending.is_empty() {
                std::thread::sleep(GRACE + Duration::from_millis(100));
                self.look();
            }
        }
        self.alone.retain(|(id, _)| exists(*id));
        if !self.alone.is_empty() {
            let held = all_held();
            self.alone.retain(|(id, _)| !held.contains(id));
        }
        self.alone
    }
}

fn ids(kind: Kind, after: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(next_id(kind, after), move |id| next_id(kind, *id))
}

/// Whether an object exists.
#[must_use]
pub fn exists((kind, id): Id) -> bool {
    id > 0 && next_id(kind, id - 1) == Some(id)
}

/// The objects that a process holds by descriptors.
#[must_use]
pub fn held_by(pid: u32) -> Vec<Id> {
    let names = [("prog_id:", Kind::Program), ("map_id:", Kind::Map), ("link_id:", Kind::Link)];
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let mut held: Vec<Id> = files
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .flat_map(|text| {
            let id = |line: &str| {
                let (name, kind) = names.iter().find(|(name, _)| line.starts_with(name))?;
                Some((*kind, line[name.len()..].trim().parse().ok()?))
            };
            text.lines().filter_map(id).collect::<Vec<Id>>()
        })
        .collect();
    held.sort_unstable();
    held.dedup();
    held
}

/// The objects that any process holds, and the maps of programs that one holds, because a loader
/// may close its maps.
fn all_held() -> HashSet<Id> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut held: HashSet<Id> = pids.flat_map(held_by).collect();
    let with_maps = ProgInfoQueryOptions::default().include_map_ids(true);
    for program in ProgInfoIter::with_query_opts(with_maps) {
        if held.contains(&(Kind::Program, program.id)) {
            held.extend(program.map_ids.iter().map(|id| (Kind::Map, *id)));
        }
    }
    held
}
