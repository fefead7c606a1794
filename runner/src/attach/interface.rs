// SPDX-License-Identifier: MIT
//! Network interfaces by name.

use super::error::AttachError;
use crate::os;

/// An interface and an option for attaching: `eth0`, `eth0/egress`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'t> {
    pub(super) interface: &'t str,
    pub(super) rest: Option<&'t str>,
}

impl<'t> Named<'t> {
    pub(super) fn parse(text: &'t str) -> Named<'t> {
        match text.split_once('/') {
            Some((interface, rest)) => Named { interface, rest: Some(rest) },
            None => Named { interface: text, rest: None },
        }
    }
}

/// Returns the index of an interface, given its name or number, in the network namespace of this
/// process.
///
/// # Errors
/// Returns an error if there is no such interface.
pub(super) fn index(name: &str) -> Result<u32, AttachError> {
    os::interface_index(name)
        .map_err(|error| AttachError::BadTarget { named: name.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_by_name_and_number() {
        assert_eq!(index("no-such-one").unwrap_err().errno(), libc::ENODEV);
        assert_eq!(index("lo").unwrap(), index("1").unwrap());
        assert!(index("4000000000").is_err() && index("-1").is_err());
        let named = Named::parse("eth0/egress");
        assert_eq!(named, Named { interface: "eth0", rest: Some("egress") });
        assert_eq!(Named::parse("eth0").rest, None);
    }
}
