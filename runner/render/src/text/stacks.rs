// SPDX-License-Identifier: MIT
//! Records that are stacks with their processes, printed as by existing loaders.

use std::io::Write as _;

use bpfpack_decode::Field;
use bpfpack_decode::field::{part, text};
use bpfpack_spec::{RecordType, StackEvent};

use super::Text;
use crate::put;
use crate::symbolize::Symbolize;

impl Text {
    /// Appends a stack with its process.
    pub(super) fn event(
        &self,
        ty: &RecordType,
        event: &StackEvent,
        record: &[u8],
        out: &mut Vec<u8>,
    ) {
        let Some(symbolizer) = &self.symbolizer else { return };
        let symbolizer = &mut *symbolizer.borrow_mut();
        let number = |field: Option<Field>| field.map(|field| field.unsigned(record));
        out.extend_from_slice(b"COMM: ");
        if let Some(comm) = event.comm {
            put::string(text(part(record, comm.offset), comm.size), out);
        }
        let _ = write!(out, " (pid={})", number(event.pid).unwrap_or(0));
        if let Some(cpu) = number(event.cpu) {
            let _ = write!(out, " @ CPU {cpu}");
        }
        out.push(b'\n');
        let titles = [("Kernel:", "No Kernel Stack"), ("Userspace:", "No Userspace Stack")];
        for ((title, none), side) in titles.into_iter().zip(event.sides) {
            let addresses = side.map(|at| symbolizer.addresses(&ty.stacks[at], record));
            let addresses = addresses.unwrap_or_default();
            if addresses.is_empty() {
                out.extend_from_slice(none.as_bytes());
                out.push(b'\n');
                continue;
            }
            out.extend_from_slice(title.as_bytes());
            out.push(b'\n');
            let pid = number(event.pid).map(|pid| pid as u32);
            let is_named = event.with_symbols && self.names.is_some();
            numbered(symbolizer, pid, &addresses, is_named, out);
        }
        out.push(b'\n');
    }
}

/// Appends a line with number, address and name for each address; more lines if calls were inlined.
fn numbered(
    symbolizer: &mut dyn Symbolize,
    pid: Option<u32>,
    addresses: &[u64],
    is_named: bool,
    out: &mut Vec<u8>,
) {
    let names = if is_named { symbolizer.named(pid, addresses) } else { Vec::new() };
    for (at, address) in addresses.iter().enumerate() {
        let names = names.get(at).map_or(&[][..], |names| names);
        let mut line = Vec::new();
        let _ = write!(line, "  {at} [<{address:016x}>]");
        for (nth, name) in names.iter().enumerate() {
            match nth {
                0 => line.push(b' '),
                // Aligned below the first name.
                _ => drop(write!(line, "\n{:1$}", "", 24 + at.to_string().len())),
            }
            line.extend_from_slice(name);
        }
        for part in line.split_inclusive(|byte| *byte == b'\n') {
            put::string(part.strip_suffix(b"\n").unwrap_or(part), out);
            out.push(b'\n');
        }
    }
}
