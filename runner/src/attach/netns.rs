// SPDX-License-Identifier: MIT
//! Programs of a network namespace, which choose sockets for packets or dissect packets.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::error::AttachError;
use super::method::{Attachment, Context, Method, Owner};
use super::target::Target;
use crate::os;

/// Attaches to a network namespace.
pub(super) const METHOD: Method = Method { target: Target::NetNs, attach };

/// The namespace of this process.
const OWN: &str = "/proc/self/ns/net";

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    // For modules, the default is their own namespace. A package has no default, because such a
    // program decides for all sockets.
    let path = match context.owner {
        Owner::Module => context.named.unwrap_or(OWN),
        Owner::Package(_) => context.named(Target::NetNs)?,
    };
    let namespace = open(path)
        .map_err(|error| AttachError::BadTarget { named: path.to_owned(), error: error.into() })?;
    context.attached(context.program.attach_netns(namespace.as_raw_fd()))
}

/// Opens a network namespace, which is a file of the nsfs file system. A module may pass any path.
/// Opening a pipe would block, and opening some devices has effects, so only files of nsfs are
/// opened.
fn open(path: &str) -> rustix::io::Result<OwnedFd> {
    /// `NSFS_MAGIC`.
    const FILES: i64 = 0x6e73_6673;
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    #[allow(clippy::unnecessary_cast, reason = "the number's type differs by architecture")]
    if rustix::fs::fstatfs(&found)?.f_type as i64 != FILES {
        return Err(rustix::io::Errno::INVAL);
    }
    os::reopen(found.as_fd(), OFlags::RDONLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_namespaces_is_opened() {
        use rustix::io::Errno;
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe").display().to_string();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        // It does not wait for a writer of the pipe.
        assert_eq!(open(&pipe).unwrap_err(), Errno::INVAL);
        assert_eq!(open("/dev/null").unwrap_err(), Errno::INVAL);
        assert!(open(OWN).is_ok());
    }
}
