// SPDX-License-Identifier: MIT
//! The stage that keeps frames of processes in a cgroup, if frames name the process but not the
//! cgroup. It looks up the cgroup in `/proc`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bpfpack_decode::Field;
use bpfpack_failure::Failure;
use bpfpack_frame::{Frame, Next, Stage};

use super::container::{is_below, path_of_process};
use super::members::Found;

/// The maximum number of processes to remember.
const MOST: usize = 4096;

/// How long a result is valid: processes move, and process IDs are reused.
const LONGEST: Duration = Duration::from_secs(1);

/// Keeps frames of processes in a cgroup.
#[derive(Debug, Clone)]
pub(crate) struct OfCgroup {
    /// The member with the process, by the index of the source and of the record type.
    fields: BTreeMap<(usize, usize), Found>,
    processes: Processes,
}

/// Processes, and whether they are in the cgroup.
#[derive(Debug, Clone)]
struct Processes {
    /// The cgroup, as in `/proc/PID/cgroup`.
    path: String,
    known: HashMap<u32, (bool, Instant)>,
}

impl OfCgroup {
    pub(super) fn new(path: String, fields: BTreeMap<(usize, usize), Found>) -> OfCgroup {
        OfCgroup { fields, processes: Processes { path, known: HashMap::new() } }
    }
}

impl Processes {
    /// Whether a process is in the cgroup. For a process that has ended, the last result counts.
    fn has(&mut self, pid: u32, now: Instant) -> bool {
        let before = self.known.get(&pid).copied();
        if let Some((is_in, since)) = before
            && now.duration_since(since) < LONGEST
        {
            return is_in;
        }
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
        let is_in = match &text {
            Some(text) => path_of_process(text).is_some_and(|path| is_below(path, &self.path)),
            None => before.is_some_and(|(is_in, _)| is_in),
        };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(pid, (is_in, now));
        is_in
    }

    /// Whether the process in a field is in the cgroup.
    fn has_named(&mut self, field: Field, bytes: &[u8], now: Instant) -> bool {
        let is_there = bytes.len() >= field.offset + field.size;
        is_there && u32::try_from(field.unsigned(bytes)).is_ok_and(|pid| self.has(pid, now))
    }
}

impl Stage for OfCgroup {
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        let key = match &frame {
            Frame::Records(records) => (records.source.index, records.ty),
            Frame::Reading(reading) => (reading.source.index, 0),
            Frame::Text(..) | Frame::Json(..) => return next.frame(frame),
        };
        // Frames that name no process are not shown.
        let Some(Found { field, is_in_key, .. }) = self.fields.get(&key) else { return Ok(()) };
        let now = Instant::now();
        let mut is_kept = |bytes: &[u8]| self.processes.has_named(*field, bytes, now);
        match frame {
            Frame::Records(records) => records.keep(is_kept, |frame| next.frame(frame)),
            Frame::Reading(mut reading) => {
                let entries = &mut Rc::make_mut(&mut reading).entries;
                entries
                    .retain(|entry| is_kept(if *is_in_key { entry.key() } else { entry.value() }));
                next.frame(Frame::Reading(reading))
            }
            frame => next.frame(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_looked_up_and_remembered() {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let Some(path) = path_of_process(&text) else {
            println!("skipped: there is no cgroup v2 hierarchy");
            return;
        };
        let processes = |path: &str| Processes { path: path.to_owned(), known: HashMap::new() };
        let mut own = processes(path);
        let now = Instant::now();
        let us = std::process::id();
        assert!(own.has(us, now));
        assert!(!own.has(u32::MAX, now), "there is no such process");
        let mut other = processes("/no/such/cgroup");
        assert!(!other.has(us, now));
        for pid in 0..2 * MOST as u32 {
            assert!(!other.has(u32::MAX - pid, now));
        }
        assert!(other.known.len() <= MOST);
        // The last result counts for a process that has ended.
        own.known.insert(u32::MAX, (true, now));
        assert!(own.has(u32::MAX, now + 2 * LONGEST));
    }
}
