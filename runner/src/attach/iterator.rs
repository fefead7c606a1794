// SPDX-License-Identifier: MIT
//! Iterators: programs that iterate over objects of the kernel and write text. ecli reads them at
//! each interval.

use std::os::fd::AsFd as _;

use libbpf_rs::{MapCore as _, MapType};

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;

/// Attaches to what the section names, or to a map of the package.
pub(super) const METHOD: Method = Method { target: Target::WalkedMap, attach };

/// Sections of programs that iterate over a map.
const OVER_MAPS: [&str; 2] = ["bpf_map_elem", "bpf_sk_storage_map"];

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let program = context.program;
    let is_over_map = context.rest_of_section().is_some_and(|walked| OVER_MAPS.contains(&walked));
    let link = match (context.named, is_over_map) {
        (Some(name), true) => program.attach_iter(context.map(name)?.as_fd()),
        (Some(_), false) => {
            return Err(context.bad_target("only `iter/bpf_map_elem` programs iterate over a map"));
        }
        // The only suitable map needs no name.
        (None, true) => match &walkable(context)[..] {
            [name] => program.attach_iter(context.map(name)?.as_fd()),
            _ => return Err(AttachError::NoTarget(Target::WalkedMap)),
        },
        (None, false) => program.attach(),
    };
    link.map(|link| vec![Attachment::Walk(link)]).map_err(|error| context.refused(error))
}

/// The names of the maps that the kernel can iterate over (kernel/bpf/map_iter.c), except data
/// sections.
fn walkable<'c>(context: &'c Context<'_>) -> Vec<&'c str> {
    let maps = context.options.maps.iter().filter(|(name, map)| {
        let can = matches!(
            map.map_type(),
            MapType::Hash
                | MapType::LruHash
                | MapType::PercpuHash
                | MapType::LruPercpuHash
                | MapType::Array
                | MapType::PercpuArray
        );
        can && !name.contains('.')
    });
    maps.map(|(name, _)| &**name).collect()
}
