// SPDX-License-Identifier: MIT
//! An object as it is packed: without debug information, which is read once and removed.

use std::path::Path;

use bpfpack_schemas::object::BpfObject;

use crate::failure::{Failure, too_much};
use crate::limits;
use crate::options::DescribeOptions;
use crate::parsed::Parsed;
use crate::records::{self, Facts};
use crate::strip;

/// An object without debug information, and what was found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// The object.
    pub(crate) object: Vec<u8>,
    /// What only the debug information has.
    pub(crate) facts: Facts,
}

impl Compiled {
    /// Reads the debug information of an object and removes it, a second time with a program where
    /// the user names one.
    ///
    /// # Errors
    /// When it is no object that can be packed.
    pub(crate) fn of_raw(
        raw: Vec<u8>,
        options: &DescribeOptions,
        llvm_strip: Option<&Path>,
    ) -> Result<Compiled, Failure> {
        let bad_object = |error| options.bad_object(error);
        let refused = |error| too_much(&options.source, error);
        let elf = BpfObject::parse(&raw).map_err(bad_object)?;
        limits::check(elf.elf(), raw.len()).map_err(refused)?;
        let btf = elf.btf().map_err(bad_object)?;
        limits::check_types(&btf).map_err(refused)?;
        let parsed = Parsed { data: &raw, elf, btf };
        let (facts, btf) = records::facts(&parsed).map_err(bad_object)?;
        let object = strip::debug_sections(raw, btf)?;
        let object = match llvm_strip {
            Some(program) => strip::with_program(program, &object)?,
            None => object,
        };
        limits::check_size(&object).map_err(refused)?;
        Ok(Compiled { object, facts })
    }

    /// The object, to be read.
    ///
    /// # Errors
    /// When the program that removed debug information has left something else.
    pub(crate) fn parse(&self, options: &DescribeOptions) -> Result<Parsed<'_>, Failure> {
        Parsed::parse(&self.object).map_err(|error| options.bad_object(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::exit_code;

    #[test]
    fn what_is_no_object_is_named() {
        let raw = b"no object".to_vec();
        let failure = Compiled::of_raw(raw, &DescribeOptions::default(), None).unwrap_err();
        assert_eq!(failure.exit_code, exit_code::DESCRIBE);
        assert!(format!("{failure:?}").contains("not a valid ELF object"), "{failure:?}");
    }
}
