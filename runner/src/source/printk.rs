// SPDX-License-Identifier: MIT
//! Text that BPF programs print with `bpf_printk`. The kernel raises a trace event for it, and a
//! private trace instance receives a copy, so that no other reader loses lines. Lines do not say
//! which program printed them. The source therefore reads the lines of all programs on the machine
//! and skips lines that no format string of our programs can produce.

mod formats;
mod instance;
mod line;
mod others;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::Path;

use anyhow::anyhow;
use bpfpack_schemas::insn::Insn;
use bpfpack_spec::{BufferType, PRINTK_COMM, Stream};
use libbpf_rs::{MapCore as _, MapFlags, Object};

use super::{Mark, RecordSource, Round};
use crate::failure::{Failure, exit_code};
use crate::kernel;
use formats::Format;
use instance::{Instance, Settings};
pub(super) use line::Line;
use line::Piece;
use others::Others;

/// Bytes that are read in one call.
const ROOM: usize = 1 << 16;

/// Reads at the end: more than the pipe's buffers hold. Other programs print, too, and do not stop.
const LAST_READS: usize = 64;

/// With less room than this, the kernel might truncate a line. It returns 4 to 8 KB at a time.
const LEAST: usize = 1 << 14;

/// The kernel's text for a thread whose name it no longer knows.
const FORGOTTEN: &[u8] = b"<...>";

/// Text that BPF programs print, as a source.
#[derive(Debug)]
pub(crate) struct PrintkSource {
    pipe: TracePipe,
    ourselves: Ourselves,
    /// Formats that our programs may print; `None` if they cannot be found.
    formats: Option<Vec<Format>>,
    /// The number of skipped lines, which other programs printed.
    foreign: u64,
    /// A note about other programs.
    others: Option<String>,
    record: Vec<u8>,
}

