// SPDX-License-Identifier: MIT
//! Names of kernel addresses, from /proc/kallsyms: functions of the kernel, of modules (named in
//! brackets after the function) and of BPF programs, and trampolines.
//!
//! They are not read by blazesym, which drops the module and treats data as functions, so that
//! every address above the last symbol gets a name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::cache::Recent;
use super::frame::{CodeAddress, MAX_FRAMES, StackFrame};

const KALLSYMS: &str = "/proc/kallsyms";

/// The minimum age of a table before an address without a certain name makes ecli read it again.
const REREAD: Duration = Duration::from_secs(5);

/// The maximum distance from the start of a function to an address in it. kallsyms has no sizes,
/// and there is a gap after the last function of a module.
const MAX_FUNCTION: u64 = 1 << 20;

/// The kernel's names, which are read at the first lookup.
#[derive(Debug)]
pub(crate) struct Kernel {
    table: Option<(Table, Instant)>,
    frames: Recent<CodeAddress, Rc<[StackFrame]>>,
}

impl Kernel {
    pub(crate) fn new() -> Kernel {
        Kernel { table: None, frames: Recent::new(MAX_FRAMES) }
    }

    /// Reads the table if it was not read yet.
    pub(crate) fn warm(&mut self) {
        self.table.get_or_insert_with(|| (Table::read(), Instant::now()));
    }

    /// The frames of addresses. With `may_read`, the table is read again if it may be outdated.
    pub(crate) fn frames(
        &mut self,
        places: &[CodeAddress],
        may_read: bool,
    ) -> Vec<Rc<[StackFrame]>> {
        self.warm();
        if may_read {
            self.refresh(places);
        }
        let Kernel { table, frames } = self;
        let table = table.as_ref().map(|(table, _)| table);
        let mut frame = |place: &CodeAddress| {
            if let Some(known) = frames.get(place) {
                return Rc::clone(known);
            }
            let new: Rc<[StackFrame]> = Rc::new([describe(table, *place)]);
            frames.insert(*place, Rc::clone(&new));
            new
        };
        places.iter().map(&mut frame).collect()
    }

    /// Reads the table again if it may be outdated: programs and modules come and go, and a name
    /// next to a gap may be of a module that is gone. If names are hidden from this user, reading
    /// again would not help.
    fn refresh(&mut self, places: &[CodeAddress]) {
        let Some((table, read)) = &mut self.table else { return };
        if table.symbols.is_empty() || read.elapsed() < REREAD {
            return;
        }
        let unsure = |place: &CodeAddress| {
            self.frames.get(place).is_none()
                && table.find(place.lookup()).is_none_or(|(symbol, _)| symbol.module.is_some())
        };
        if places.iter().any(unsure) {
            (*table, *read) = (Table::read(), Instant::now());
            self.frames.clear();
        }
    }
}

fn describe(table: Option<&Table>, place: CodeAddress) -> StackFrame {
    let (lookup, address) = (place.lookup(), place.address());
    match table.and_then(|table| table.find(lookup)) {
        Some((symbol, name)) => StackFrame {
            name: Some(demangled(name)),
            offset: address - symbol.address,
            module: symbol.module.and_then(|at| table?.modules.get(usize::from(at))).map(Rc::clone),
            ..StackFrame::unknown(address)
        },
        None => StackFrame::unknown(address),
    }
}

