// SPDX-License-Identifier: MIT
//! Names of code that a process generates at run time and lists in `/tmp/perf-PID.map`, as Java,
//! Node.js and .NET can. Each line is `START SIZE NAME` with hexadecimal numbers; if two lines
//! overlap, the later one counts. The file grows while the process runs.
//!
//! Any user can write such a file with any content. Limits apply to the bytes that are read and
//! stored and to the length of a line; beyond a limit, the rest of the file is given up.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::OFlags;

use super::frame::{CodeAddress, StackFrame};
use super::maps;

/// The maximum number of bytes to read from one process's file in total.
const MAX_READ: u64 = 64 << 20;

/// The maximum length of a line in bytes. The longest names, of generic code, have some thousands.
const MAX_LINE: usize = 16 << 10;

/// The maximum number of bytes to store of a name.
const MAX_NAME: usize = 1 << 10;

/// The maximum number of bytes to store for one process's file: some 70,000 functions.
const MAX_TABLE: usize = 4 << 20;

/// Bytes to read at once.
const SLICE: usize = 256 << 10;

/// The module of a frame.
const MODULE: &str = "[jit]";

/// The names of one process's generated code.
#[derive(Debug)]
pub(crate) struct Jit {
    file: File,
    /// The path of the file, for messages.
    name: String,
    /// The number of bytes in the whole lines that were read.
    consumed: u64,
    /// The file's size when it was last read; the rest was an incomplete line.
    seen: u64,
    /// The number of bytes that were read, including those of previous content.
    read: u64,
    table: Table,
    /// Why the rest of the file was given up.
    given_up: Option<&'static str>,
}

/// Functions, sorted by start.
#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    names: String,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    size: u32,
    /// The offset of the name in `Table::names`; it ends at a newline.
    name: u32,
}

impl Jit {
    /// Opens the file of a process, if it has one. The path, and the process ID in it, are those
    /// that the process sees. Anybody can create files there, so the file must belong to the
    /// process's owner or to root; and because root reads it, it must not refer to a file that the
    /// process's owner may not read.
    pub(crate) fn open(process: &Path) -> Option<Jit> {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let pid: u32 = numbers.split_ascii_whitespace().next_back()?.parse().ok()?;
        let name = format!("/tmp/perf-{pid}.map");
        let file = maps::inside(process, name.as_bytes(), OFlags::NOFOLLOW)?;
        let data = file.metadata().ok()?;
        let is_readable_by_all = data.mode() & 0o004 != 0;
        let is_trusted = data.uid() == fs::metadata(process).ok()?.uid()
            || data.uid() == 0 && is_readable_by_all;
        is_trusted.then(|| Jit {
            file,
            name,
            consumed: 0,
            seen: 0,
            read: 0,
            table: Table::default(),
            given_up: None,
        })
    }

    /// The frame of an address, from what was read so far.
    pub(crate) fn frame(&self, place: CodeAddress) -> Option<StackFrame> {
        self.table.frame(place)
    }

    /// Reads what was added to the file. Returns a message if the rest is given up.
    pub(crate) fn read_on(&mut self) -> Option<String> {
        if self.given_up.is_some() {
            return None;
        }
        let size = self.file.metadata().map_or(0, |data| data.len());
        if size == self.seen {
            return None;
        }
        if size < self.consumed {
            // The file was rewritten.
            (self.consumed, self.table) = (0, Table::default());
        }
        self.seen = size;
        self.given_up = self.read_lines().err();
        self.table.settle();
        let why = self.given_up?;
        Some(format!("ecli stops reading `{}`: {why}", self.name))
    }

    fn read_lines(&mut self) -> Result<(), &'static str> {
        let mut bytes = vec![0; SLICE];
        loop {
            let Ok(count) = self.file.read_at(&mut bytes, self.consumed) else { return Ok(()) };
            self.read += count as u64;
            // The last line may be incomplete.
            let Some(end) = bytes[..count].iter().rposition(|byte| *byte == b'\n') else {
                return if count >= MAX_LINE { Err("a line is too long") } else { Ok(()) };
            };
            self.consumed += end as u64 + 1;
            for line in bytes[..end].split(|byte| *byte == b'\n') {
                if line.len() > MAX_LINE {
                    return Err("a line is too long");
                }
                self.table.add(&String::from_utf8_lossy(line));
            }
            if self.table.size() > MAX_TABLE {
                self.table.settle();
                if self.table.size() > MAX_TABLE {
                    return Err("it has too many functions");
                }
            }
            if self.read >= MAX_READ {
                return Err("it is too large");
            }
        }
    }
}

impl Table {
    /// Size in bytes.
    fn size(&self) -> usize {
        self.names.len() + self.entries.len() * size_of::<Entry>()
    }

    fn frame(&self, place: CodeAddress) -> Option<StackFrame> {
        let below = self.entries.partition_point(|entry| entry.start <= place.lookup());
        let entry = self.entries.get(below.checked_sub(1)?)?;
        if place.lookup() - entry.start >= u64::from(entry.size) {
            return None;
        }
        let name = self.names.get(entry.name as usize..)?.split('\n').next()?;
        Some(StackFrame {
            name: Some(name.into()),
            offset: place.address() - entry.start,
            module: Some(Rc::from(MODULE)),
            ..StackFrame::unknown(place.address())
        })
    }

