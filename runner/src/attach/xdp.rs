// SPDX-License-Identifier: MIT
//! Programs that see packets as a network interface receives them, before the kernel looks at them.

use std::io;

use bpfpack_schemas::meta::ProgMeta;
use libbpf_sys::XDP_FLAGS_UPDATE_IF_NOEXIST;

use super::error::AttachError;
use super::interface;
use super::method::{Attachment, Context, Method, Owner};
use super::target::Target;

/// By the XDP hook of an interface.
pub(super) const METHOD: Method = Method { target: Target::Interface, attach };

/// The interface of a package that names none: the loopback interface is the default of the format.
const DEFAULT_INTERFACE: i32 = 1;

/// Attaches by a link, which takes the program down with this process, whatever happens to it.
fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let annotations = context.annotations();
    // A link never replaces another program: the flag that asks for that says nothing new.
    let flags = annotations.and_then(|meta| meta.annotations.flags).unwrap_or(0);
    if flags & !i64::from(XDP_FLAGS_UPDATE_IF_NOEXIST) != 0 {
        let error = io::Error::other("`flags` other than 0 and 1 are not supported");
        return Err(AttachError::refused(error));
    }
    let interface = match (context.named, context.owner) {
        (None, Owner::Package(_)) => annotated_interface(annotations),
        _ => interface::index(context.named(Target::Interface)?)? as i32,
    };
    context.attached(context.program.attach_xdp(interface))
}

/// The interface that `@ifindex` says, or the default.
fn annotated_interface(annotations: Option<&ProgMeta>) -> i32 {
    annotations.and_then(|meta| meta.annotations.ifindex).unwrap_or(DEFAULT_INTERFACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_packages() {
        let meta = |other: &str| -> ProgMeta {
            serde_json::from_str(&format!(r#"{{"name": "f", "attach": "xdp"{other}}}"#)).unwrap()
        };
        assert_eq!(annotated_interface(None), 1);
        assert_eq!(annotated_interface(Some(&meta(""))), 1);
        assert_eq!(annotated_interface(Some(&meta(r#", "ifindex": 7"#))), 7);
        assert_eq!(annotated_interface(Some(&meta(r#", "ifindex": 68719476736"#))), 1);
    }
}