/// The kernel's Rust code has mangled names, and C code has no similar ones.
fn demangled(name: &str) -> Rc<str> {
    match rustc_demangle::try_demangle(name) {
        Ok(name) if !name.as_str().is_empty() => format!("{name:#}").into(),
        _ => name.into(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    address: u64,
    /// The offset of the name in `Table::names`; it ends at a newline.
    name: u32,
    /// An index into `Table::modules`.
    module: Option<u16>,
    /// Data is kept because it marks the end of the function before it.
    is_text: bool,
}

/// Sorted by address, with one symbol per address.
#[derive(Debug, Default)]
struct Table {
    symbols: Vec<Symbol>,
    names: String,
    modules: Vec<Rc<str>>,
}

impl Table {
    /// Empty if the file cannot be read.
    fn read() -> Table {
        let read = || Table::parse(&mut BufReader::with_capacity(1 << 16, File::open(KALLSYMS)?));
        read().unwrap_or_default()
    }

    /// Parses lines `ADDRESS TYPE NAME`, for modules followed by a tab and `[MODULE]`.
    fn parse(lines: &mut dyn BufRead) -> io::Result<Table> {
        let mut table = Table::default();
        let mut modules = HashMap::new();
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            table.add(&line, &mut modules);
            line.clear();
        }
        // If an address has several names, the kernel itself shows the first.
        table.symbols.sort_by_key(|symbol| (symbol.address, !symbol.is_text));
        table
            .symbols
            .dedup_by(|next, kept| next.address == kept.address || !next.is_text && !kept.is_text);
        table.symbols.shrink_to_fit();
        Ok(table)
    }

    fn add(&mut self, line: &str, modules: &mut HashMap<Box<str>, u16>) {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let Ok(address) = u64::from_str_radix(address, 16) else { return };
        let is_text = matches!(kind, "t" | "T" | "w" | "W");
        // Without permission, all addresses are 0. The per-CPU area begins there, too.
        if address == 0 {
            return;
        }
        let Ok(start) = u32::try_from(self.names.len()) else { return };
        let mut symbol = Symbol { address, name: start, module: None, is_text };
        if is_text {
            self.names.push_str(name);
            self.names.push('\n');
            symbol.module = words.next().and_then(|word| {
                let word = word.strip_prefix('[')?.strip_suffix(']')?;
                if let Some(known) = modules.get(word) {
                    return Some(*known);
                }
                let new = u16::try_from(self.modules.len()).ok()?;
                self.modules.push(word.into());
                modules.insert(word.into(), new);
                Some(new)
            });
        }
        self.symbols.push(symbol);
    }

    fn find(&self, address: u64) -> Option<(Symbol, &str)> {
        let below = self.symbols.partition_point(|symbol| symbol.address <= address);
        let symbol = *self.symbols.get(below.checked_sub(1)?)?;
        if !symbol.is_text || address - symbol.address >= MAX_FUNCTION {
            return None;
        }
        let name = self.names.get(symbol.name as usize..)?.split('\n').next()?;
        Some((symbol, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t a_function
ffffffff81000200 D data_here
ffffffff81000300 d more_data
ffffffffc0001000 t nf_hook\t[nf_conntrack]
ffffffffc0400000 t bpf_prog_6deef7357e7b4530_handle\t[bpf]
ffffffffc0500000 t _RNvCs1234_7mycrate3foo
";

    fn shown(address: u64) -> String {
        let table = Table::parse(&mut LINES.as_bytes()).unwrap();
        let frame = describe(Some(&table), CodeAddress::Exact(address));
        let mut out = Vec::new();
        super::super::write_frame(address, &frame, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn functions_have_names_and_data_has_none() {
        assert_eq!(shown(0xffff_ffff_8100_0010), "_stext+0x10");
        assert_eq!(shown(0xffff_ffff_8100_01ff), "a_function+0xff");
        assert_eq!(shown(0xffff_ffff_8100_0204), "0xffffffff81000204");
        assert_eq!(shown(0xffff_ffff_8100_0304), "0xffffffff81000304");
        assert_eq!(shown(0xffff_ffff_c000_1001), "nf_hook+0x1 [nf_conntrack]");
        assert_eq!(shown(0xffff_ffff_c040_0000), "bpf_prog_6deef7357e7b4530_handle+0x0 [bpf]");
        assert_eq!(shown(0xffff_ffff_c050_0002), "mycrate::foo+0x2");
        assert_eq!(shown(0xffff_ffff_d000_0000), "0xffffffffd0000000");
        assert_eq!(shown(0x7f00_0000_1000), "0x7f0000001000");
    }

    #[test]
    fn hidden_addresses_are_no_symbols() {
        let hidden = "0000000000000000 T _stext\n0000000000000000 t a_function\n";
        assert!(Table::parse(&mut hidden.as_bytes()).unwrap().symbols.is_empty());
    }

    #[test]
    fn a_return_address_belongs_to_the_call_before_it() {
        let table = Table::parse(&mut LINES.as_bytes()).unwrap();
        let frame = describe(Some(&table), CodeAddress::Return(0xffff_ffff_8100_0100));
        assert_eq!((frame.name.as_deref(), frame.offset), (Some("_stext"), 0x100));
    }
}
