// SPDX-License-Identifier: MIT
//! The text of a trace pipe, taken apart: what BPF programs printed, and how much was lost. The
//! kernel writes a line as (trace_print_context in kernel/trace/trace_output.c)
//!
//! `            curl-4711    [001] ...2.   828.809399: bpf_trace_printk: text`
//!
//! with the name right-aligned to 16 columns. The flags are left out without the option `irq-info`,
//! and with `record-tgid` there is `(   4711) ` before the CPU. The text may go on over further
//! lines, and the kernel ends it with a newline, whether or not it has one of its own.

#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::time::Duration;

/// Columns of a name. `TASK_COMM_LEN` is 16 with the zero at its end, so they are never all taken.
const COMM: usize = 16;

/// No name is searched for beyond this, should a kernel come that has longer ones.
const LONGEST_COMM: usize = 64;

/// What a program printed with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The name of the thread on which the program ran, `<...>` where the kernel forgot it.
    pub comm: &'a [u8],
    /// Its number: what user space calls a thread's.
    pub pid: u32,
    /// On which CPU.
    pub cpu: u32,
    /// When, by the pipe's clock, in microseconds; 0 if the clock counts something else than time.
    pub time: Duration,
    /// What was printed, without the newlines at its end. It may have others.
    pub text: &'a [u8],
}

/// What is found in a trace pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A program printed something.
    Printed(Line<'a>),
    /// The kernel overwrote so many events before they were read.
    Lost(u64),
}

/// What a line is.
enum Meaning<'a> {
    Printed(Line<'a>),
    Lost(u64),
    /// An event of another kind, or a remark of the kernel.
    Other,
    /// The line before goes on.
    More,
}

/// An event whose text may still go on.
struct Open<'a> {
    line: Line<'a>,
    /// Where it begins.
    begin: usize,
    /// Where its text does.
    text: usize,
}

impl<'a> Open<'a> {
    fn close(self, bytes: &'a [u8], end: usize) -> Piece<'a> {
        let text = &bytes[self.text..end];
        let kept = text.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
        Piece::Printed(Line { text: &text[..kept], ..self.line })
    }
}

/// Takes the pieces out of `bytes`; returns how many bytes are done with. Behind them is the begin
/// of something that is not all there yet.
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
        // The option `annotate` has the kernel say so when it comes to another CPU.
        None if line.starts_with(b"##### CPU ") => Meaning::Other,
        None => Meaning::More,
    }
}

/// Reads `CPU:1 [LOST 1234 EVENTS]`. Where the kernel does not know how many, it was one at least.
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

/// Reads the line of an event whose name ends at `dash`; the inner none is an event of another
/// kind.
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
        // Those were the flags.
        None => {
            rest.spaces();
            rest.until(b' ')?.strip_suffix(b":")?
        }
    };
    let (time, comm) = (clock(time)?, line[..dash].trim_ascii_start());
    let text = printed(rest.0);
    Some(text.map(|text| Line { comm, pid, cpu, time, text }))
}

/// The text of what BPF printed; none where the event is not one of those.
fn printed(event: &[u8]) -> Option<&[u8]> {
    // Kernels before 5.9 have no event for it, and take it for their own printk's: at address 1,
    // later 0.
    [&b"bpf_trace_printk: "[..], b"0: ", b"0x1: ", b"0x00000001: "]
        .iter()
        .find_map(|name| event.strip_prefix(*name))
}

/// Reads `828.809399`: seconds. A whole number is of a clock that counts something else.
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

/// What is left of a line.
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

    /// What comes before `end`, which is skipped.
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
