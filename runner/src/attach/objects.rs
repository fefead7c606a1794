// SPDX-License-Identifier: MIT
//! The objects of a package: the object itself, and the same one for other instruction sets, which
//! are tried in order if the verifier refuses it.

use bpfpack_schemas::Package;
use bpfpack_schemas::object::BpfObject;

use super::refused::Refused;
use crate::load;

/// An object to load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) elf: &'a BpfObject<'a>,
}

/// A variant of the object.
#[derive(Debug)]
struct Variant<'a> {
    cpu: &'a str,
    bytes: &'a [u8],
    elf: BpfObject<'a>,
}

/// The objects, and which of them is tried.
#[derive(Debug)]
pub(super) struct Objects<'a> {
    package: &'a Package,
    first: Candidate<'a>,
    /// The usable variants. They are looked at only if the verifier refuses the object.
    variants: Option<Vec<Variant<'a>>>,
    /// The number of the variant that is tried; `None` for the object itself.
    chosen: Option<usize>,
    /// Why the object itself is refused, while a variant is tried.
    refusal: Option<Refused>,
}

impl<'a> Objects<'a> {
    /// Begins with the object itself.
    pub(super) fn new(package: &'a Package, elf: &'a BpfObject<'a>) -> Objects<'a> {
        let first = Candidate { bytes: &package.object, elf };
        Objects { package, first, variants: None, chosen: None, refusal: None }
    }

    /// The object to try.
    pub(super) fn chosen(&self) -> Candidate<'_> {
        match self.variant() {
            Some(Variant { bytes, elf, .. }) => Candidate { bytes, elf },
            None => self.first,
        }
    }

    fn variant(&self) -> Option<&Variant<'a>> {
        self.variants.as_ref()?.get(self.chosen?)
    }

    /// Chooses the next object if the verifier refuses this one. Returns the refusal that is left
    /// to deal with if there is none, or if the instructions are not the reason.
    pub(super) fn refuse(&mut self, refusal: Refused) -> Option<Refused> {
        if !refusal.is_for_code {
            return Some(refusal);
        }
        let variants = self.variants.get_or_insert_with(|| usable_variants(self.package));
        let next = self.chosen.map_or(0, |at| at + 1);
        if next < variants.len() {
            self.chosen = Some(next);
            self.refusal.get_or_insert(refusal);
            return None;
        }
        // All are refused: what follows from it applies to the object itself.
        self.chosen = None;
        Some(self.refusal.take().unwrap_or(refusal))
    }

    /// Says that a variant is loaded, and why.
    pub(super) fn describe(&self) -> Option<String> {
        let (variant, refusal) = (self.variant()?, self.refusal.as_ref()?);
        Some(format!("loaded for `{}`, because {}", variant.cpu, refusal.failure.message()))
    }
}

/// The variants that have the same maps and programs as the object.
fn usable_variants(package: &Package) -> Vec<Variant<'_>> {
    let shape = |object: &[u8]| load::open("object", object).ok().map(|opened| opened.shape());
    let Some(first) = shape(&package.object).filter(|_| !package.variants.is_empty()) else {
        return Vec::new();
    };
    let variants = package.variants.iter().filter_map(|variant| {
        let bytes = &*variant.object;
        let elf = BpfObject::parse(bytes).ok()?;
        let is_same = shape(bytes).is_some_and(|shape| shape == first);
        is_same.then_some(Variant { cpu: &variant.cpu, bytes, elf })
    });
    variants.collect()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use bpfpack_schemas::Meta;

    use super::*;
    use crate::failure::{Failure, exit_code};

    fn refusal(text: &str, is_for_code: bool) -> Refused {
        let failure = Failure::new(exit_code::LOAD, anyhow!("{text}"));
        Refused { is_for_code, ..Refused::general(failure) }
    }

    #[test]
    fn variants_are_tried_in_order_if_instructions_are_refused() {
        // The header of an ELF file for BPF, without sections.
        let mut bytes = [&b"\x7fELF\x02\x01\x01"[..], &[0; 57]].concat();
        (bytes[16], bytes[18], bytes[20], bytes[52]) = (1, 247, 1, 64);
        let elf = || BpfObject::parse(&bytes).unwrap();
        let meta = Meta::default();
        let package = Package {
            object: bytes.clone(),
            variants: Vec::new(),
            meta,
            wasm: Vec::new(),
            other: Default::default(),
        };
        let first = elf();
        let mut objects = Objects::new(&package, &first);
        let left = objects.refuse(refusal("no target", false)).unwrap();
        assert_eq!(left.failure.message(), "no target");
        assert!(objects.variants.is_none(), "nothing was wrong with the instructions");
        let variant = |cpu| Variant { cpu, bytes: &bytes, elf: elf() };
        objects.variants = Some(vec![variant("v2"), variant("v1")]);
        assert!(objects.refuse(refusal("first", true)).is_none());
        let said = "loaded for `v2`, because first";
        assert_eq!(objects.describe().as_deref(), Some(said));
        assert!(objects.refuse(refusal("no target", false)).is_some());
        assert_eq!(objects.describe().as_deref(), Some(said), "it stays chosen");
        assert!(objects.refuse(refusal("second", true)).is_none());
        let left = objects.refuse(refusal("third", true)).unwrap();
        assert_eq!(left.failure.message(), "first", "that of the object itself is left");
        assert_eq!(objects.describe(), None);
    }
}
