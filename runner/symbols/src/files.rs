// SPDX-License-Identifier: MIT
//! The ELF files that processes map, kept open, and the names of offsets in them.
//!
//! A file is identified by device and inode number and, because numbers are reused and files are
//! rewritten in place, by size and change time. Each has its own symbolizer, so that dropping a
//! file frees everything that was read from it, and no path has to refer to the same file twice.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::rc::Rc;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{CodeInfo, Input, Reason, Sym, Symbolized, Symbolizer};
use rustix::fs::MemfdFlags;

use super::cache::Recent;
use super::frame::{CodeAddress, StackFrame, StackFrames};

/// The maximum number of open files. A file in which an address was looked up takes two
/// descriptors, three with separate debug information: in total less than the usual limit of 1024.
const MAX_FILES: usize = 256;

/// A device and an inode number.
pub(crate) type Identity = (u64, u64);

/// A number for a file with this content; never reused.
pub(crate) type Id = u32;

const VDSO: Id = 0;

/// The open files.
#[derive(Debug)]
pub(crate) struct Files {
    /// Whether to read debug information for lines and inlined calls.
    lines: bool,
    ids: Recent<Identity, Id>,
    open: Recent<Id, Binary>,
    next: Id,
    /// `None` before the first request.
    vdso: Option<Option<Binary>>,
}

impl Files {
    pub(crate) fn new(lines: bool) -> Files {
        let (ids, open) = (Recent::new(MAX_FILES), Recent::new(MAX_FILES));
        Files { lines, ids, open, next: VDSO + 1, vdso: None }
    }

    /// Returns the number of a file, which is opened if it is not open or has changed. `None` if it
    /// cannot be opened or is not an ELF file.
    pub(crate) fn keep(
        &mut self,
        identity: Identity,
        module: &Rc<str>,
        open: impl FnOnce() -> Option<File>,
    ) -> Option<Id> {
        if let Some(id) = self.ids.get(&identity).copied() {
            if self.open.get(&id).is_some_and(|binary| binary.is_unchanged()) {
                return Some(id);
            }
            // The previous content has no names any more. A file may be rewritten again and again,
            // so free it.
            self.open.remove(&id);
        }
        let binary = Binary::new(open()?, module, self.lines)?;
        let id = self.next;
        self.next = self.next.checked_add(1)?;
        self.ids.insert(identity, id);
        self.open.insert(id, binary);
        Some(id)
    }

    /// Whether a file is still open. It is marked as used.
    pub(crate) fn has(&mut self, id: Id) -> bool {
        self.binary(id).is_some()
    }

    /// The number of the code that the kernel maps into every process (vDSO), and its size in
    /// bytes.
    pub(crate) fn vdso(&mut self) -> Option<(Id, u64)> {
        let lines = self.lines;
        let binary = self.vdso.get_or_insert_with(|| Binary::new(vdso()?, &"[vdso]".into(), lines));
        Some((VDSO, binary.as_ref()?.stamp.0))
    }

    /// The frames of each of some offsets in a file; empty if the file is not open any more.
    pub(crate) fn frames(&mut self, id: Id, places: &[CodeAddress]) -> Vec<StackFrames> {
        let lines = self.lines;
        self.binary(id).map_or_else(Vec::new, |binary| binary.frames(lines, places))
    }

    fn binary(&mut self, id: Id) -> Option<&mut Binary> {
        if id == VDSO { self.vdso.as_mut()?.as_mut() } else { self.open.get(&id) }
    }
}

/// Size, and change time in seconds and nanoseconds.
type Stamp = (u64, i64, i64);

#[derive(Debug)]
struct Binary {
    file: File,
    stamp: Stamp,
    module: Rc<str>,
    symbolizer: Symbolizer,
    /// Whether its debug information could not be read, so that it is not tried again.
    no_debug: Cell<bool>,
}

impl Binary {
    fn new(file: File, module: &Rc<str>, lines: bool) -> Option<Binary> {
        let mut magic = [0; 4];
        file.read_exact_at(&mut magic, 0).ok()?;
        if magic != *b"\x7fELF" {
            return None;
        }
        let symbolizer = Symbolizer::builder()
            .enable_auto_reload(false)
            .enable_code_info(lines)
            .enable_inlined_fns(lines)
            .build();
        let (stamp, module) = (stamp(&file)?, Rc::clone(module));
        Some(Binary { file, stamp, module, symbolizer, no_debug: Cell::new(false) })
    }

