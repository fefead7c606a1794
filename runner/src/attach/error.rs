// SPDX-License-Identifier: MIT
//! Why a program is not attached, as data. [`super::explain`] makes a message of it.

use std::io;

use libbpf_rs::ErrorKind;

use super::target::Target;

/// Why a program is not attached.
#[derive(Debug)]
pub(crate) enum AttachError {
    /// Nobody names what it attaches to, and there is no default.
    NoTarget(Target),
    /// What is named cannot be opened, or is something else.
    BadTarget {
        /// As it is named.
        named: String,
        /// Why.
        error: io::Error,
    },
    /// The kernel, or libbpf, refused.
    Refused {
        /// What was named beside the section.
        named: Option<String>,
        /// The answer.
        error: libbpf_rs::Error,
        /// The kernel's number, where it is known better than by `error`.
        errno: Option<i32>,
    },
}

impl AttachError {
    /// A refusal of what the section alone says.
    #[cfg(test)]
    pub(super) fn refused(error: impl Into<libbpf_rs::Error>) -> AttachError {
        AttachError::Refused { named: None, error: error.into(), errno: None }
    }

    /// Whether it concerns what the program attaches to, and not what this process may have.
    pub(super) fn is_for_target(&self) -> bool {
        use libc::{EADDRNOTAVAIL, EBUSY, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, ESRCH};
        let of_target = [EADDRNOTAVAIL, EBUSY, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, ESRCH];
        of_target.contains(&self.errno())
    }

    /// Whether this process, or the machine, has no more of something: it has nothing to do with the
    /// program.
    pub(super) fn is_exhausted(&self) -> bool {
        [libc::EMFILE, libc::ENFILE, libc::ENOMEM].contains(&self.errno())
    }

    /// A number of Linux for it.
    pub(crate) fn errno(&self) -> i32 {
        match self {
            AttachError::NoTarget(_) => libc::EINVAL,
            AttachError::BadTarget { error, .. } => error.raw_os_error().unwrap_or(libc::ENOENT),
            AttachError::Refused { errno: Some(errno), .. } => *errno,
            AttachError::Refused { error, .. } => errno_of(error),
        }
    }
}

/// An error's number, as the error of the system in it has it, or as far as libbpf-rs tells.
fn errno_of(error: &libbpf_rs::Error) -> i32 {
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
