// SPDX-License-Identifier: MIT
//! The programs of an object as text: instructions as the kernel's verifier writes them, below the
//! lines of source that they belong to.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::btf::lines::{self, Line, Relocation};
use bpfpack_schemas::insn::{Insn, SIZE};
use bpfpack_schemas::object::{BpfObject, Code, CodeLocation, Function, Reference};
use bpfpack_schemas::printable::one_line;

use words::Operand;

/// Appends all programs of an object, and the functions that they reach.
pub(super) fn object(elf: &BpfObject<'_>, text: &mut String) {
    let code = elf.code();
    let btf = elf.btf().ok();
    let ext = elf.section_data(".BTF.ext").unwrap_or_default();
    let mut notes = Notes { btf: btf.as_ref(), ext, of_sections: BTreeMap::new() };
    let programs = elf.located_programs().into_iter().rev();
    let mut todo: Vec<CodeLocation> = programs.map(|(place, _)| place).collect();
    let mut seen = BTreeSet::new();
    // Programs first, then the functions that they call.
    let mut called = Vec::new();
    while let Some(place) = todo.pop() {
        if seen.insert(place)
            && let Some(function) = code.function(place)
        {
            if !text.is_empty() {
                text.push('\n');
            }
            called.extend(of_function(&code, function, notes.of(function.section), text));
        }
        if todo.is_empty() {
            let new = called.drain(..).filter(|place| !seen.contains(place));
            todo.extend(new);
        }
    }
}

/// What `.BTF.ext` says about the instructions of a section, by offset.
#[derive(Debug, Default)]
struct Section<'b> {
    lines: BTreeMap<u32, Line<'b>>,
    relocations: BTreeMap<u32, Relocation>,
}

struct Notes<'b, 'd> {
    btf: Option<&'b Btf<'d>>,
    ext: &'b [u8],
    of_sections: BTreeMap<String, Section<'b>>,
}

impl<'b> Notes<'b, '_> {
    fn of(&mut self, section: &str) -> &Section<'b> {
        let (btf, ext) = (self.btf, self.ext);
        self.of_sections.entry(section.to_owned()).or_insert_with(|| {
            let Some(btf) = btf else { return Section::default() };
            let lines = lines::lines(btf, ext, section);
            let relocations = lines::relocations(btf, ext, section);
            Section {
                lines: lines.into_iter().map(|line| (line.offset, line)).collect(),
                relocations: relocations.into_iter().map(|it| (it.offset, it)).collect(),
            }
        })
    }
}

/// Appends a function. Returns the functions that it refers to.
fn of_function(
    code: &Code<'_, '_>,
    function: Function<'_>,
    notes: &Section<'_>,
    text: &mut String,
) -> Vec<CodeLocation> {
    let count = function.code.len() / SIZE;
    let _ = writeln!(
        text,
        "{} ({}, {count} instructions):",
        one_line(function.name),
        one_line(function.section)
    );
    let mut called = Vec::new();
    let mut shown = None;
    for (at, insn, reference) in code.instructions(function) {
        let offset = u32::try_from(function.location.1 + (at * SIZE) as u64).unwrap_or(u32::MAX);
        // A line has many entries, one for each of its columns. Code without a line has number 0.
        if let Some(line) = notes.lines.get(&offset).filter(|line| line.number > 0)
            && shown.replace((line.file, line.number)) != Some((line.file, line.number))
        {
            let (file, of_line) = (one_line(line.file_name()), one_line(line.text));
            let _ = writeln!(text, "; {file}:{}: {of_line}", line.number);
        }
        if let Some(Reference::Function(place)) = reference {
            called.push(place);
        }
        let second = Insn::at(function.code, at + 1).filter(|_| insn.is_wide());
        let words = words::instruction(&insn, second, operand(code, &insn, reference).as_ref());
        let _ = write!(text, "{at:5}: ({:02x}) {}", insn.code, one_line(&words));
        if let Some(Relocation { path, what, .. }) = notes.relocations.get(&offset) {
            let _ = write!(text, "  ; CO-RE: {what} of {}", one_line(path));
        }
        text.push('\n');
    }
    called
}

/// The name of what an instruction refers to.
fn operand(code: &Code<'_, '_>, insn: &Insn, reference: Option<Reference<'_>>) -> Option<Operand> {
    Some(match reference? {
        Reference::Function(place) => Operand::Function(match code.function(place) {
            Some(function) => function.name.to_owned(),
            None => "?".to_owned(),
        }),
        Reference::Data { section: ".maps", name } => Operand::Map(name.to_owned()),
        Reference::Data { section, name } if section == name => {
            Operand::Data(format!("{section}[{}]", insn.imm))
        }
        Reference::Data { name, .. } => Operand::Data(name.to_owned()),
        Reference::Extern(name) => Operand::Extern(name.to_owned()),
    })
}
