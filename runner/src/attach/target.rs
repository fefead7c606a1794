// SPDX-License-Identifier: MIT
//! Attaches programs of Wasm modules: as their section says, and to what the module names: a cgroup,
//! an interface.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::anyhow;
use libbpf_rs::{ErrorKind, Link, ProgramMut};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{by_section, explain, perf_event};
use crate::failure::{Failure, exit_code};
use crate::load;
use crate::{os, sys};

/// What keeps a program attached. Dropped, it is detached.
#[derive(Debug)]
pub enum Hold {
    /// Of libbpf's.
    Link { _link: Link },
    /// A link of the kernel's.
    Descriptor { _link: OwnedFd },
}

/// What a section's programs are attached to beside what it says.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Nothing else.
    Section,
    /// A cgroup, by its path.
    Cgroup,
    /// What an interface receives, before the kernel looks at it.
    Xdp,
    /// What an interface receives or sends.
    Traffic { is_egress: bool },
    /// A network namespace, by its path.
    Namespace,
    /// The clock of each CPU.
    Clock,
}

/// Why a program is not attached: an error's number, and what the user is told.
#[derive(Debug)]
pub struct NotAttached {
    /// Of Linux.
    pub errno: i32,
    /// In words.
    pub failure: Failure,
}

impl Place {
    fn of(section: &str) -> Place {
        let kind = section.split('/').next().unwrap_or(section);
        match kind {
            "sockops" | "lsm_cgroup" => Place::Cgroup,
            kind if kind.starts_with("cgroup") => Place::Cgroup,
            "xdp" | "xdp.frags" => Place::Xdp,
            "tc" | "tcx" | "classifier" | "action" => {
                Place::Traffic { is_egress: section.ends_with("/egress") }
            }
            "sk_lookup" | "flow_dissector" => Place::Namespace,
            "perf_event" => Place::Clock,
            _ => Place::Section,
        }
    }
}

/// Attaches a program.
pub fn attach(
    program: &ProgramMut<'_>,
    name: &str,
    target: Option<&str>,
) -> Result<Vec<Hold>, NotAttached> {
    let section = program.section().to_string_lossy().into_owned();
    let place = Place::of(&section);
    let by_libbpf = |result: libbpf_rs::Result<Link>| match result {
        Ok(link) => Ok(vec![Hold::Link { _link: link }]),
        Err(error) => {
            let target = target.filter(|_| place != Place::Section);
            Err(refused(name, &section, target, &error))
        }
    };
    let needs = |what: &str| {
        target.ok_or_else(|| {
            let text = format!("`{name}` ({section}) can not be attached without {what}");
            NotAttached { errno: libc::EINVAL, failure: failure(text) }
        })
    };
    match place {
        Place::Section => by_libbpf(by_section(program, &section)),
        Place::Cgroup => {
            let cgroup = open(name, needs("the path of a cgroup")?, cgroup)?;
            by_libbpf(program.attach_cgroup(cgroup.as_raw_fd()))
        }
        Place::Namespace => {
            let namespace = open(name, target.unwrap_or("/proc/self/ns/net"), namespace)?;
            by_libbpf(program.attach_netns(namespace.as_raw_fd()))
        }
        Place::Xdp => {
            let interface = interface(name, needs("the name of an interface")?)?;
            by_libbpf(program.attach_xdp(interface as i32))
        }
        Place::Traffic { is_egress } => {
            let interface = interface(name, needs("the name of an interface")?)?;
            let link = sys::attach_tcx(program.as_fd(), interface, is_egress);
            link.map(|link| vec![Hold::Descriptor { _link: link }]).map_err(|error| {
                let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                let mut refused = refused(name, &section, target, &error.into());
                if errno == libc::EINVAL {
                    let hint = "programs of traffic are attached by tcx: kernels from 6.6 on";
                    refused.failure = refused.failure.hint(hint);
                }
                NotAttached { errno, ..refused }
            })
        }
        Place::Clock => match perf_event::attach(program, None, None) {
            Ok(links) => Ok(links.into_iter().map(|link| Hold::Link { _link: link }).collect()),
            Err(error) => Err(refused(name, &section, None, &error)),
        },
    }
}

