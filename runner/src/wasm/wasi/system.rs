// SPDX-License-Identifier: MIT
//! Arguments, environment, clocks, random numbers, exit; and sockets, which do not exist.

use rustix::time::{ClockId, clock_getres, clock_gettime};
use wasmtime::{Caller, Linker};

use super::{Answer, Errno, Exit, HasWasi, MODULE, number, place};
use crate::os::nanoseconds;

/// The maximum number of random bytes per call.
const RANDOM: usize = 1 << 20;

pub(super) fn link<T: HasWasi>(linker: &mut Linker<T>) -> Result<(), wasmtime::Error> {
    type In<'a, T> = Caller<'a, T>;
    linker.func_wrap(MODULE, "args_get", |mut caller: In<'_, T>, list: u32, texts: u32| {
        number(texts_of(&mut caller, |wasi| &wasi.arguments, list, texts))
    })?;
    linker.func_wrap(
        MODULE,
        "args_sizes_get",
        |mut caller: In<'_, T>, count: u32, size: u32| {
            number(sizes(&mut caller, |wasi| &wasi.arguments, count, size))
        },
    )?;
    linker.func_wrap(MODULE, "environ_get", |mut caller: In<'_, T>, list: u32, texts: u32| {
        number(texts_of(&mut caller, |wasi| &wasi.environment, list, texts))
    })?;
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut caller: In<'_, T>, count: u32, size: u32| {
            number(sizes(&mut caller, |wasi| &wasi.environment, count, size))
        },
    )?;
    linker.func_wrap(MODULE, "clock_res_get", |mut caller: In<'_, T>, id: u32, to: u32| {
        number(put_time(&mut caller, to, clock(id).map(clock_getres)))
    })?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: In<'_, T>, id: u32, _precision: u64, to: u32| {
            number(put_time(&mut caller, to, clock(id).map(clock_gettime)))
        },
    )?;
    linker.func_wrap(MODULE, "random_get", |mut caller: In<'_, T>, to: u32, len: u32| {
        number(random(&mut caller, to, len))
    })?;
    linker.func_wrap(MODULE, "sched_yield", || {
        std::thread::yield_now();
        0u32
    })?;
    linker.func_wrap(MODULE, "proc_exit", |code: u32| -> Result<(), wasmtime::Error> {
        Err(wasmtime::Error::new(Exit(code)))
    })?;
    let none = Errno::NoSystem as u32;
    linker.func_wrap(MODULE, "proc_raise", move |_signal: u32| none)?;
    linker.func_wrap(MODULE, "sock_accept", move |_: u32, _: u32, _: u32| none)?;
    linker.func_wrap(
        MODULE,
        "sock_recv",
        move |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| none,
    )?;
    linker.func_wrap(MODULE, "sock_send", move |_: u32, _: u32, _: u32, _: u32, _: u32| none)?;
    linker.func_wrap(MODULE, "sock_shutdown", move |_: u32, _: u32| none)?;
    Ok(())
}

/// Writes zero-terminated texts one after the other, and a list of their addresses.
fn texts_of<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    texts: fn(&super::Wasi) -> &Vec<String>,
    list: u32,
    to: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let (mut list, mut to) = (list, to);
    for text in texts(store.wasi()) {
        place::put32(data, list, to)?;
        place::put(data, to, text.as_bytes())?;
        // The written bytes are in the memory, so an end that overflows is never used.
        to = to.saturating_add(text.len() as u32);
        place::put(data, to, &[0])?;
        to = to.saturating_add(1);
        list = list.saturating_add(4);
    }
    Ok(())
}

fn sizes<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    texts: fn(&super::Wasi) -> &Vec<String>,
    count: u32,
    size: u32,
) -> Answer<()> {
    let (data, store) = place::split(caller)?;
    let texts = texts(store.wasi());
    place::put32(data, count, texts.len() as u32)?;
    place::put32(data, size, texts.iter().map(|text| text.len() as u32 + 1).sum())
}

/// A clock by its number in WASI.
pub(super) fn clock(id: u32) -> Option<ClockId> {
    match id {
        0 => Some(ClockId::Realtime),
        1 => Some(ClockId::Monotonic),
        2 => Some(ClockId::ProcessCPUTime),
        3 => Some(ClockId::ThreadCPUTime),
        _ => None,
    }
}

fn put_time<T: HasWasi>(
    caller: &mut Caller<'_, T>,
    to: u32,
    time: Option<rustix::time::Timespec>,
) -> Answer<()> {
    let time = time.ok_or(Errno::Invalid)?;
    let (data, _) = place::split(caller)?;
    place::put64(data, to, nanoseconds(time))
}

fn random<T: HasWasi>(caller: &mut Caller<'_, T>, to: u32, len: u32) -> Answer<()> {
    let (data, _) = place::split(caller)?;
    for piece in place::at(data, to, len)?.chunks_mut(RANDOM) {
        let mut done = 0;
        while done < piece.len() {
            match rustix::rand::getrandom(&mut piece[done..], rustix::rand::GetRandomFlags::empty())
            {
                Ok(count) => done += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
