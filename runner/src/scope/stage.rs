// SPDX-License-Identifier: MIT
//! Keeps what processes of a cgroup have caused, where frames name the process and not the cgroup: it
//! is looked up in `/proc`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bpfpack_decode::Field;
use bpfpack_failure::Failure;
use bpfpack_frame::{Frame, Next, Stage};

use super::container::{is_below, path_of_process};
use super::members::Found;

/// Processes that are remembered.
const MOST: usize = 4096;

/// For so long: processes move, and their numbers are given again.
const LONGEST: Duration = Duration::from_secs(1);

/// The stage.
#[derive(Debug, Clone)]
pub(crate) struct OfCgroup {
    /// Where the process is, by the index of a source and of the type of its records.
    fields: BTreeMap<(usize, usize), Found>,
    processes: Processes,
}

/// The processes of a cgroup.
#[derive(Debug, Clone)]
struct Processes {
    /// The cgroup, as `/proc/PID/cgroup` has it.
    path: String,
    known: HashMap<u32, (bool, Instant)>,
}

impl OfCgroup {
    pub(super) fn new(path: String, fields: BTreeMap<(usize, usize), Found>) -> OfCgroup {
        OfCgroup { fields, processes: Processes { path, known: HashMap::new() } }
    }
}

impl Processes {
    /// Whether a process is in the cgroup; one that has ended is as it was known.
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

    /// Whether the process that a field names is one of them.
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
        // What names no process is not shown.
        let Some(Found { field, is_in_key, .. }) = self.fields.get(&key) else { return Ok(()) };
        let now = Instant::now();
        let mut is_kept = |bytes: &[u8]| self.processes.has_named(*field, bytes, now);
        match frame {
            Frame::Records(records) => records.keep(is_kept, next),
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
            println!("skipped: there is no cgroup hierarchy of version 2");
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
        // One that has ended is as it was.
        own.known.insert(u32::MAX, (true, now));
        assert!(own.has(u32::MAX, now + 2 * LONGEST));
    }
}
