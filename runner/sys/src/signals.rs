// SPDX-License-Identifier: MIT
//! The signals that end a run.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// SIGINT, SIGTERM and SIGHUP as something to poll.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals for this process, and opens a descriptor that tells of them.
    pub fn catch() -> io::Result<Signals> {
        let set = set();
        // SAFETY: the set is valid; the calls take it by reference.
        let fd = unsafe {
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd just made this descriptor, and nobody else has it.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Lets the signals do what they do by default, which is to end this process, until what this
    /// returns is dropped. To be called by the thread that has caught them.
    #[must_use]
    pub fn pass(&self) -> Passing {
        change(libc::SIG_UNBLOCK);
        Passing(PhantomData)
    }

    /// Takes the signals that have come, so that only another one is seen again.
    pub fn take(&self) {
        let mut signals = [0u8; 128 * 4];
        while rustix::io::read(&self.0, &mut signals).is_ok_and(|len| len > 0) {}
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

/// As long as this is there, the signals of this thread are not caught.
#[derive(Debug)]
pub struct Passing(PhantomData<*const ()>);

impl Drop for Passing {
    fn drop(&mut self) {
        change(libc::SIG_BLOCK);
    }
}

/// The signals.
fn set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset makes a valid set of the memory that is given.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// Changes which signals this thread has blocked.
fn change(how: i32) {
    let set = set();
    // SAFETY: the set is valid. With a valid `how`, the call cannot fail.
    unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) };
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
