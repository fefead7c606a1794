// SPDX-License-Identifier: MIT
//! The signals that end a run, the one that asks for a reading, and the one that tells of another
//! size of the terminal.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Those that end a run.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The one that asks for a reading.
const READING: [i32; 1] = [libc::SIGUSR1];

/// The one that tells of another size of the terminal.
const SIZE: [i32; 1] = [libc::SIGWINCH];

/// SIGINT, SIGTERM and SIGHUP as something to poll, and SIGUSR1 and SIGWINCH as two other things.
#[derive(Debug)]
pub struct Signals {
    ending: OwnedFd,
    /// None for a test, and for another owner.
    reading: Option<OwnedFd>,
    /// None for a test.
    size: Option<OwnedFd>,
    /// What was blocked before, the lowest bit for signal 1.
    before: u64,
}

impl Signals {
    /// Blocks the signals for this process, and opens descriptors that tell of them.
    pub fn catch() -> io::Result<Signals> {
        let before = block(&[&ENDING[..], &READING, &SIZE].concat())?;
        let (reading, size) = (Some(open(&READING)?), Some(open(&SIZE)?));
        Ok(Signals { ending: open(&ENDING)?, reading, size, before })
    }

    /// What is readable when SIGWINCH has come.
    #[must_use]
    pub fn size(&self) -> Option<BorrowedFd<'_>> {
        self.size.as_ref().map(OwnedFd::as_fd)
    }

    /// Takes SIGWINCH, if it has come.
    pub fn take_size(&self) {
        self.size.iter().for_each(drain);
    }

    /// The signals that were blocked before these were caught, the lowest bit for signal 1.
    #[must_use]
    pub fn blocked_before(&self) -> u64 {
        self.before
    }

    /// What is readable when SIGUSR1 has come.
    #[must_use]
    pub fn reading(&self) -> Option<BorrowedFd<'_>> {
        self.reading.as_ref().map(OwnedFd::as_fd)
    }

    /// Takes SIGUSR1, if it has come.
    pub fn take_reading(&self) {
        self.reading.iter().for_each(drain);
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
        drain(&self.ending);
    }

    /// Whether there are some to be taken.
    pub fn have_come(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.ending, PollFlags::IN)], Some(&at_once)) == Ok(1)
    }

    /// The signals that end a run, for another owner.
    pub fn try_clone(&self) -> io::Result<Signals> {
        let ending = self.ending.try_clone()?;
        Ok(Signals { ending, reading: None, size: None, before: self.before })
    }

    /// Signals that a test sends by writing to a descriptor, which must not block when it is read.
    #[cfg(any(test, fuzzing, feature = "fixtures"))]
    pub fn fake(fd: OwnedFd) -> Signals {
        Signals { ending: fd, reading: None, size: None, before: 0 }
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

/// A set of signals.
pub(crate) fn set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset makes a valid set of the memory that is given.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Blocks signals for this process; what was blocked before.
fn block(signals: &[i32]) -> io::Result<u64> {
    let (wanted, mut before) = (set(signals), set(&[]));
    // SAFETY: both sets are valid; the call takes them by reference.
    if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const wanted, &raw mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the set is valid, and the signals are some that there are.
    let is_blocked = |signal: &i32| unsafe { libc::sigismember(&raw const before, *signal) == 1 };
    Ok((1..=64).filter(is_blocked).fold(0, |bits, signal| bits | 1 << (signal - 1)))
}

/// Opens a descriptor that tells of signals, which are blocked.
fn open(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set(signals);
    // SAFETY: the set is valid; the call takes it by reference.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: signalfd just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes the signals that a descriptor tells of.
fn drain(fd: &OwnedFd) {
    let mut signals = [0u8; 128 * 4];
    while rustix::io::read(fd, &mut signals).is_ok_and(|len| len > 0) {}
}

/// Changes whether this thread has the signals blocked that end a run.
fn change(how: i32) {
    let set = set(&ENDING);
    // SAFETY: the set is valid. With a valid `how`, the call cannot fail.
    unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) };
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ending.as_fd()
    }
}
