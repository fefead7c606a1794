// SPDX-License-Identifier: MIT
//! Programs that attach to a cgroup and see what its processes do.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::error::AttachError;
use super::method::{Attachment, Context, Method};
use super::target::Target;

/// Attaches to a cgroup of version 2.
pub(super) const METHOD: Method = Method { target: Target::Cgroup, attach };

fn attach(context: &Context<'_>) -> Result<Vec<Attachment>, AttachError> {
    let path = context.named(Target::Cgroup)?;
    let cgroup = open(path)
        .map_err(|error| AttachError::BadTarget { named: path.to_owned(), error: error.into() })?;
    context.attached(context.program.attach_cgroup(cgroup.as_raw_fd()))
}

/// Opens a cgroup, which is a directory. A module may pass any path. Opening a pipe would block,
/// and opening some devices has effects, so only directories are opened.
fn open(path: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_directories_is_opened() {
        use rustix::io::Errno;
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe").display().to_string();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        // It does not wait for a writer of the pipe.
        assert_eq!(open(&pipe).unwrap_err(), Errno::NOTDIR);
        assert!(open("/").is_ok());
    }
}
