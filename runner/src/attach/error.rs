// SPDX-License-Identifier: MIT
//! Why a program is not attached, as data. [`super::explain`] turns it into a message.

use std::io;

use libbpf_rs::ErrorKind;

use super::target::Target;

/// Why a program is not attached.
#[derive(Debug)]
pub(crate) enum AttachError {
    /// Nothing names a target, and there is no default.
    NoTarget(Target),
    /// The named target cannot be opened, or is of another kind.
    BadTarget {
        /// The target as it was named.
        named: String,
        /// The reason.
        error: io::Error,
    },
    /// The kernel or libbpf refused.
    Refused {
        /// The target, if one was named in addition to the section.
        named: Option<String>,
        /// The error that was returned.
        error: libbpf_rs::Error,
        /// The kernel's error number, if it is known more precisely than from `error`.
        errno: Option<i32>,
    },
}

impl AttachError {
    /// A refusal of the target in the section.
    #[cfg(test)]
    pub(super) fn refused(error: impl Into<libbpf_rs::Error>) -> AttachError {
        AttachError::Refused { named: None, error: error.into(), errno: None }
    }

    /// Whether the error is due to the target, not to the permissions of this process.
    pub(super) fn is_for_target(&self) -> bool {
        use libc::{EADDRNOTAVAIL, EBUSY, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, ESRCH};
        let of_target = [EADDRNOTAVAIL, EBUSY, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, ESRCH];
        of_target.contains(&self.errno())
    }

    /// Whether this process or the machine is out of a resource. Such an error is not due to the
    /// program.
    pub(super) fn is_exhausted(&self) -> bool {
        [libc::EMFILE, libc::ENFILE, libc::ENOMEM].contains(&self.errno())
    }

    /// An error number for it, as in errno(3).
    pub(crate) fn errno(&self) -> i32 {
        match self {
            AttachError::NoTarget(_) => libc::EINVAL,
            AttachError::BadTarget { error, .. } => error.raw_os_error().unwrap_or(libc::ENOENT),
            AttachError::Refused { errno: Some(errno), .. } => *errno,
            AttachError::Refused { error, .. } => errno_of(error),
        }
    }
}

/// The error number: the one in the text of a system error if there is one, otherwise the closest
/// to libbpf-rs's kind of error.
pub(super) fn errno_of(error: &libbpf_rs::Error) -> i32 {
    let text = format!("{error:#}");
    let number = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split_once(')'));
    if let Some(number) = number.and_then(|(number, _)| number.parse().ok()) {
        return number;
    }
    match error.kind() {
        ErrorKind::NotFound => libc::ENOENT,
        ErrorKind::PermissionDenied => libc::EPERM,
        ErrorKind::AlreadyExists => libc::EEXIST,
        ErrorKind::WouldBlock => libc::EAGAIN,
        ErrorKind::Unsupported => libc::EOPNOTSUPP,
        ErrorKind::OutOfMemory => libc::ENOMEM,
        ErrorKind::InvalidInput | ErrorKind::InvalidData => libc::EINVAL,
        _ => libc::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors() {
        let refused = |errno| AttachError::refused(libbpf_rs::Error::from_raw_os_error(errno));
        assert_eq!(refused(libc::ENOENT).errno(), libc::ENOENT);
        assert_eq!(refused(libc::EPERM).errno(), libc::EPERM);
        assert_eq!(refused(libc::EMFILE).errno(), libc::EMFILE);
        assert_eq!(AttachError::NoTarget(Target::Cgroup).errno(), libc::EINVAL);
        let error = io::Error::other("no number");
        assert_eq!(AttachError::BadTarget { named: "x".into(), error }.errno(), libc::ENOENT);
        let error = io::Error::other("no number").into();
        let refused = AttachError::Refused { named: None, error, errno: Some(libc::EBUSY) };
        assert_eq!(refused.errno(), libc::EBUSY);
    }
}