impl RecordSource for PrintkSource {
    fn open(object: &Object, stream: &Stream) -> Option<Result<PrintkSource, Failure>> {
        let open = || {
            let (pipe, ourselves) = (TracePipe::open()?, Ourselves::look());
            let formats = formats_of(object);
            // If our programs print nothing, no line of other programs can match.
            let prints = formats.as_ref().is_none_or(|formats| !formats.is_empty());
            let others = prints.then(|| Others::look(object));
            let others = others.and_then(|others| others.in_words(formats.is_some()));
            Ok(PrintkSource { pipe, ourselves, formats, foreign: 0, others, record: Vec::new() })
        };
        (stream.buffer == BufferType::Printk).then(open)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// A read takes all lines that it finds; those beyond `most` are dropped.
    fn drain(
        &mut self,
        most: usize,
        mut take: impl FnMut(Option<u16>, &[&[u8]]) -> bool,
    ) -> io::Result<Round> {
        let PrintkSource { pipe, ourselves, formats, foreign, record, .. } = self;
        let fits = |text: &[u8]| {
            formats.as_ref().is_none_or(|formats| formats.iter().any(|format| format.fits(text)))
        };
        let mut taken = 0;
        let bytes = pipe.read(|line| {
            // Printing a line can cause another line, which must not repeat forever.
            if ourselves.is(&line) {
                return;
            }
            if !fits(line.text) {
                *foreign += 1;
            } else if taken < most {
                encode(&line, record);
                take(None, &[record]);
                taken += 1;
            }
        })?;
        Ok(Round { taken, fill: 0, more: bytes > 0 && taken > 0 })
    }

    fn mark(&self) -> Mark {
        Mark::Rounds(LAST_READS)
    }

    fn lost(&self) -> Option<u64> {
        Some(self.pipe.lost())
    }

    fn is_written_by_programs(&self) -> bool {
        false
    }

    fn note(&self) -> Option<String> {
        let shared = self.pipe.shared().map(|why| {
            format!(
                "the lines of bpf_printk are taken from the trace pipe that all share ({why}): \
                 other readers of it miss them"
            )
        });
        let notes: Vec<String> = shared.into_iter().chain(self.others.clone()).collect();
        Some(notes.join("; ")).filter(|notes| !notes.is_empty())
    }

    fn last_note(&self) -> Option<String> {
        let (lines, were) = if self.foreign == 1 { ("line", "was") } else { ("lines", "were") };
        let text = format!("{} {lines} of other programs {were} left out", self.foreign);
        (self.foreign > 0).then_some(text)
    }
}

/// The format strings of the loaded programs; `None` if they cannot be found.
fn formats_of(object: &Object) -> Option<Vec<Format>> {
    let mut places = BTreeSet::new();
    for program in object.progs().filter(|program| program.autoload()) {
        let insn = |insn: &libbpf_sys::bpf_insn| Insn {
            code: insn.code,
            dst: insn.dst_reg(),
            src: insn.src_reg(),
            off: insn.off,
            imm: insn.imm,
        };
        let code: Vec<Insn> = program.insns().iter().map(insn).collect();
        places.extend(formats::places(&code)?);
    }
    let format = |(fd, offset): (i32, i32)| {
        let map = object.maps().find(|map| map.as_fd().as_raw_fd() == fd)?;
        let value = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok()??;
        formats::text_at(&value, offset).map(Format::of)
    };
    places.into_iter().map(format).collect()
}

/// Encodes a line as a record with the layout in `bpfpack_spec::printk`.
fn encode(line: &Line<'_>, record: &mut Vec<u8>) {
    record.clear();
    record.extend_from_slice(&line.comm[..line.comm.len().min(PRINTK_COMM - 1)]);
    record.resize(PRINTK_COMM, 0);
    record.extend_from_slice(&line.pid.to_le_bytes());
    record.extend_from_slice(&line.cpu.to_le_bytes());
    record.extend_from_slice(line.text);
}

/// A reader of the text that BPF programs print.
#[derive(Debug)]
pub(super) struct TracePipe {
    /// The first field, so that it is closed first; an open pipe keeps the instance from being
    /// removed.
    pipe: File,
    origin: Origin,
    names: Names,
    /// The first `len` bytes have been read; between calls, they are an incomplete line.
    bytes: Vec<u8>,
    len: usize,
    /// Losses that the pipe has reported.
    told: u64,
}

#[derive(Debug)]
enum Origin {
    Own(Instance),
    /// The top level of tracefs: its changed settings, and why it has to be used.
    Shared(#[expect(dead_code, reason = "dropping it undoes the changes")] Settings, String),
}

/// Identifies lines that this process caused, which must not cause more lines.
#[derive(Debug)]
pub(super) struct Ourselves {
    /// The process ID in the kernel's initial namespace; `None` in a container, where it is not
    /// known.
    pid: Option<u32>,
    comm: Vec<u8>,
}

impl Ourselves {
    /// Finds how lines name this process.
    pub(super) fn look() -> Ourselves {
        let comm = std::fs::read("/proc/self/comm").unwrap_or_default();
        let pid = instance::sees_all_processes().then(std::process::id);
        Ourselves { pid, comm: comm.trim_ascii_end().to_vec() }
    }

    /// Whether a line was printed in the context of this process.
    pub(super) fn is(&self, line: &Line<'_>) -> bool {
        match self.pid {
            Some(pid) => line.pid == pid,
            None => line.comm == self.comm,
        }
    }
}

impl TracePipe {
    /// Starts reading. If the kernel gives us no private instance, lines are read from the shared
    /// pipe: see [`TracePipe::shared`].
    ///
    /// # Errors
    /// Returns an error if tracefs is not mounted, if the user may not read it, or if another
    /// process reads the shared pipe.
    pub(super) fn open() -> Result<TracePipe, Failure> {
        let root = kernel::tracefs().ok_or_else(not_there)?;
        let reason = match TracePipe::open_own(root) {
            Ok(pipe) => return Ok(pipe),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(not_readable(error));
            }
            Err(_) if !root.join(instance::EVENT).is_dir() => {
                "this kernel has no event for what BPF programs print (Linux 5.9 does)".to_owned()
            }
            Err(error) => format!("no trace instance can be made: {error}"),
        };
        TracePipe::open_shared(root, reason).map_err(not_readable)
    }