    fn add(&mut self, line: &str) {
        let mut fields = line.splitn(3, ' ');
        let mut number = || {
            let text = fields.next()?;
            u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
        };
        let (Some(start), Some(size)) = (number(), number()) else { return };
        let (Some(name), Ok(at)) = (fields.next(), u32::try_from(self.names.len())) else { return };
        self.names.push_str(&name[..name.floor_char_boundary(MAX_NAME)]);
        self.names.push('\n');
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.entries.push(Entry { start, size, name: at });
    }

    /// Sorts added lines, and drops those that later ones replace.
    fn settle(&mut self) {
        // The sort is stable, so of two lines for one address the later one comes last and is kept.
        self.entries.sort_by_key(|entry| entry.start);
        let before = self.entries.len();
        self.entries.reverse();
        self.entries.dedup_by_key(|entry| entry.start);
        self.entries.reverse();
        if self.entries.len() < before {
            let mut names = String::new();
            for entry in &mut self.entries {
                let name = self.names.get(entry.name as usize..).unwrap_or_default();
                let name = name.split('\n').next().unwrap_or_default();
                // The names are shorter than before, so offsets fit.
                entry.name = names.len() as u32;
                names.push_str(name);
                names.push('\n');
            }
            self.names = names;
        }
        self.entries.shrink_to_fit();
        self.names.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn jit(content: &[u8]) -> (File, Jit) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let jit = Jit {
            file: file.try_clone().unwrap(),
            name: "/tmp/perf-1.map".into(),
            consumed: 0,
            seen: 0,
            read: 0,
            table: Table::default(),
            given_up: None,
        };
        (file, jit)
    }

    fn name(jit: &Jit, address: u64) -> Option<String> {
        jit.frame(CodeAddress::Exact(address)).and_then(|frame| Some(frame.name?.to_string()))
    }

    #[test]
    fn a_file_of_a_terabyte_without_a_line_costs_one_read() {
        let (file, mut jit) = jit(b"1000 10 first\n");
        file.set_len(1 << 40).unwrap();
        let why = jit.read_on().unwrap();
        assert!(why.contains("/tmp/perf-1.map") && why.contains("a line is too long"), "{why}");
        assert!(jit.read <= 2 * SLICE as u64);
        assert_eq!(name(&jit, 0x1005).as_deref(), Some("first"), "what was read before stays");
        assert_eq!(jit.read_on(), None, "it is reported once");
    }

    #[test]
    fn millions_of_short_lines_take_no_more_than_the_table_may() {
        let lines: String = (0..3_000_000).map(|at| format!("{at:x} 1 \n")).collect();
        let (_file, mut jit) = jit(lines.as_bytes());
        assert!(jit.read_on().unwrap().contains("too many functions"));
        let kept = jit.table.entries.capacity() * size_of::<Entry>() + jit.table.names.capacity();
        assert!(kept < MAX_TABLE + (1 << 20), "{kept}");
        assert_eq!(name(&jit, 5).as_deref(), Some(""));
    }

    #[test]
    fn functions_that_are_made_again_and_again_take_the_place_of_the_old_ones() {
        let lines: String = (0..300_000).map(|at| format!("{:x} 8 f{at}\n", at % 8 * 16)).collect();
        let (mut file, mut jit) = jit(lines.as_bytes());
        assert_eq!(jit.read_on(), None);
        assert_eq!(jit.table.entries.len(), 8);
        assert_eq!(name(&jit, 0x10).as_deref(), Some("f299993"));
        file.write_all(b"10 8 newest\n10 8 half a li").unwrap();
        assert_eq!(jit.read_on(), None);
        assert_eq!(name(&jit, 0x10).as_deref(), Some("newest"));
        // A file that is rewritten again and again is given up, too.
        let mut told = None;
        for at in 0..600 {
            let whole = lines.as_bytes();
            file.set_len(0).unwrap();
            jit.read_on();
            std::os::unix::fs::FileExt::write_all_at(&file, &whole[..whole.len() - at], 0).unwrap();
            told = told.or(jit.read_on());
        }
        assert!(told.unwrap().contains("too large"));
        assert!(jit.read < MAX_READ + 2 * SLICE as u64);
    }

    #[test]
    fn names_are_cut_and_junk_is_passed_over() {
        let long = "x".repeat(MAX_LINE - 20);
        let mut content = format!("zz 1 no\n1 2\n\n10 ffffffffffff huge\n2000 8 {long}\n");
        content.push_str("0xffffffffffffffff 8 last\n");
        let bytes = [content.as_bytes(), b"3000 8 \xff\xfe\n"].concat();
        let (_file, mut jit) = jit(&bytes);
        assert_eq!(jit.read_on(), None);
        assert_eq!(name(&jit, 0x2001).map(|name| name.len()), Some(MAX_NAME));
        assert_eq!(name(&jit, 0x3001).as_deref(), Some("\u{fffd}\u{fffd}"));
        assert_eq!(name(&jit, u64::MAX).as_deref(), Some("last"));
        assert_eq!(name(&jit, 0x500).as_deref(), Some("huge"));
    }
}
