// SPDX-License-Identifier: MIT
//! Parses the text of a trace pipe: what BPF programs printed, and the number of lost events. The
//! kernel writes a line as (trace_print_context in kernel/trace/trace_output.c)
//!
//! `            curl-4711    [001] ...2.   828.809399: bpf_trace_printk: text`
//!
//! with the name right-aligned to 16 columns. Without the option `irq-info`, the flags are missing;
//! with `record-tgid`, there is `(   4711) ` before the CPU. The text may have several lines, and
//! the kernel ends it with a newline even if it ends with one of its own.

#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::time::Duration;

/// The width of the column of names. `TASK_COMM_LEN` is 16 with the terminating zero, so a name
/// never fills it.
const COMM: usize = 16;

/// No name is longer than this, even in future kernels.
const LONGEST_COMM: usize = 64;

/// The text that a program printed with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The name of the thread on which the program ran; `<...>` if the kernel no longer knows it.
    pub comm: &'a [u8],
    /// The thread ID of user space.
    pub pid: u32,
    /// The CPU.
    pub cpu: u32,
    /// The time of the pipe's clock, in microseconds; 0 if the clock does not count time.
    pub time: Duration,
    /// The text without trailing newlines. It may have other newlines.
    pub text: &'a [u8],
}

/// A part of a trace pipe's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A program printed text.
    Printed(Line<'a>),
    /// The kernel overwrote this number of events before they were read.
    Lost(u64),
}

/// The meaning of a line.
enum Meaning<'a> {
    Printed(Line<'a>),
    Lost(u64),
    /// An event of another kind, or a note of the kernel.
    Other,
    /// A continuation of the line before.
    More,
}

/// An event whose text may continue.
struct Open<'a> {
    line: Line<'a>,
    /// The offset of the event.
    begin: usize,
    /// The offset of its text.
    text: usize,
}

impl<'a> Open<'a> {
    fn close(self, bytes: &'a [u8], end: usize) -> Piece<'a> {
        let text = &bytes[self.text..end];
        let kept = text.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
        Piece::Printed(Line { text: &text[..kept], ..self.line })
    }
}

/// Parses `bytes`. Returns how many bytes are complete; the rest is the beginning of an incomplete
/// piece.
pub(super) fn pieces<'a>(bytes: &'a [u8], mut take: impl FnMut(Piece<'a>)) -> usize {
    let mut open: Option<Open<'a>> = None;
    let mut at = 0;
    while let Some(len) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let end = at + len;
        let meaning = meaning(&bytes[at..end]);
        if !matches!(meaning, Meaning::More)
            && let Some(open) = open.take()
        {
            take(open.close(bytes, at));
        }
        match meaning {
            Meaning::Printed(line) => {
                open = Some(Open { line, begin: at, text: end - line.text.len() });
            }
            Meaning::Lost(count) => take(Piece::Lost(count)),
            Meaning::Other | Meaning::More => {}
        }
        at = end + 1;
    }
    match open {
        Some(open) if at < bytes.len() => return open.begin,
        Some(open) => take(open.close(bytes, at)),
        None => {}
    }
    at
}

fn meaning(line: &[u8]) -> Meaning<'_> {
    if let Some(count) = loss(line) {
        return Meaning::Lost(count);
    }
    let dashes = (COMM..line.len().min(LONGEST_COMM)).filter(|at| line[*at] == b'-');
    match dashes.filter_map(|dash| event(line, dash)).next() {
        Some(Some(line)) => Meaning::Printed(line),
        Some(None) => Meaning::Other,
        // With the option `annotate`, the kernel prints this when it changes the CPU.
        None if line.starts_with(b"##### CPU ") => Meaning::Other,
        None => Meaning::More,
    }
}

/// Parses `CPU:1 [LOST 1234 EVENTS]`. If the kernel does not know the number, it is at least one.
fn loss(line: &[u8]) -> Option<u64> {
    let mut rest = Rest(line.strip_prefix(b"CPU:")?);
    rest.number::<u32>()?;
    rest.skip(b" [LOST ")?;
    if rest.0 == b"EVENTS]" {
        return Some(1);
    }
    let count = rest.number()?;
    (rest.0 == b" EVENTS]").then_some(count)
}

/// Parses the line of an event whose thread name ends at `dash`. The inner `None` is an event of
/// another kind.
fn event(line: &[u8], dash: usize) -> Option<Option<Line<'_>>> {
    let mut rest = Rest(&line[dash + 1..]);
    let pid = rest.number()?;
    rest.spaces();
    if rest.skip(b"(").is_some() {
        rest.until(b')')?;
        rest.spaces();
    }
    rest.skip(b"[")?;
    let cpu = rest.number()?;
    rest.skip(b"] ")?;
    rest.spaces();
    let first = rest.until(b' ')?;
    let time = match first.strip_suffix(b":") {
        Some(time) => time,
        // This word was the flags.
        None => {
            rest.spaces();
            rest.until(b' ')?.strip_suffix(b":")?
        }
    };
    let (time, comm) = (clock(time)?, line[..dash].trim_ascii_start());
    let text = printed(rest.0);
    Some(text.map(|text| Line { comm, pid, cpu, time, text }))
}

/// The text that BPF printed; `None` if the event is of another kind.
fn printed(event: &[u8]) -> Option<&[u8]> {
    // Kernels before 5.9 have no event for it and report it as their own printk, at address 1 or,
    // later, 0.
    [&b"bpf_trace_printk: "[..], b"0: ", b"0x1: ", b"0x00000001: "]
        .iter()
        .find_map(|name| event.strip_prefix(*name))
}

/// Parses `828.809399`: seconds. A clock that does not count time prints an integer.
fn clock(text: &[u8]) -> Option<Duration> {
    let mut rest = Rest(text);
    let seconds = rest.number()?;
    if rest.0.is_empty() {
        return Some(Duration::ZERO);
    }
    rest.skip(b".")?;
    let micros: u32 = rest.number()?;
    let is_all = rest.0.is_empty() && micros < 1_000_000;
    is_all.then(|| Duration::new(seconds, micros * 1000))
}

/// The rest of a line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, prefix: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(prefix)?;
        Some(())
    }

    fn spaces(&mut self) {
        let count = self.0.iter().take_while(|byte| **byte == b' ').count();
        self.0 = &self.0[count..];
    }

    /// Returns what precedes `end`, and skips both.
    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let len = self.0.iter().position(|byte| *byte == end)?;
        let (found, rest) = (&self.0[..len], &self.0[len + 1..]);
        self.0 = rest;
        Some(found)
    }

    fn number<T: FromStr>(&mut self) -> Option<T> {
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(len);
        let number = str::from_utf8(digits).ok()?.parse().ok()?;
        self.0 = rest;
        Some(number)
    }
}
