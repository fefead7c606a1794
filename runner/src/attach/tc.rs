// SPDX-License-Identifier: MIT
//! Programs that see the packets that a network interface receives or sends.

use std::os::fd::{AsFd as _, OwnedFd};

use bpfpack_schemas::meta::{ProgMeta, TcAttachPoint};
use libbpf_rs::{TC_EGRESS, TC_INGRESS, TcHookBuilder};

use super::error::AttachError;
use super::interface::{self, Named};
use super::method::{Attachment, Context, Method, Owner, Undo};
use super::target::Target;
use crate::sys;
use crate::sys::filters::has_filters;

/// Attaches to the tcx hook of an interface, or, before kernel 6.6, as a filter of the clsact
/// qdisc.
pub(super) const METHOD: Method = Method { target: Target::Interface, attach };

/// Attaches to a netkit device.
pub(super) const NETKIT: Method = Method { target: Target::Interface, attach: attach_netkit };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let annotations = context.annotations();
    let (interface, direction) = match (context.named, context.owner) {
        (None, Owner::Package(_)) => (annotated_interface(annotations), None),
        _ => {
            let named = Named::parse(context.named(Target::Interface)?);
            (interface::index(named.interface)?, named.rest)
        }
    };
    let is_egress = match direction {
        Some("egress") => true,
        Some("ingress") => false,
        Some(other) => {
            let text = format!("unknown direction `{other}`: use ingress or egress");
            return Err(context.bad_target(text));
        }
        None => is_egress(context.section, annotations),
    };
    let kind = if is_egress { libbpf_sys::BPF_TCX_EGRESS } else { libbpf_sys::BPF_TCX_INGRESS };
    let link = sys::create_link(context.program.as_fd(), interface, kind, 0);
    match link {
        Ok(link) => Ok(vec![Attachment::Descriptor(link)]),
        // This kernel has no tcx links.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let filter = attach_filter(context, interface as i32, is_egress);
            filter
                .map(|undo| vec![Attachment::Undone(undo)])
                .map_err(|error| refused(context, error))
        }
        Err(error) => Err(refused(context, error)),
    }
}

fn refused(context: &Context<'_>, error: impl Into<libbpf_rs::Error>) -> AttachError {
    let error: libbpf_rs::Error = error.into();
    AttachError::Refused { named: context.named.map(str::to_owned), error, errno: None }
}

/// Attaches a filter of the clsact qdisc. The qdisc is created if it does not exist, and removed if
/// nothing else uses it. The kernel does not remove either when this process is killed.
fn attach_filter(
    context: &Context<'_>,
    interface: i32,
    is_egress: bool,
) -> libbpf_rs::Result<Undo> {
    let program = context.program.as_fd();
    let of_package = context.annotations().and_then(|meta| meta.annotations.tcopts.as_ref());
    let mut builder = TcHookBuilder::new(program);
    builder.ifindex(interface).replace(false);
    // The kernel chooses handle and priority unless the package sets them.
    builder.handle(of_package.and_then(|options| options.handle).unwrap_or(0));
    builder.priority(of_package.and_then(|options| options.priority).unwrap_or(0));
    let had_qdisc = has_qdisc(&builder);
    let mut hook = builder.hook(if is_egress { TC_EGRESS } else { TC_INGRESS });
    hook.create()?;
    let hook = hook.attach().inspect_err(|_| {
        if !had_qdisc {
            let _ = builder.hook(TC_INGRESS | TC_EGRESS).destroy();
        }
    })?;
    let filter = Filter {
        program: program.try_clone_to_owned()?,
        interface,
        is_egress,
        handle: hook.get_handle(),
        priority: hook.get_priority(),
        had_qdisc,
    };
    Ok(Undo::by(move || filter.undo()))
}

/// A filter that this process attached.
struct Filter {
    program: OwnedFd,
    interface: i32,
    is_egress: bool,
    handle: u32,
    priority: u32,
    had_qdisc: bool,
}

impl Filter {
    /// Removes the filter, and the qdisc if it was created for it and has no other filters.
    fn undo(self) {
        let mut builder = TcHookBuilder::new(self.program.as_fd());
        builder.ifindex(self.interface);
        let mut hook = builder.hook(if self.is_egress { TC_EGRESS } else { TC_INGRESS });
        let _ = hook.handle(self.handle).priority(self.priority).detach();
        if self.had_qdisc {
            return;
        }
        // Others may have added filters meanwhile. If the kernel does not tell, the qdisc stays.
        let is_used = has_filters(self.interface).unwrap_or(true);
        if !is_used {
            let _ = builder.hook(TC_INGRESS | TC_EGRESS).destroy();
        }
    }
}

/// Whether the interface has a clsact qdisc. Without one, a query fails with `EINVAL`; with one,
/// but no filter, it fails with `ENOENT`.
fn has_qdisc(builder: &TcHookBuilder<'_>) -> bool {
    let mut hook = builder.hook(TC_INGRESS);
    hook.handle(1).priority(1);
    hook.query().map_or_else(|error| error.kind() == libbpf_rs::ErrorKind::NotFound, |_| true)
}

/// The interface of `@tchook`, or the loopback interface, which is the default of the package
/// format.
fn annotated_interface(annotations: Option<&ProgMeta>) -> u32 {
    let hook = annotations.and_then(|meta| meta.annotations.tchook.as_ref());
    hook.and_then(|hook| hook.ifindex).and_then(|index| u32::try_from(index).ok()).unwrap_or(1)
}

/// Whether a program is for sent packets. Old sections (`tc`, `classifier`) do not tell; then
/// `@tchook` decides, and the default is received packets.
fn is_egress(section: &str, annotations: Option<&ProgMeta>) -> bool {
    let says = |direction: &str| section.split('/').skip(1).any(|part| part == direction);
    let hook = annotations.and_then(|meta| meta.annotations.tchook.as_ref());
    match (says("egress"), says("ingress")) {
        (true, _) => true,
        (_, true) => false,
        _ => hook.and_then(|hook| hook.attach_point) == Some(TcAttachPoint::Egress),
    }
}

fn attach_netkit(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let interface = interface::index(context.named(Target::Interface)?)?;
    let kind = match context.section.ends_with("/peer") {
        true => libbpf_sys::BPF_NETKIT_PEER,
        false => libbpf_sys::BPF_NETKIT_PRIMARY,
    };
    let link = sys::create_link(context.program.as_fd(), interface, kind, 0);
    link.map(|link| vec![Attachment::Descriptor(link)]).map_err(|error| context.refused(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(other: &str) -> ProgMeta {
        serde_json::from_str(&format!(r#"{{"name": "f", "attach": "tc"{other}}}"#)).unwrap()
    }

    #[test]
    fn directions_by_section_and_annotation() {
        assert!(!is_egress("tc", None));
        assert!(is_egress("tcx/egress", None));
        assert!(is_egress("tc/egress", None) && !is_egress("tcx/ingress", None));
        assert!(is_egress("classifier/egress/eth0", None));
        let egress = meta(r#", "tchook": {"attach_point": "BPF_TC_EGRESS"}"#);
        assert!(is_egress("tc", Some(&egress)) && !is_egress("tc/ingress", Some(&egress)));
    }

    #[test]
    fn interfaces_of_packages() {
        assert_eq!(annotated_interface(None), 1);
        assert_eq!(annotated_interface(Some(&meta(r#", "tchook": {"ifindex": 7}"#))), 7);
        assert_eq!(annotated_interface(Some(&meta(r#", "tchook": {"ifindex": -7}"#))), 1);
    }
}
