// SPDX-License-Identifier: MIT
//! An entry of the debug information (a DIE), with the attributes that are needed here.

use gimli::AttributeValue;

use super::debug::{Location, Slice};

/// The number of pieces of a function that are read.
const MAX_RANGES: usize = 256;

/// The longest name in bytes: no source has a longer one, and names can share their bytes.
const MAX_NAME: usize = 1024;

/// An entry of the debug information. The tag decides which fields are used.
#[derive(Debug, Clone)]
pub(crate) struct Die<'d> {
    /// The tag.
    pub(crate) tag: gimli::DwTag,
    /// Its name; empty if it has none.
    pub(crate) name: &'d str,
    /// Its type; `None` for void.
    pub(crate) ty: Option<u32>,
    /// The entry with more information; for an inlined function, the function.
    pub(crate) origin: Option<u32>,
    /// The size in bytes.
    pub(crate) size: Option<u64>,
    /// The position of the declaration; for an inlined function, of the call.
    pub(crate) location: Location,
    /// Whether it is only a declaration.
    pub(crate) is_declaration: bool,
    /// The offset of a member in bits.
    pub(crate) bit_offset: u64,
    /// The size of a bitfield in bits.
    pub(crate) bit_size: u64,
    /// The number of elements of an array dimension.
    pub(crate) count: u64,
    /// The value of an enumerator.
    pub(crate) value: i64,
    /// The encoding of a base type.
    pub(crate) encoding: u8,
    /// Its offset in `.debug_info`.
    pub(crate) offset: u32,
    /// The index after its last descendant.
    pub(crate) end: u32,
    /// The addresses of the code of a function.
    pub(crate) ranges: Vec<(u64, u64)>,
}

/// Reads an entry of a unit. `base` is the offset of the unit in `.debug_info`, and the number of
/// the unit's first file.
pub(crate) fn read_entry<'d>(
    dwarf: &gimli::Dwarf<Slice<'d>>,
    unit: &gimli::Unit<Slice<'d>>,
    entry: &gimli::DebuggingInformationEntry<Slice<'d>>,
    (base, offset, first_file): (usize, u32, usize),
) -> gimli::Result<Die<'d>> {
    let mut die = Die {
        tag: entry.tag(),
        name: "",
        ty: None,
        origin: None,
        size: None,
        location: Location::default(),
        is_declaration: false,
        bit_offset: 0,
        bit_size: 0,
        count: 0,
        value: 0,
        encoding: 0,
        offset,
        end: 0,
        ranges: Vec::new(),
    };
    let reference = |value: AttributeValue<Slice<'d>>| match value {
        AttributeValue::UnitRef(at) => u32::try_from(base + at.0).ok(),
        AttributeValue::DebugInfoRef(at) => u32::try_from(at.0).ok(),
        _ => None,
    };
    let mut has_code = false;
    let mut from_high_end = None;
    for attribute in entry.attrs() {
        let value = attribute.value();
        let number = attribute.udata_value().unwrap_or(0);
        match attribute.name() {
            gimli::DW_AT_name => {
                let name = dwarf.attr_string(unit, value)?.slice();
                let name = if name.len() > MAX_NAME { &b"?"[..] } else { name };
                die.name = std::str::from_utf8(name).unwrap_or("?");
            }
            gimli::DW_AT_type => die.ty = reference(value),
            gimli::DW_AT_abstract_origin => die.origin = reference(value),
            gimli::DW_AT_byte_size => die.size = attribute.udata_value(),
            gimli::DW_AT_decl_file | gimli::DW_AT_call_file => {
                die.location.file = (first_file as u32).saturating_add(number_of_file(value));
            }
            gimli::DW_AT_decl_line | gimli::DW_AT_call_line => die.location.line = number as u32,
            gimli::DW_AT_call_column => die.location.column = number as u32,
            gimli::DW_AT_declaration => die.is_declaration = true,
            gimli::DW_AT_data_member_location => die.bit_offset = number.saturating_mul(8),
            gimli::DW_AT_data_bit_offset => die.bit_offset = number,
            gimli::DW_AT_bit_offset => from_high_end = Some(number),
            gimli::DW_AT_bit_size => die.bit_size = number,
            gimli::DW_AT_count => die.count = number,
            gimli::DW_AT_upper_bound => die.count = number.saturating_add(1),
            gimli::DW_AT_const_value => {
                die.value = match value {
                    AttributeValue::Udata(value) => value as i64,
                    _ => attribute.sdata_value().unwrap_or(0),
                };
            }
            gimli::DW_AT_encoding => {
                die.encoding = match value {
                    AttributeValue::Encoding(encoding) => encoding.0,
                    _ => 0,
                };
            }
            gimli::DW_AT_low_pc | gimli::DW_AT_ranges => has_code = true,
            _ => {}
        }
    }
    // The old form, which clang 14 uses for BPF, counts from the high end of the storage.
    if let (Some(skipped), Some(storage)) = (from_high_end, die.size) {
        let end = die.bit_offset.saturating_add(storage.saturating_mul(8));
        die.bit_offset = end.saturating_sub(skipped).saturating_sub(die.bit_size);
    }
    if has_code && entry.tag() != gimli::DW_TAG_compile_unit {
        let mut ranges = dwarf.die_ranges(unit, entry)?;
        while let Some(range) = ranges.next()?
            && die.ranges.len() < MAX_RANGES
        {
            die.ranges.push((range.begin, range.end));
        }
    }
    Ok(die)
}

fn number_of_file(value: AttributeValue<Slice<'_>>) -> u32 {
    match value {
        AttributeValue::FileIndex(index) => index as u32,
        other => other.udata_value().unwrap_or(0) as u32,
    }
}
