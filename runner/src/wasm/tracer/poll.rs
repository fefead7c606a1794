// SPDX-License-Identifier: MIT
//! `wasm_bpf_buffer_poll`: waits for records of a buffer, and passes every record that is there to
//! the module.

use std::io;
use std::time::{Duration, Instant};

use wasmtime::{AsContextMut as _, Caller};

use super::State;
use super::buffer::PolledBuffer;
use super::calls::Callback;
use super::console::Woken;
use crate::wasm::memory;
use crate::wasm::wasi::{Errno, WasiError};

/// The number of polls with timeout 0 that may find nothing before the next one sleeps. A module
/// that does nothing else would keep a CPU busy.
const IDLE: u32 = 16;

/// How long such a poll sleeps, and how long a poll waits for a record that is not submitted yet.
const NAP: Duration = Duration::from_millis(1);

/// The arguments of a poll.
pub(super) struct Ask {
    /// The object.
    pub handle: u64,
    /// The module's number of the map.
    pub descriptor: i32,
    /// The function that receives records.
    pub callback: Callback,
    /// A value for the callback.
    pub context: u32,
    /// The address for a record.
    pub data: u32,
    /// The size of that memory in bytes.
    pub size: i32,
    /// Milliseconds to wait; negative waits forever.
    pub timeout: i32,
}

/// Why no more records are passed.
enum Stop {
    /// The poll returns this.
    With(i32),
    /// The module is ended.
    End(wasmtime::Error),
}

impl From<WasiError> for Stop {
    fn from(error: WasiError) -> Stop {
        match error {
            WasiError::Errno(errno @ Errno::Interrupted) => Stop::With(-i32::from(errno as u16)),
            WasiError::Errno(_) => Stop::With(-libc::EIO),
            WasiError::End(error) => Stop::End(error),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::With(-error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// Waits for records and passes them to the module. Returns 0, a negative result of a callback, or
/// a negative error number. These numbers are Linux's, as libbpf returns them, except EINTR, which
/// modules check: there, their C library has WASI's number.
pub(super) fn poll(caller: &mut Caller<'_, State>, ask: Ask) -> Result<i32, wasmtime::Error> {
    let memory = memory::of(caller)?;
    let Ok(size) = u32::try_from(ask.size) else { return Ok(-libc::EINVAL) };
    if memory::bytes(&*caller, memory, ask.data, size).is_err() {
        return Ok(-libc::EFAULT);
    }
    let mut polled = match caller.data_mut().objects.take_buffer(ask.handle, ask.descriptor) {
        Ok(polled) => polled,
        Err(error) => return Ok(-error.raw_os_error().unwrap_or(libc::EIO)),
    };
    let waited = wait(caller.data_mut(), &mut polled.buffer, ask.timeout);
    let result = waited.and_then(|()| {
        caller.data_mut().console.callbacks += 1;
        let result = hand_over(caller, &mut polled.buffer, &ask, size);
        caller.data_mut().console.callbacks -= 1;
        result
    });
    let state = caller.data_mut();
    state.objects.put_back(polled, &state.talk);
    let result = result.and_then(|()| match state.console.callbacks {
        0 => Ok(state.console.flush()?),
        _ => Ok(()),
    });
    match result {
        Ok(()) => Ok(0),
        Err(Stop::With(number)) => Ok(number),
        Err(Stop::End(error)) => Err(error),
    }
}

/// Waits until there are records, or the time is over.
fn wait(state: &mut State, buffer: &mut PolledBuffer, timeout: i32) -> Result<(), Stop> {
    let console = &mut state.console;
    console.check()?;
    if buffer.begin()? {
        buffer.idle = 0;
        return Ok(());
    }
    if timeout == 0 {
        buffer.idle += 1;
        if buffer.idle > IDLE {
            console.nap(&[buffer.fd()], NAP)?;
            buffer.begin()?;
        }
        return Ok(());
    }
    let time = u64::try_from(timeout).ok().map(Duration::from_millis);
    let deadline = time.map(|time| Instant::now() + time);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let woken = console.wait_for(&[buffer.fd()], left)?;
        // Discarded records wake, too, so the time may be over although each wait finds something.
        let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if buffer.begin()? || woken == Woken::TimedOut || is_over {
            return Ok(());
        }
        // The first record is not submitted yet, or all records were discarded.
        console.nap(&[], NAP)?;
    }
}

fn hand_over(
    caller: &mut Caller<'_, State>,
    buffer: &mut PolledBuffer,
    ask: &Ask,
    size: u32,
) -> Result<(), Stop> {
    let memory = memory::of(caller).map_err(Stop::End)?;
    let closed = caller.data().objects.closed;
    let padding = buffer.padding();
    while buffer.refill()? {
        while let Some(record) = buffer.record() {
            let len = record.len().min(size as usize);
            let is_cut = len + padding < record.len();
            let room = memory::bytes_mut(caller, memory, ask.data, len as u32);
            room.map_err(|_| Stop::With(-libc::EFAULT))?.copy_from_slice(&record[..len]);
            if is_cut {
                tell_of_cut(caller.data_mut(), record.len(), len);
            }
            let arguments = (ask.context, ask.data, len as u32);
            let result = ask.callback.call(caller.as_context_mut(), arguments);
            let result = result.map_err(Stop::End)?;
            if result < 0 {
                return Err(Stop::With(result));
            }
            if caller.data().objects.closed != closed && !caller.data().objects.has(ask.handle) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn tell_of_cut(state: &mut State, len: usize, room: usize) {
    if !state.was_cut {
        state.was_cut = true;
        state.talk.warning(&format!(
            "a record of {len} bytes was truncated: the module has room for {room}"
        ));
    }
}
