// SPDX-License-Identifier: MIT
//! Programs that see the traffic that a network interface receives, or sends.

use std::os::fd::AsFd as _;

use super::error::AttachError;
use super::interface;
use super::method::{Attachment, Context, Method};
use super::target::Target;
use crate::sys;

/// By the tcx hook of an interface.
pub(super) const METHOD: Method = Method { target: Target::Interface, attach };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let interface = interface::index(context.named(Target::Interface)?)?;
    let link = sys::attach_tcx(context.program.as_fd(), interface, is_egress(context.section));
    link.map(|link| vec![Attachment::Descriptor { _link: link }]).map_err(|error| {
        let errno = Some(error.raw_os_error().unwrap_or(libc::EINVAL));
        AttachError::Refused { named: context.named.map(str::to_owned), error: error.into(), errno }
    })
}

/// Whether a section is for what is sent. Old sections (`tc`, `classifier`) do not say it, and are for
/// what is received.
fn is_egress(section: &str) -> bool {
    section.ends_with("/egress")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_by_section() {
        assert!(!is_egress("tc"));
        assert!(is_egress("tcx/egress"));
        assert!(is_egress("tc/egress") && !is_egress("tcx/ingress"));
    }
}
