// SPDX-License-Identifier: MIT
//! The object in the form in which it is packed: its debug information is read once, then removed.

use std::path::Path;

use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::package::Variant;

use crate::failure::{Failure, too_much};
use crate::limits;
use crate::options::DescribeOptions;
use crate::parsed::Parsed;
use crate::records::{self, Facts};
use crate::strip;

/// An object without debug information, and the facts found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// The object.
    pub(crate) object: Vec<u8>,
    /// The same object for other instruction sets.
    pub(crate) variants: Vec<Variant>,
    /// The facts that only debug information contains.
    pub(crate) facts: Facts,
}

impl Compiled {
    /// Reads the debug information of an object and removes it; then also with another program, if
    /// the user names one.
    ///
    /// # Errors
    /// The file is not an object that can be packed.
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
        Ok(Compiled { object, variants: Vec::new(), facts })
    }

    /// Parses the object.
    ///
    /// # Errors
    /// The program that removed debug information wrote something invalid.
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
