// SPDX-License-Identifier: MIT
//! Signals: those that end a run, the one that requests a reading, and the one for a resized
//! terminal.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The signals that end a run.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The signal that requests a reading.
const READING: [i32; 1] = [libc::SIGUSR1];

/// The signal for a resized terminal.
const SIZE: [i32; 1] = [libc::SIGWINCH];

/// Three descriptors to poll: one for SIGINT, SIGTERM and SIGHUP, one for SIGUSR1, and one for
/// SIGWINCH.
#[derive(Debug)]
pub struct Signals {
    ending: OwnedFd,
    /// `None` in a clone, and if another thread sends the signals.
    reading: Option<OwnedFd>,
    /// `None` in a clone, and if another thread sends the signals.
    size: Option<OwnedFd>,
    /// The signals that were blocked before; the lowest bit is signal 1.
    before: u64,
    /// Whether they are those of this process.
    are_own: bool,
}

impl Signals {
    /// Blocks the signals for this process, and opens descriptors for them.
    pub fn catch() -> io::Result<Signals> {
        let before = block(&[&ENDING[..], &READING, &SIZE].concat())?;
        let (reading, size) = (Some(open(&READING)?), Some(open(&SIZE)?));
        Ok(Signals { ending: open(&ENDING)?, reading, size, before, are_own: true })
    }

    /// A descriptor that is readable after SIGWINCH.
    #[must_use]
    pub fn size(&self) -> Option<BorrowedFd<'_>> {
        self.size.as_ref().map(OwnedFd::as_fd)
    }

    /// Consumes SIGWINCH.
    pub fn take_size(&self) {
        self.size.iter().for_each(drain);
    }

    /// The signals that were blocked before; the lowest bit is signal 1.
    #[must_use]
    pub fn blocked_before(&self) -> u64 {
        self.before
    }

    /// A descriptor that is readable after SIGUSR1.
    #[must_use]
    pub fn reading(&self) -> Option<BorrowedFd<'_>> {
        self.reading.as_ref().map(OwnedFd::as_fd)
    }

    /// Consumes SIGUSR1.
    pub fn take_reading(&self) {
        self.reading.iter().for_each(drain);
    }

    /// Restores the default action of the signals, which ends this process, until the result is
    /// dropped. Call it on the thread that has caught them. It does nothing to signals that another
    /// thread sends.
    #[must_use]
    pub fn pass(&self) -> Passing {
        if self.are_own {
            change(libc::SIG_UNBLOCK);
        }
        Passing { are_own: self.are_own, of_thread: PhantomData }
    }

    /// Consumes the signals that have arrived, so that only further ones are seen.
    pub fn take(&self) {
        drain(&self.ending);
    }

    /// Whether a signal has arrived.
    pub fn have_come(&self) -> bool {
        is_readable(&self.ending)
    }

    /// Duplicates the descriptor for the signals that end a run.
    pub fn try_clone(&self) -> io::Result<Signals> {
        let ending = self.ending.try_clone()?;
        let Signals { before, are_own, .. } = *self;
        Ok(Signals { ending, reading: None, size: None, before, are_own })
    }

    /// Signals that another thread sends by writing to a descriptor, which must not block when it is
    /// read. `SIGUSR1` and `SIGWINCH` never come.
    #[must_use]
    pub fn of_descriptor(fd: OwnedFd) -> Signals {
        Signals { ending: fd, reading: None, size: None, before: 0, are_own: false }
    }
}

/// The signals of a service: those that end it, and the one that makes it read its files again.
#[derive(Debug)]
pub struct ServiceSignals {
    ending: OwnedFd,
    reload: OwnedFd,
}

impl ServiceSignals {
    /// Blocks the signals for this process, and opens descriptors for them.
    ///
    /// # Errors
    /// Returns the error of the system call.
    pub fn catch() -> io::Result<ServiceSignals> {
        let (ending, reload) = (&[libc::SIGINT, libc::SIGTERM], &[libc::SIGHUP]);
        block(&[&ending[..], reload].concat())?;
        Ok(ServiceSignals { ending: open(ending)?, reload: open(reload)? })
    }

    /// A descriptor that is readable after SIGINT or SIGTERM.
    #[must_use]
    pub fn ending(&self) -> BorrowedFd<'_> {
        self.ending.as_fd()
    }

    /// A descriptor that is readable after SIGHUP.
    #[must_use]
    pub fn reload(&self) -> BorrowedFd<'_> {
        self.reload.as_fd()
    }

    /// Consumes the signals that have made the service read its files again.
    pub fn take_reload(&self) {
        drain(&self.reload);
    }

    /// Whether a signal that ends the service has arrived.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        is_readable(&self.ending)
    }

    /// Consumes the signals that end the service. Returns whether there were any.
    pub fn take_ending(&self) -> bool {
        let has_come = self.is_ending();
        drain(&self.ending);
        has_come
    }
}

/// As long as this exists, the signals of this thread are not caught.
#[derive(Debug)]
pub struct Passing {
    are_own: bool,
    /// It cannot move to another thread.
    of_thread: PhantomData<*const ()>,
}

impl Drop for Passing {
    fn drop(&mut self) {
        if self.are_own {
            change(libc::SIG_BLOCK);
        }
    }
}

/// A set of signals.
pub(crate) fn set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initializes the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Blocks signals for this process. Returns the signals that were blocked before.
fn block(signals: &[i32]) -> io::Result<u64> {
    let (wanted, mut before) = (set(signals), set(&[]));
    // SAFETY: both sets are valid; the call takes them by reference.
    if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const wanted, &raw mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the set is valid, and the signals exist.
    let is_blocked = |signal: &i32| unsafe { libc::sigismember(&raw const before, *signal) == 1 };
    Ok((1..=64).filter(is_blocked).fold(0, |bits, signal| bits | 1 << (signal - 1)))
}

/// Opens a descriptor for signals, which are blocked.
fn open(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set(signals);
    // SAFETY: the set is valid; the call takes it by reference.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: signalfd has just created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn is_readable(fd: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&Timespec::default())) == Ok(1)
}

/// Consumes the signals of a descriptor.
fn drain(fd: &OwnedFd) {
    let mut signals = [0u8; 128 * 4];
    while rustix::io::read(fd, &mut signals).is_ok_and(|len| len > 0) {}
}

/// Changes whether this thread blocks the signals that end a run.
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