    /// Whether the file is unchanged since it was opened. Otherwise names could be wrong, and
    /// mapped pages could be gone.
    fn is_unchanged(&self) -> bool {
        stamp(&self.file) == Some(self.stamp)
    }

    fn frames(&self, lines: bool, places: &[CodeAddress]) -> Vec<StackFrames> {
        if !self.is_unchanged() {
            return places.iter().map(|place| [self.unknown(place.address())].into()).collect();
        }
        let offsets: Vec<u64> = places.iter().map(|place| place.lookup()).collect();
        let unknown = || vec![Symbolized::Unknown(Reason::MissingSyms); places.len()];
        let symbols = self.ask(false, &offsets).unwrap_or_else(unknown);
        let mut debug = vec![None; places.len()];
        // Reading debug information is slow. Without `--lines`, it is read only for names if
        // symbols were stripped: it may be in a separate file.
        let missing = Symbolized::Unknown(Reason::MissingSyms);
        let mut wanted: Vec<usize> = (0..places.len()).collect();
        wanted.retain(|at| !self.no_debug.get() && (lines || symbols[*at] == missing));
        if !wanted.is_empty() {
            let offsets: Vec<u64> = wanted.iter().map(|at| offsets[*at]).collect();
            let answers = self.ask(true, &offsets);
            self.no_debug.set(answers.is_none());
            for (at, answer) in wanted.into_iter().zip(answers.into_iter().flatten()) {
                debug[at] = answer.into_sym();
            }
        }
        let each = symbols.iter().zip(&debug).zip(places);
        each.map(|((symbol, debug), place)| self.combined(*place, symbol.as_sym(), debug.as_ref()))
            .collect()
    }

    fn ask(&self, with_debug: bool, offsets: &[u64]) -> Option<Vec<Symbolized<'_>>> {
        // The symbolizer opens and maps the file once; afterwards the path is only its key.
        let mut elf = Elf::new(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        elf.debug_syms = with_debug;
        self.symbolizer.symbolize(&Source::Elf(elf), Input::FileOffset(offsets)).ok()
    }

    /// Combines the results of symbols and debug information. Names are from symbols: they are
    /// complete, and do not depend on debug information.
    fn combined(
        &self,
        place: CodeAddress,
        symbol: Option<&Sym<'_>>,
        debug: Option<&Sym<'_>>,
    ) -> StackFrames {
        let name = |name: &str| (!name.is_empty()).then(|| Rc::from(name));
        let unknown = || self.unknown(place.address());
        let mut outer = unknown();
        if let Some(symbol) = symbol.or(debug) {
            outer.name = name(&symbol.name);
            outer.offset = symbol.offset as u64 + (place.address() - place.lookup());
        }
        let Some(debug) = debug else { return Rc::new([outer]) };
        outer.source = debug.code_info.as_deref().and_then(source);
        let inlined = debug.inlined.iter().rev().map(|call| {
            let source = call.code_info.as_ref().and_then(source);
            StackFrame { name: name(&call.name), source, inlined: true, ..unknown() }
        });
        inlined.chain([outer]).collect()
    }

    fn unknown(&self, offset: u64) -> StackFrame {
        StackFrame { module: Some(Rc::clone(&self.module)), ..StackFrame::unknown(offset) }
    }
}

fn source(code: &CodeInfo<'_>) -> Option<(Rc<str>, u32)> {
    Some((code.to_path().to_string_lossy().into(), code.line?))
}

fn stamp(file: &File) -> Option<Stamp> {
    let data = file.metadata().ok()?;
    Some((data.size(), data.mtime(), data.mtime_nsec()))
}

/// A copy of this process's `[vdso]`, which is a whole ELF file in memory.
fn vdso() -> Option<File> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    let mut bytes = vec![0; usize::try_from(end - start).ok()?];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, start).ok()?;
    let mut file = File::from(rustix::fs::memfd_create("vdso", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(&bytes).ok()?;
    Some(file)
}
