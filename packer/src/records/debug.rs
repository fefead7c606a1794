// SPDX-License-Identifier: MIT
//! The debug information (DWARF) of an object that was not linked: types, variables, the source
//! location of each instruction, and the text of the sources, which clang embeds.
//!
//! All sections of such an object start at address 0. To make addresses unique, the index of the
//! section is stored above the lower 32 bits; see [`address`].

use std::borrow::Cow;

use gimli::{EndianSlice, LittleEndian, SectionId};

pub(crate) use super::entry::Die;
use super::entry::read_entry;
use super::sections::Sections;

/// The largest debug section, in bytes.
pub(crate) type Slice<'d> = EndianSlice<'d, LittleEndian>;

/// The depth to which chains of typedefs and modifiers are followed.
const MAX_DEPTH: usize = 64;

/// The memory for entries, in addition to the size of the object. If it does not suffice, the debug
/// information is not read: an entry can have two bytes, and takes many times as much here.
const MEMORY: usize = 6 << 20;

/// The size in bytes of sections that take more memory once they are parsed. clang creates smaller
/// ones for BPF.
const MAX_ABBREV: usize = 256 << 10;
const MAX_LINE: usize = 512 << 10;

/// The number of units and of files that are read, and of rows of the line tables.
const MAX_UNITS: usize = 256;
const MAX_FILES: usize = 4096;
const MAX_ROWS: usize = 256 << 10;

/// The longest path in bytes; a longer one is ignored.
const MAX_PATH: usize = 4096;

/// The number of pieces of functions that are read.
const MAX_RANGES: usize = 64 << 10;

/// The address of an instruction, unique across sections.
pub(crate) fn address(section: usize, offset: u64) -> u64 {
    (section as u64) << 32 | (offset & 0xffff_ffff)
}

/// A position in a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    /// Index in [`Debug::files`].
    pub(crate) file: u32,
    /// The line, starting at 1.
    pub(crate) line: u32,
    /// The column in bytes, starting at 1; 0 if it is unknown.
    pub(crate) column: u32,
}

/// A function that an instruction is part of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// The index of the function: that of the function in the source, not of its inlined copy.
    pub(crate) function: u32,
    /// The position of the call, if it was inlined.
    pub(crate) called_at: Option<Location>,
}

/// A source file.
#[derive(Debug, Clone)]
pub(crate) struct File<'d> {
    /// Its path, as given to clang.
    pub(crate) name: String,
    /// Its text; empty if it is not embedded.
    pub(crate) text: Cow<'d, str>,
}

/// The debug information of an object.
#[derive(Debug, Default)]
pub(crate) struct Debug<'d> {
    pub(super) dies: Vec<Die<'d>>,
    /// The sources.
    pub(crate) files: Vec<File<'d>>,
    /// Positions by address; the end of a sequence has none.
    pub(super) rows: Vec<(u64, Option<Location>)>,
    /// Top-level functions with code, and variables.
    pub(super) roots: Vec<u32>,
    /// The number of pieces of all functions.
    pub(super) ranges: usize,
}

/// The object has more of something than any BPF program.
const TOO_MUCH: gimli::Error = gimli::Error::UnsupportedOffset;

/// The text of a source, as bytes: clang counts columns in bytes.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => crate::files::text_of(bytes.to_vec()).into(),
    }
}