    fn open_own(root: &Path) -> io::Result<TracePipe> {
        let instance = Instance::make(root)?;
        Ok(TracePipe::new(instance.pipe()?, Origin::Own(instance)))
    }

    fn open_shared(root: &Path, reason: String) -> io::Result<TracePipe> {
        let pipe = instance::open_shared(root)?;
        Ok(TracePipe::new(pipe, Origin::Shared(Settings::change(root), reason)))
    }

    fn new(pipe: File, origin: Origin) -> TracePipe {
        TracePipe {
            pipe,
            origin,
            names: Names { can: instance::sees_all_processes(), last: None },
            bytes: vec![0; ROOM],
            len: 0,
            told: 0,
        }
    }

    /// Why lines are read from the shared pipe, where other readers lose them; `None` if they are
    /// not.
    pub(super) fn shared(&self) -> Option<&str> {
        match &self.origin {
            Origin::Own(_) => None,
            Origin::Shared(_, reason) => Some(reason),
        }
    }

    /// Passes printed lines in order of time, at most 64 KB, without waiting for more. Returns the
    /// number of bytes that were read; 0 if there are none.
    pub(super) fn read(&mut self, mut take: impl FnMut(Line<'_>)) -> io::Result<usize> {
        let before = self.len;
        while ROOM - self.len >= LEAST {
            match self.pipe.read(&mut self.bytes[self.len..]) {
                Ok(0) => break,
                Ok(count) => self.len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let read = self.len - before;
        self.names.last = None;
        let done = line::pieces(&self.bytes[..self.len], |piece| match piece {
            Piece::Printed(line) if line.comm == FORGOTTEN => {
                take(Line { comm: self.names.find(line.pid).unwrap_or(FORGOTTEN), ..line });
            }
            Piece::Printed(line) => take(line),
            Piece::Lost(count) => self.told += count,
        });
        self.bytes.copy_within(done..self.len, 0);
        self.len -= done;
        if ROOM - self.len < LEAST {
            self.len = 0; // BPF cannot print a line of this length
        }
        Ok(read)
    }

    /// The number of lines that were overwritten before they were read. In the shared pipe, other
    /// events count, too.
    pub(super) fn lost(&self) -> u64 {
        match &self.origin {
            // This includes losses that the pipe has reported, and those after the last line, which
            // it would report with the next line.
            Origin::Own(instance) => instance.lost().unwrap_or(self.told),
            Origin::Shared(..) => self.told,
        }
    }
}

impl AsFd for TracePipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Names of threads that the kernel's tracing does not know.
#[derive(Debug)]
struct Names {
    /// Whether /proc uses the same thread IDs.
    can: bool,
    /// The last thread, and its name.
    last: Option<(u32, Option<Vec<u8>>)>,
}

impl Names {
    /// The name of a thread, if it still exists.
    fn find(&mut self, pid: u32) -> Option<&[u8]> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != pid) {
            let read = || fs::read(format!("/proc/{pid}/comm")).ok();
            let mut comm = if self.can { read() } else { None };
            comm.as_mut().map(|comm| comm.pop_if(|byte| *byte == b'\n'));
            self.last = Some((pid, comm));
        }
        self.last.as_ref()?.1.as_deref()
    }
}

fn not_there() -> Failure {
    let what = "what the programs print cannot be read";
    match fs::read_dir("/sys/kernel/tracing") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => not_readable(error),
        _ => Failure::new(exit_code::OTHER, anyhow!("{what}: tracefs is not mounted"))
            .hint("mount -t tracefs tracefs /sys/kernel/tracing"),
    }
}

fn not_readable(error: io::Error) -> Failure {
    let kind = error.kind();
    let error = anyhow::Error::new(error).context("what the programs print cannot be read");
    match kind {
        io::ErrorKind::PermissionDenied => {
            Failure::new(exit_code::PERMISSION, error).hint("run it as root: sudo ecli run …")
        }
        io::ErrorKind::ResourceBusy => Failure::new(exit_code::OTHER, error)
            .hint("this kernel lets one reader have `trace_pipe`: end the other one"),
        _ => Failure::new(exit_code::OTHER, error),
    }
}
