// SPDX-License-Identifier: MIT
//! An object with its type information, parsed once for all stages.

use bpfpack_schemas::btf::Btf;
use bpfpack_schemas::object::{BpfObject, ObjectError};

/// A parsed object.
#[derive(Debug)]
pub(crate) struct Parsed<'d> {
    /// Its bytes.
    pub(crate) data: &'d [u8],
    /// Its programs and sections.
    pub(crate) elf: BpfObject<'d>,
    /// Its types.
    pub(crate) btf: Btf<'d>,
}

impl<'d> Parsed<'d> {
    /// Parses an object.
    ///
    /// # Errors
    /// The file is not a BPF object, or has no BTF.
    pub(crate) fn parse(data: &'d [u8]) -> Result<Parsed<'d>, ObjectError> {
        let elf = BpfObject::parse(data)?;
        let btf = elf.btf()?;
        Ok(Parsed { data, elf, btf })
    }
}