impl<'d> Debug<'d> {
    /// Reads all debug information of an object of this size in bytes.
    ///
    /// # Errors
    /// The debug information is malformed, or exceeds a limit.
    pub(crate) fn read(sections: &'d Sections<'_>, object_len: usize) -> gimli::Result<Debug<'d>> {
        if sections.get(SectionId::DebugAbbrev).len() > MAX_ABBREV
            || sections.get(SectionId::DebugLine).len() > MAX_LINE
        {
            return Err(TOO_MUCH);
        }
        let section = |id: SectionId| {
            let data = sections.get(id);
            Ok::<_, gimli::Error>(EndianSlice::new(data, LittleEndian))
        };
        let dwarf = gimli::Dwarf::load(section)?;
        let most = (object_len + MEMORY) / size_of::<Die<'_>>();
        let mut debug = Debug::default();
        let mut units = dwarf.units();
        let mut left = MAX_UNITS;
        while let Some(header) = units.next()? {
            left = left.checked_sub(1).ok_or(TOO_MUCH)?;
            let base = header.debug_info_offset().map_or(0, |offset| offset.0);
            let unit = dwarf.unit(header)?;
            let first_file = debug.files.len();
            debug.read_lines(&dwarf, &unit)?;
            debug.read_entries(&dwarf, &unit, (base, first_file), most)?;
        }
        debug.rows.sort_by_key(|(address, location)| (*address, location.is_some()));
        Ok(debug)
    }

    fn read_lines(
        &mut self,
        dwarf: &gimli::Dwarf<Slice<'d>>,
        unit: &gimli::Unit<Slice<'d>>,
    ) -> gimli::Result<()> {
        let Some(program) = unit.line_program.clone() else { return Ok(()) };
        let first = self.files.len();
        let header = program.header();
        // Before version 5, file numbers start at 1.
        if header.version() < 5 {
            self.files.push(File { name: String::new(), text: "".into() });
        }
        for entry in header.file_names() {
            if self.files.len() >= MAX_FILES {
                return Err(TOO_MUCH);
            }
            let string = |value| dwarf.attr_string(unit, value).map(|text| text.slice());
            let path = |value| {
                let path = string(value).ok().filter(|path| path.len() <= MAX_PATH);
                path.map(String::from_utf8_lossy).unwrap_or_default()
            };
            let dir = entry.directory(header).map(path).unwrap_or_default();
            let name = path(entry.path_name());
            let text = entry.source().and_then(|value| string(value).ok()).map(text_of);
            let text = text.unwrap_or_default();
            let name = if dir.is_empty() || name.starts_with('/') {
                name.into_owned()
            } else {
                format!("{dir}/{name}")
            };
            self.files.push(File { name, text });
        }
        let mut rows = program.rows();
        while let Some((_, row)) = rows.next_row()?
            && self.rows.len() < MAX_ROWS
        {
            let location = (!row.end_sequence()).then(|| Location {
                file: (first as u32).saturating_add(row.file_index() as u32),
                line: row.line().map_or(0, |line| line.get() as u32),
                column: match row.column() {
                    gimli::ColumnType::LeftEdge => 0,
                    gimli::ColumnType::Column(column) => column.get() as u32,
                },
            });
            self.rows.push((row.address(), location));
        }
        Ok(())
    }

    fn read_entries(
        &mut self,
        dwarf: &gimli::Dwarf<Slice<'d>>,
        unit: &gimli::Unit<Slice<'d>>,
        (base, first_file): (usize, usize),
        most: usize,
    ) -> gimli::Result<()> {
        let mut raw = unit.entries_raw(None)?;
        let mut entry = gimli::DebuggingInformationEntry::null();
        let mut open: Vec<u32> = Vec::new();
        while !raw.is_empty() {
            let offset = (base + raw.next_offset().0) as u32;
            let depth = raw.next_depth();
            let is_entry = raw.read_entry(&mut entry)?;
            let index = self.dies.len() as u32;
            if !is_entry || depth < open.len() as isize {
                for done in open.drain(depth.max(0) as usize..).collect::<Vec<_>>() {
                    self.dies[done as usize].end = index;
                }
            }
            if !is_entry {
                continue;
            }
            if self.dies.len() >= most || self.ranges > MAX_RANGES {
                return Err(TOO_MUCH);
            }
            let die = read_entry(dwarf, unit, &entry, (base, offset, first_file))?;
            self.ranges += die.ranges.len();
            let is_root = matches!(die.tag, gimli::DW_TAG_subprogram | gimli::DW_TAG_variable);
            if depth == 1 && is_root {
                self.roots.push(index);
            }
            self.dies.push(die);
            open.push(index);
        }
        let end = self.dies.len() as u32;
        for done in open {
            self.dies[done as usize].end = end;
        }
        Ok(())
    }

    /// An entry.
    pub(crate) fn die(&self, index: u32) -> &Die<'d> {
        &self.dies[index as usize]
    }

    /// The entry at an offset of `.debug_info`.
    fn at(&self, offset: u32) -> Option<u32> {
        self.dies.binary_search_by_key(&offset, |die| die.offset).ok().map(|at| at as u32)
    }

    /// The children of an entry.
    pub(crate) fn children(&self, index: u32) -> impl Iterator<Item = u32> {
        let end = self.die(index).end;
        let mut next = index + 1;
        std::iter::from_fn(move || {
            let child = next;
            // An entry that ends before itself would never end.
            next = if child < end { self.die(child).end.max(child + 1) } else { end };
            (child < end).then_some(child)
        })
    }

    /// The type of an entry; `None` for void.
    pub(crate) fn type_of(&self, index: u32) -> Option<u32> {
        self.die(index).ty.and_then(|offset| self.at(offset))
    }

    /// The type below typedefs and modifiers; `None` for void, and for an endless chain.
    pub(crate) fn resolved(&self, index: u32) -> Option<u32> {
        let mut index = index;
        for _ in 0..MAX_DEPTH {
            match self.die(index).tag {
                gimli::DW_TAG_typedef
                | gimli::DW_TAG_const_type
                | gimli::DW_TAG_volatile_type
                | gimli::DW_TAG_restrict_type
                | gimli::DW_TAG_atomic_type => index = self.type_of(index)?,
                _ => return Some(index),
            }
        }
        None
    }

    /// The size of a type in bytes.
    pub(crate) fn size_of(&self, index: u32) -> Option<u64> {
        let mut index = self.resolved(index)?;
        let mut count = 1u64;
        for _ in 0..MAX_DEPTH {
            let die = self.die(index);
            if die.tag == gimli::DW_TAG_pointer_type {
                return count.checked_mul(8);
            }
            if die.tag != gimli::DW_TAG_array_type {
                return count.checked_mul(die.size?);
            }
            for dimension in self.children(index) {
                count = count.checked_mul(self.die(dimension).count)?;
            }
            index = self.resolved(self.type_of(index)?)?;
        }
        None
    }

    /// All structs and unions with a name and a body.
    pub(crate) fn records(&self) -> impl Iterator<Item = u32> {
        (0..self.dies.len() as u32).filter(|index| self.is_record(*index))
    }

    /// Whether an entry is a struct or union with a name and a body.
    pub(crate) fn is_record(&self, index: u32) -> bool {
        let die = self.die(index);
        matches!(die.tag, gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type)
            && !die.name.is_empty()
            && !die.is_declaration
    }

    /// Whether two structs are the same: the same entry, or the same members under the same name.
    pub(crate) fn is_same(&self, a: u32, b: u32) -> bool {
        let members = |index: u32| {
            let record = self.resolved(index).unwrap_or(index);
            let members = self.children(record).map(|child| self.die(child));
            let of_member = |die: &Die<'d>| {
                let ty = die.ty.and_then(|offset| self.at(offset));
                (die.name, die.bit_offset, die.bit_size, ty.map(|ty| self.die(ty).name))
            };
            members.map(of_member).collect::<Vec<_>>()
        };
        a == b
            || self.die(a).name == self.die(b).name
                && self.size_of(a) == self.size_of(b)
                && members(a) == members(b)
    }

    /// Whether a typedef is another name of a type itself.
    pub(crate) fn typedef_of(&self, ty: u32) -> Option<u32> {
        (0..self.dies.len() as u32).find(|index| {
            self.die(*index).tag == gimli::DW_TAG_typedef && self.type_of(*index) == Some(ty)
        })
    }

    /// All typedefs with a name.
    pub(crate) fn typedefs(&self, name: &str) -> impl Iterator<Item = u32> {
        (0..self.dies.len() as u32).filter(move |index| {
            let die = self.die(*index);
            die.tag == gimli::DW_TAG_typedef && die.name == name
        })
    }

    /// The functions around an instruction, innermost first.
    pub(crate) fn frames(&self, address: u64) -> Vec<Frame> {
        let covers = |index: &u32| {
            self.die(*index).ranges.iter().any(|(from, to)| (*from..*to).contains(&address))
        };
        let is_function = |index: &u32| self.die(*index).tag == gimli::DW_TAG_subprogram;
        let Some(outer) = self.roots.iter().copied().filter(is_function).find(covers) else {
            return Vec::new();
        };
        let mut frames = vec![Frame { function: self.origin(outer), called_at: None }];
        let mut around = outer;
        while let Some(inner) = self.children(around).find(|child| {
            matches!(
                self.die(*child).tag,
                gimli::DW_TAG_inlined_subroutine | gimli::DW_TAG_lexical_block
            ) && covers(child)
        }) {
            if self.die(inner).tag == gimli::DW_TAG_inlined_subroutine {
                let called_at = Some(self.die(inner).location);
                frames.push(Frame { function: self.origin(inner), called_at });
            }
            around = inner;
        }
        frames.reverse();
        frames
    }

    /// The entry that describes a function: of an inlined copy, the original.
    pub(crate) fn origin(&self, index: u32) -> u32 {
        self.die(index).origin.and_then(|offset| self.at(offset)).unwrap_or(index)
    }

    /// The source position of an instruction.
    pub(crate) fn location(&self, address: u64) -> Option<Location> {
        let behind = self.rows.partition_point(|(row, _)| *row <= address);
        self.rows.get(behind.checked_sub(1)?)?.1
    }

    /// The same, as `file:line`.
    pub(crate) fn location_text(&self, address: u64) -> Option<String> {
        let location = self.location(address)?;
        let name = self.files.get(location.file as usize)?.name.trim_start_matches("./");
        Some(format!("{name}:{}", location.line))
    }

    /// The names of a function's parameters, in order.
    pub(crate) fn parameters(&self, function: u32) -> Vec<&'d str> {
        self.children(function)
            .filter(|child| self.die(*child).tag == gimli::DW_TAG_formal_parameter)
            .map(|child| self.die(child).name)
            .collect()
    }

    /// The variables and parameters of a function with a name, in order.
    pub(crate) fn variables(&self, function: u32, name: &str) -> Vec<u32> {
        let is_variable = |index: &u32| {
            let die = self.die(*index);
            matches!(die.tag, gimli::DW_TAG_variable | gimli::DW_TAG_formal_parameter)
                && die.name == name
        };
        self.locals(function).filter(is_variable).collect()
    }

    /// Everything inside a function.
    pub(crate) fn locals(&self, function: u32) -> impl Iterator<Item = u32> {
        function + 1..self.die(function).end
    }

    /// The functions in the sources.
    pub(crate) fn functions(&self) -> impl Iterator<Item = u32> {
        let is_function = |index: &u32| self.die(*index).tag == gimli::DW_TAG_subprogram;
        self.roots.iter().copied().filter(is_function)
    }

    /// A function with code, and the functions that were inlined into it; `None` without code.
    pub(crate) fn parts(&self, function: u32) -> Vec<u32> {
        if self.die(function).ranges.is_empty() {
            return Vec::new();
        }
        let is_inlined = |index: &u32| self.die(*index).tag == gimli::DW_TAG_inlined_subroutine;
        let inlined = self.locals(function).filter(is_inlined).map(|index| self.origin(index));
        let mut found = vec![self.origin(function)];
        found.extend(inlined);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The same for a function, by its origin.
    pub(crate) fn parts_of_origin(&self, origin: u32) -> Vec<u32> {
        let is_it = |function: &u32| self.origin(*function) == origin;
        let code = self.functions().filter(is_it).find(|f| !self.die(*f).ranges.is_empty());
        code.map(|function| self.parts(function)).unwrap_or_default()
    }

    /// Finds a global variable by its name.
    pub(crate) fn global(&self, name: &str) -> Option<u32> {
        self.roots.iter().copied().find(|index| {
            let die = self.die(*index);
            die.tag == gimli::DW_TAG_variable && die.name == name
        })
    }
}
