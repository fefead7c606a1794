// SPDX-License-Identifier: MIT
//! `poll_oneoff`: sleeps, and waits for standard input. Output is always reported as writable, and
//! files as readable; a write waits itself if necessary.

use std::time::Duration;

use rustix::time::clock_gettime;
use wasmtime::Caller;

use super::files::File;
use super::system::clock;
use super::{Answer, Errno, HasWasi, Output, WasiError, place};
use crate::os::nanoseconds;

/// Size of a subscription, and of an event, in bytes.
const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;

/// The maximum number of subscriptions.
const MOST: u32 = 4096;

/// A flag of a clock subscription: the time is absolute.
const ABSOLUTE: u16 = 1;

#[derive(Debug)]
enum Kind {
    Clock,
    Read,
    Write,
}

/// A subscription.
struct Subscription {
    user: u64,
    kind: Kind,
    /// The result, if it is known without waiting: it has happened, or is not valid.
    answer: Option<Result<(), Errno>>,
    /// The time until a clock expires.
    left: Option<Duration>,
}

pub(super) fn oneoff<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    subscriptions: u32,
    events: u32,
    count: u32,
    happened: u32,
) -> Answer<()> {
    if count == 0 || count > MOST {
        return Err(Errno::Invalid.into());
    }
    let (data, store) = place::split(caller)?;
    place::at(data, events, count * EVENT)?;
    let bytes = place::at(data, subscriptions, count * SUBSCRIPTION)?;
    let read = |bytes: &[u8]| Subscription::read(bytes, store.wasi());
    let mut waiting: Vec<_> = bytes.chunks_exact(SUBSCRIPTION as usize).map(read).collect();
    wait(&mut waiting, store)?;
    let mut written = 0;
    for subscription in &waiting {
        let Some(answer) = subscription.answer else { continue };
        place::put(data, events + written * EVENT, &subscription.event(answer))?;
        written += 1;
    }
    place::put32(data, happened, written)
}

/// Waits until one has happened, unless one has already.
fn wait<T: HasWasi>(waiting: &mut [Subscription], store: &mut T) -> Answer<()> {
    let is_known = waiting.iter().any(|subscription| subscription.answer.is_some());
    let is_read = |one: &Subscription| matches!(one.kind, Kind::Read) && one.answer.is_none();
    let has_input = waiting.iter().any(is_read);
    let first = waiting.iter().filter_map(|subscription| subscription.left).min();
    let time = if is_known { Some(Duration::ZERO) } else { first };
    if is_known && !has_input {
        return Ok(());
    }
    let has_come = match store.streams().wait(time, has_input) {
        // Libraries treat a failed sleep as an error (Rust's panics), so report a shorter sleep.
        Err(WasiError::Errno(Errno::Interrupted)) if first.is_some() => false,
        answer => answer?,
    };
    for subscription in waiting.iter_mut().filter(|one| one.answer.is_none()) {
        let has_rung = !has_come && !is_known && subscription.left == first;
        let has_happened = match subscription.kind {
            Kind::Clock => has_rung,
            Kind::Read => has_come,
            Kind::Write => false,
        };
        if has_happened {
            subscription.answer = Some(Ok(()));
        }
    }
    Ok(())
}

impl Subscription {
    fn read(bytes: &[u8], wasi: &super::Wasi) -> Subscription {
        let (kind, answer, left) = match bytes[8] {
            0 => {
                let flags = u16::from_le_bytes([bytes[40], bytes[41]]);
                let time = place::get64(bytes, 24);
                match (clock(place::get32(bytes, 16)), flags & ABSOLUTE != 0) {
                    (None, _) => (Kind::Clock, Some(Err(Errno::Invalid)), None),
                    (Some(_), false) => (Kind::Clock, None, Some(time)),
                    (Some(clock), true) => {
                        let now = nanoseconds(clock_gettime(clock));
                        (Kind::Clock, None, Some(time.saturating_sub(now)))
                    }
                }
            }
            tag => {
                let kind = if tag == 1 { Kind::Read } else { Kind::Write };
                let file = wasi.files.get(place::get32(bytes, 16));
                let answer = match (&kind, file) {
                    _ if tag > 2 => Some(Err(Errno::Invalid)),
                    (Kind::Read, Ok(File::Input)) => None,
                    (Kind::Read, Ok(File::Regular(_))) => Some(Ok(())),
                    (Kind::Write, Ok(File::Output(Output::Stdout | Output::Stderr))) => {
                        Some(Ok(()))
                    }
                    _ => Some(Err(Errno::BadDescriptor)),
                };
                (kind, answer, None)
            }
        };
        let left = left.map(Duration::from_nanos);
        // A clock that has expired is reported together with others that have happened.
        let answer = answer.or_else(|| left.is_some_and(|left| left.is_zero()).then_some(Ok(())));
        Subscription { user: place::get64(bytes, 0), kind, answer, left }
    }

    fn event(&self, answer: Result<(), Errno>) -> [u8; EVENT as usize] {
        let mut event = [0; EVENT as usize];
        event[..8].copy_from_slice(&self.user.to_le_bytes());
        let errno = answer.err().map_or(0, |errno| errno as u16);
        event[8..10].copy_from_slice(&errno.to_le_bytes());
        event[10] = match self.kind {
            Kind::Clock => 0,
            Kind::Read => 1,
            Kind::Write => 2,
        };
        // The number of readable bytes is not known; report one.
        event[16..24].copy_from_slice(&u64::from(!matches!(self.kind, Kind::Clock)).to_le_bytes());
        event
    }
}
