// SPDX-License-Identifier: MIT
//! A consumer of `tests/fixtures/flood.bpf.c`, with which benchmarks compare: libbpf-rs as in its
//! documentation, and a `writeln!` for each record. It is written for this object as its author
//! would do in an hour; nothing is tuned, and nothing is slow on purpose.
//!
//! bare-stream [-j] OBJECT [VARIABLE=NUMBER]…
//!
//! It ends at SIGINT or SIGTERM, and reports on standard error how many records it has shown, and
//! how many there were.

use std::cell::{Cell, RefCell};
use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bpfpack_tests::sys::local_time;
use libbpf_rs::{ErrorKind, MapCore as _, MapFlags, ObjectBuilder, OpenObject, RingBufferBuilder};
use object::{Object as _, ObjectSymbol as _};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Size of a record with the arguments.
const WIDE: usize = 64;

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let json = args.first().is_some_and(|arg| arg == "-j");
    if json {
        args.remove(0);
    }
    let (path, values) = args.split_first().context("usage: bare-stream [-j] OBJECT …")?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }

    let mut open = ObjectBuilder::default().open_file(path)?;
    set_values(path, &mut open, values)?;
    let object = open.load()?;
    let mut links = Vec::new();
    for program in object.progs_mut() {
        links.push(program.attach()?);
    }

    let out = RefCell::new(BufWriter::with_capacity(1 << 16, io::stdout()));
    let shown = Cell::new(0u64);
    let events = object.maps().find(|map| map.name() == "events").context("no `events`")?;
    let mut builder = RingBufferBuilder::new();
    builder.add(&events, |record| {
        let written = match json {
            true => write_json(record, &mut *out.borrow_mut()),
            false => write_text(record, &mut *out.borrow_mut()),
        };
        shown.set(shown.get() + 1);
        // A negative number ends the poll.
        if written.is_ok() { 0 } else { -libc::EPIPE }
    })?;
    let ring = builder.build()?;
    if !json {
        write_header(&mut *out.borrow_mut())?;
    }
    eprintln!("bare-stream: tracing with {} program", links.len());
    while !stop.load(Ordering::Relaxed) {
        match ring.poll(Duration::from_millis(100)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => out.borrow_mut().flush()?,
        }
    }
    drop(links);
    ring.consume()?;
    out.borrow_mut().flush()?;
    let bss = object.maps().find(|map| map.name().to_string_lossy().ends_with(".bss"));
    let value = bss.context("no `.bss`")?.lookup(&0u32.to_ne_bytes(), MapFlags::ANY)?;
    let produced = u64_at(&value.context("`.bss` is empty")?, 0);
    eprintln!("bare-stream: {} of {produced} records", shown.get());
    Ok(())
}

/// Sets constants of the object, each of which has 4 bytes.
fn set_values(path: &str, open: &mut OpenObject, values: &[String]) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let elf = object::File::parse(&*bytes)?;
    let mut map = open
        .maps_mut()
        .find(|map| map.name().to_string_lossy().ends_with(".rodata"))
        .context("no `.rodata`")?;
    let constants = map.initial_value_mut().context("`.rodata` is empty")?;
    for pair in values {
        let (name, value) = pair.split_once('=').context("not NAME=NUMBER")?;
        let symbol = elf.symbol_by_name(name).with_context(|| format!("no `{name}`"))?;
        let at = symbol.address() as usize;
        constants[at..at + 4].copy_from_slice(&value.parse::<u32>()?.to_ne_bytes());
    }
    Ok(())
}

fn write_header(out: &mut impl io::Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<8} {:<16} {:<7} {:<7} {:<4} {:<6} {:<10} COMM",
        "TIME", "TS", "PID", "TID", "NR", "RET", "SEQ"
    )
}

fn write_text(record: &[u8], out: &mut impl io::Write) -> io::Result<()> {
    let (hours, minutes, seconds) = local_time();
    write!(
        out,
        "{hours:02}:{minutes:02}:{seconds:02} {:<16} {:<7} {:<7} {:<4} {:<6} {:<10} {}",
        u64_at(record, 0),
        u32_at(record, 8),
        u32_at(record, 12),
        u32_at(record, 16),
        u32_at(record, 20) as i32,
        u64_at(record, 24),
        comm_of(record),
    )?;
    if record.len() >= WIDE {
        write!(out, " {} {}", u64_at(record, 48), u64_at(record, 56))?;
    }
    writeln!(out)
}

fn write_json(record: &[u8], out: &mut impl io::Write) -> io::Result<()> {
    write!(
        out,
        r#"{{"ts":{},"pid":{},"tid":{},"nr":{},"ret":{},"seq":{},"comm":"{}""#,
        u64_at(record, 0),
        u32_at(record, 8),
        u32_at(record, 12),
        u32_at(record, 16),
        u32_at(record, 20) as i32,
        u64_at(record, 24),
        comm_of(record),
    )?;
    if record.len() >= WIDE {
        write!(out, r#","args":[{},{}]"#, u64_at(record, 48), u64_at(record, 56))?;
    }
    writeln!(out, "}}")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
}

/// The name of the task up to its zero. It does not handle names with quotes.
fn comm_of(record: &[u8]) -> &str {
    let bytes = record[32..48].split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or("?")
}
