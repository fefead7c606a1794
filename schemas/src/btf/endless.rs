// SPDX-License-Identifier: MIT
//! Detects types that contain themselves. This crate follows chains to a fixed depth; other
//! readers, including libbpf, follow such a chain forever.

use super::{Btf, Kind};

/// The id of a type that contains itself through typedefs, modifiers or arrays, if there is one.
pub(super) fn find(btf: &Btf<'_>) -> Option<u32> {
    // The number of the walk that visited a type first. A walk that meets its own number is in a
    // cycle.
    let mut seen = vec![0; btf.len() as usize + 1];
    for start in 1..=btf.len() {
        let mut ty = btf.ty(start);
        while ty.id != 0 && seen[ty.id as usize] == 0 {
            seen[ty.id as usize] = start;
            let is_link = matches!(
                ty.kind,
                Kind::Typedef
                    | Kind::Volatile
                    | Kind::Const
                    | Kind::Restrict
                    | Kind::TypeTag
                    | Kind::Array
            );
            if !is_link {
                break;
            }
            ty = ty.target();
            if seen[ty.id as usize] == start {
                return Some(ty.id);
            }
        }
    }
    None
}
