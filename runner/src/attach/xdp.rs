// SPDX-License-Identifier: MIT
//! Programs that see packets when a network interface receives them, before the network stack does.

use std::os::fd::AsFd as _;

use bpfpack_schemas::meta::ProgMeta;
use libbpf_sys::{XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, XDP_FLAGS_UPDATE_IF_NOEXIST};

use super::error::AttachError;
use super::interface::{self, Named};
use super::method::{Attachment, Context, Method, Owner, Undo};
use super::target::Target;
use crate::sys;
use crate::sys::xdp::Replaced;
use crate::talk;

/// Attaches to the XDP hook of an interface.
pub(super) const METHOD: Method = Method { target: Target::Interface, attach };

/// The default interface of the package format: the loopback interface.
const DEFAULT_INTERFACE: i32 = 1;

/// Attaches by a link, so that the kernel detaches the program when this process ends in any way.
fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let annotations = context.annotations();
    let flags = annotations.and_then(|meta| meta.annotations.flags).unwrap_or(0);
    let annotated = flags_of(flags).map_err(|text| context.bad_target(text))?;
    let (interface, mode) = match (context.named, context.owner) {
        (None, Owner::Package(_)) => (annotated_interface(annotations), None),
        _ => {
            let named = Named::parse(context.named(Target::Interface)?);
            (interface::index(named.interface)? as i32, named.rest)
        }
    };
    let flags = match mode {
        None => annotated,
        Some("generic") => XDP_FLAGS_SKB_MODE,
        Some("native") => XDP_FLAGS_DRV_MODE,
        Some(other) => {
            let text = format!("unknown mode `{other}`: use generic or native");
            return Err(context.bad_target(text));
        }
    };
    // The program that is attached already is replaced, and restored at the end.
    let mut attached = Vec::new();
    let mut link = link(context, interface, flags);
    let is_busy = |errno: Option<i32>| matches!(errno, Some(libc::EBUSY | libc::EEXIST));
    if context.options.replaces && link.as_ref().is_err_and(|error| is_busy(error.raw_os_error())) {
        let replaced = Replaced::take_off(interface).map_err(|error| {
            context.bad_target(format!(
                "cannot detach the XDP program that is attached ({error}): only its owner can \
                 detach a program that a link attached"
            ))
        })?;
        attached.push(Attachment::Undone(Undo::by(move || {
            if let Err(error) = replaced.put_back() {
                talk::warning(&format!(
                    "cannot restore the XDP program that --force replaced: {error}"
                ));
            }
        })));
        link = self::link(context, interface, flags);
    }
    let link = link.map_err(|error| AttachError::Refused {
        named: context.named.map(str::to_owned),
        errno: error.raw_os_error(),
        error: error.into(),
    })?;
    // Our link is dropped first, then the other program is restored.
    attached.insert(0, Attachment::Descriptor(link));
    Ok(attached)
}

fn link(
    context: &Context<'_>,
    interface: i32,
    flags: u32,
) -> std::io::Result<std::os::fd::OwnedFd> {
    sys::create_link(context.program.as_fd(), interface as u32, libbpf_sys::BPF_XDP, flags)
}

/// The mode in the flags of a package. `XDP_FLAGS_UPDATE_IF_NOEXIST` is accepted and removed: a
/// link never replaces another program.
fn flags_of(flags: i64) -> Result<u32, String> {
    let known = XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_SKB_MODE | XDP_FLAGS_DRV_MODE;
    match u32::try_from(flags) {
        Ok(flags) if flags & !known == 0 => Ok(flags & !XDP_FLAGS_UPDATE_IF_NOEXIST),
        _ => Err(format!("its `flags` {flags} are not a mode (0 to 7)")),
    }
}

/// The interface of `@ifindex`, or the default.
fn annotated_interface(annotations: Option<&ProgMeta>) -> i32 {
    annotations.and_then(|meta| meta.annotations.ifindex).unwrap_or(DEFAULT_INTERFACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_by_the_flags_of_a_package() {
        assert_eq!(flags_of(0), Ok(0));
        assert_eq!(flags_of(1), Ok(0));
        assert_eq!(flags_of(3), Ok(XDP_FLAGS_SKB_MODE));
        assert!(flags_of(8).is_err() && flags_of(-1).is_err());
    }

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
