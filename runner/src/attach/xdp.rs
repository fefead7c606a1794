// SPDX-License-Identifier: MIT
//! Programs that see packets as a network interface receives them.

use bpfpack_schemas::meta::ProgMeta;
use libbpf_rs::{Link, ProgramMut};
use libbpf_sys::XDP_FLAGS_UPDATE_IF_NOEXIST;

/// Attaches by a link, which takes the program down with this process, whatever happens to it.
pub fn attach(program: &ProgramMut<'_>, meta: Option<&ProgMeta>) -> libbpf_rs::Result<Link> {
    let annotations = meta.map(|meta| &meta.annotations);
    let flags = annotations.and_then(|annotations| annotations.flags);
    let ifindex = annotations.and_then(|annotations| annotations.ifindex);
    // A link never replaces another program: the flag that asks for that says nothing new.
    if flags.unwrap_or(0) & !i64::from(XDP_FLAGS_UPDATE_IF_NOEXIST) != 0 {
        return Err(libbpf_rs::Error::from(std::io::Error::other(
            "`flags` other than 0 and 1 are not supported",
        )));
    }
    // The loopback interface is the default of the format.
    program.attach_xdp(ifindex.unwrap_or(1))
}