fn failure(text: String) -> Failure {
    Failure::new(exit_code::ATTACH, anyhow!(text))
}

/// What the kernel did not take, in its words and libbpf's.
fn refused(
    name: &str,
    section: &str,
    target: Option<&str>,
    error: &libbpf_rs::Error,
) -> NotAttached {
    let failure = match target {
        // What `explain` knows is of sections alone, and of packages.
        Some(target) => {
            let text = format!("can not attach `{name}` ({section}) to `{target}`: {error:#}");
            failure(text).details(load::take_log())
        }
        None => explain(name, section, error),
    };
    NotAttached { errno: errno(error.kind()), failure }
}

/// An error's number, as far as libbpf-rs tells.
pub fn errno(kind: ErrorKind) -> i32 {
    match kind {
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

fn not_found(name: &str, target: &str, error: &io::Error) -> NotAttached {
    let text = format!("can not attach `{name}` to `{target}`: {error}");
    NotAttached { errno: error.raw_os_error().unwrap_or(libc::ENOENT), failure: failure(text) }
}

/// Opens what a module names. It may name anything: opening a pipe would wait without an end, and
/// opening some devices does something. Nothing but what it should be is opened.
fn open(
    name: &str,
    path: &str,
    open: fn(&str) -> rustix::io::Result<OwnedFd>,
) -> Result<OwnedFd, NotAttached> {
    open(path).map_err(|error| not_found(name, path, &error.into()))
}

/// Cgroups are directories.
fn cgroup(path: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Namespaces are files of a file system of their own.
fn namespace(path: &str) -> rustix::io::Result<OwnedFd> {
    /// `NSFS_MAGIC`.
    const FILES: i64 = 0x6e73_6673;
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    #[allow(clippy::unnecessary_cast, reason = "the number's type differs by architecture")]
    if rustix::fs::fstatfs(&found)?.f_type as i64 != FILES {
        return Err(rustix::io::Errno::INVAL);
    }
    os::reopen(found.as_fd(), OFlags::RDONLY)
}

/// An interface's number.
fn interface(name: &str, interface: &str) -> Result<u32, NotAttached> {
    // Any socket does.
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    );
    let number =
        socket.and_then(|socket| rustix::net::netdevice::name_to_index(&socket, interface));
    number.map_err(|error| not_found(name, interface, &error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_by_section() {
        assert_eq!(Place::of("sockops"), Place::Cgroup);
        assert_eq!(Place::of("cgroup_skb/ingress"), Place::Cgroup);
        assert_eq!(Place::of("cgroup/connect4"), Place::Cgroup);
        assert_eq!(Place::of("tc"), Place::Traffic { is_egress: false });
        assert_eq!(Place::of("tcx/egress"), Place::Traffic { is_egress: true });
        assert_eq!(Place::of("xdp.frags"), Place::Xdp);
        assert_eq!(Place::of("tp/sched/sched_switch"), Place::Section);
    }

    #[test]
    fn nothing_but_cgroups_and_namespaces_is_opened() {
        use rustix::io::Errno;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe").display().to_string();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        // None of them waits for who writes to the pipe.
        assert_eq!(cgroup(&pipe).unwrap_err(), Errno::NOTDIR);
        assert_eq!(namespace(&pipe).unwrap_err(), Errno::INVAL);
        assert_eq!(namespace("/dev/null").unwrap_err(), Errno::INVAL);
        assert!(namespace("/proc/self/ns/net").is_ok());
        assert!(cgroup("/").is_ok());
    }

    #[test]
    fn interfaces_by_name() {
        assert_eq!(interface("p", "no-such-one").unwrap_err().errno, libc::ENODEV);
    }
}
