// SPDX-License-Identifier: MIT
//! The signals that end a run.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// SIGINT, SIGTERM and SIGHUP as something to poll.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals for this process, and opens a descriptor that tells of them.
    pub fn catch() -> io::Result<Signals> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset makes a valid set of the memory that is given; the other calls take
        // it by reference.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
            // Where it is ignored, as below nohup, it stays so.
            libc::sigaddset(set.as_mut_ptr(), libc::SIGHUP);
            if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd just made this descriptor, and nobody else has it.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the signals that have come, so that only another one is seen again.
    pub fn take(&self) {
        let mut signals = [0u8; 128 * 4];
        while rustix::io::read(&self.0, &mut signals).is_ok_and(|len| len > 0) {}
    }

    /// The number of a signal that has come, which is taken.
    pub fn next(&self) -> Option<i32> {
        // signalfd(2): a `signalfd_siginfo` of 128 bytes, whose first number is the signal's.
        let mut signal = [0u8; 128];
        let len = rustix::io::read(&self.0, &mut signal).ok()?;
        let number = signal.first_chunk().filter(|_| len == 128)?;
        Some(i32::from_ne_bytes(*number))
    }

    /// Whether there are some to be taken.
    pub fn have_come(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&at_once)) == Ok(1)
    }

    /// The same signals, for another owner.
    pub fn try_clone(&self) -> io::Result<Signals> {
        self.0.try_clone().map(Signals)
    }

    /// Signals that a test sends by writing to a descriptor, which must not block when it is read.
    #[cfg(any(test, fuzzing, feature = "fixtures"))]
    pub fn fake(fd: OwnedFd) -> Signals {
        Signals(fd)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
