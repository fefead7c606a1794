// SPDX-License-Identifier: MIT
//! Names of code that a process makes at run time and tells of in `/tmp/perf-PID.map`, as Java,
//! Node.js and .NET can. The format: `START SIZE NAME` on each line, both numbers hexadecimal; a
//! later line holds where two overlap. The file grows while the process runs.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::rc::Rc;

use super::{Frame, Place, maps};

/// How much of a file is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// What stands as a frame's module.
const MODULE: &str = "[jit]";

/// The names of one process' made code.
#[derive(Debug)]
pub struct Jit {
    file: File,
    /// The bytes of whole lines that were read so far.
    consumed: u64,
    /// Sorted by start.
    entries: Vec<Entry>,
    names: String,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    size: u64,
    /// Where the name begins in `Jit::names`; it ends at a newline.
    name: u32,
}

impl Jit {
    /// Opens the file of a process, if it has one: the path is as the process sees it, and so is
    /// the number in it. As anybody can make files there, it must be the process' owner's or root's.
    pub fn open(process: &Path) -> Option<Jit> {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let pid: u32 = numbers.split_ascii_whitespace().next_back()?.parse().ok()?;
        let file = maps::inside(process, format!("/tmp/perf-{pid}.map").as_bytes())?;
        let owner = file.metadata().ok()?.uid();
        let is_trusted = owner == 0 || owner == fs::metadata(process).ok()?.uid();
        is_trusted.then(|| Jit { file, consumed: 0, entries: Vec::new(), names: String::new() })
    }

    /// The frame of an address, by what was read so far.
    pub fn frame(&self, place: Place) -> Option<Frame> {
        let below = self.entries.partition_point(|entry| entry.start <= place.lookup());
        let entry = self.entries.get(below.checked_sub(1)?)?;
        if place.lookup() - entry.start >= entry.size {
            return None;
        }
        let name = self.names.get(entry.name as usize..)?.split('\n').next()?;
        Some(Frame {
            name: Some(name.into()),
            offset: place.address() - entry.start,
            module: Some(Rc::from(MODULE)),
            ..Frame::unknown(place.address())
        })
    }

    /// Reads what was added to the file.
    pub fn read_on(&mut self) {
        let size = self.file.metadata().map_or(0, |data| data.len().min(MAX_FILE));
        if size < self.consumed {
            // It was begun anew.
            (self.consumed, self.entries, self.names) = (0, Vec::new(), String::new());
        }
        let mut bytes = vec![0; usize::try_from(size - self.consumed).unwrap_or(0)];
        if bytes.is_empty() || self.file.read_exact_at(&mut bytes, self.consumed).is_err() {
            return;
        }
        // The last line may be half written.
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return };
        self.consumed += end as u64 + 1;
        for line in String::from_utf8_lossy(&bytes[..end]).lines() {
            self.add(line);
        }
        // Stable, so that of two at one address the later comes last and is found.
        self.entries.sort_by_key(|entry| entry.start);
    }

    fn add(&mut self, line: &str) {
        let mut fields = line.splitn(3, ' ');
        let mut number = || {
            let text = fields.next()?;
            u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
        };
        let (Some(start), Some(size)) = (number(), number()) else { return };
        let (Some(name), Ok(at)) = (fields.next(), u32::try_from(self.names.len())) else { return };
        self.names.push_str(name);
        self.names.push('\n');
        self.entries.push(Entry { start, size, name: at });
    }
}
