// SPDX-License-Identifier: MIT
//! The functions that a module may import from `bpfpack`; runner/WASM.md specifies them. A range
//! outside of the module's memory, or an invalid number, is an error of the module and ends the
//! run.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Caller, Linker, Memory, format_err};

use super::declare::declare;
use super::json::minified;
use super::sources::ModuleSource;
use super::state::{Emitted, MOST_EMITTED, State, TooMuch};
use crate::symbols::{CodeAddress, write_frame};
use crate::sys::map::Map;
use crate::wasm::memory;
use crate::{os, talk};

type Call<'a> = Caller<'a, State>;
type Result<T> = wasmtime::Result<T>;

/// The import module of these functions.
pub(super) const MODULE: &str = "bpfpack";

/// The maximum size of a declaration in bytes. The resulting source is many times larger, and
/// remains in memory.
const MOST_DECLARED: u32 = 64 << 10;

/// What ecli stores for a row in addition to its bytes, in multiples of what it stores for a
/// record.
const PIECES_OF_ROW: usize = 2;

/// The maximum number of bytes in a line on standard error.
const MOST_LOG: u32 = 64 << 10;

/// Adds all functions of the interface to a linker.
pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, "emit", emit)?;
    linker.func_wrap(MODULE, "rows", rows)?;
    linker.func_wrap(MODULE, "text", text)?;
    linker.func_wrap(MODULE, "json", json)?;
    linker.func_wrap(MODULE, "declare", declare_source)?;
    linker.func_wrap(MODULE, "source", source)?;
    linker.func_wrap(MODULE, "member", member)?;
    linker.func_wrap(MODULE, "argument", argument)?;
    linker.func_wrap(MODULE, "parameter", parameter)?;
    linker.func_wrap(MODULE, "symbol", symbol)?;
    linker.func_wrap(MODULE, "map", map)?;
    linker.func_wrap(MODULE, "map_lookup", map_lookup)?;
    linker.func_wrap(MODULE, "map_update", map_update)?;
    linker.func_wrap(MODULE, "map_delete", map_delete)?;
    linker.func_wrap(MODULE, "map_next", map_next)?;
    linker.func_wrap(MODULE, "every", every)?;
    linker.func_wrap(MODULE, "clock", clock)?;
    linker.func_wrap(MODULE, "log", log)?;
    linker.func_wrap(MODULE, "stop", stop)?;
    linker.func_wrap(MODULE, "fail", fail)?;
    // AssemblyScript's runtime calls this.
    linker.func_wrap("env", "abort", abort)?;
    Ok(())
}

fn emit(mut call: Call<'_>, source: u32, kind: u32, at: u32, len: u32) -> Result<()> {
    let world = std::rc::Rc::clone(&call.data().world);
    let sources = world.sources.borrow();
    match sources.get(source as usize) {
        Some(ModuleSource::Records(stream)) if (kind as usize) < stream.records.len() => {}
        Some(ModuleSource::Records(stream)) => {
            let count = stream.records.len();
            return Err(format_err!(
                "emit: source {source} has {count} kinds of records, not {kind}"
            ));
        }
        Some(ModuleSource::Rows(..)) => {
            return Err(format_err!("emit: source {source} is a table; use `rows`"));
        }
        None => return Err(format_err!("emit: source {source} does not exist")),
    }
    keep(&mut call, "emit", at, len, Emitted::Record { source, len: len as usize })
}

fn rows(mut call: Call<'_>, source: u32, at: u32, len: u32) -> Result<()> {
    let world = std::rc::Rc::clone(&call.data().world);
    let sources = world.sources.borrow();
    let Some(ModuleSource::Rows(_, row)) = sources.get(source as usize) else {
        return Err(format_err!("rows: source {source} is not a table, or does not exist"));
    };
    if !(len as usize).is_multiple_of(row.stride.max(1)) {
        let stride = row.stride;
        return Err(format_err!("rows: {len} bytes are not a multiple of {stride}"));
    }
    let pieces = len as usize / row.stride.max(1) * PIECES_OF_ROW;
    keep_pieces(&mut call, "rows", (at, len), Emitted::Rows { source, len: len as usize }, pieces)
}

fn text(mut call: Call<'_>, at: u32, len: u32) -> Result<()> {
    keep(&mut call, "text", at, len, Emitted::Text { len: len as usize })
}

fn json(mut call: Call<'_>, at: u32, len: u32) -> Result<()> {
    let memory = memory::of(&mut call)?;
    let bytes = memory::bytes(&call, memory, at, len).map_err(|error| of("json", error))?;
    if bytes.len() > MOST_EMITTED {
        return Err(TooMuch.into());
    }
    let json = minified(bytes).map_err(|error| format_err!("json: it is not JSON: {error}"))?;
    let len = json.len();
    Ok(call.data_mut().keep(Emitted::Json { len }, &json)?)
}

/// Stores bytes of the module's memory as emitted.
fn keep(call: &mut Call<'_>, name: &'static str, at: u32, len: u32, what: Emitted) -> Result<()> {
    keep_pieces(call, name, (at, len), what, 1)
}

/// The same for data that ecli splits into this number of pieces.
fn keep_pieces(
    call: &mut Call<'_>,
    name: &'static str,
    (at, len): (u32, u32),
    what: Emitted,
    pieces: usize,
) -> Result<()> {
    let memory = memory::of(call)?;
    let (data, state) = memory.data_and_store_mut(call);
    let bytes = memory::piece(data, at, len as usize).map_err(|error| of(name, error))?;
    Ok(state.keep_pieces(what, bytes, pieces)?)
}

/// An error of a function that a module called.
fn of(name: &'static str, error: impl std::fmt::Display) -> wasmtime::Error {
    format_err!("{name}: {error}")
}

fn declare_source(mut call: Call<'_>, at: u32, len: u32) -> Result<u32> {
    if len > MOST_DECLARED {
        return Err(format_err!("declare: {len} bytes; the limit is {MOST_DECLARED}"));
    }
    let text = owned(&mut call, "declare", at, len)?;
    let state = call.data();
    if !state.is_starting {
        return Err(format_err!("declare: only `bpfpack_start` can declare sources"));
    }
    let mut sources = state.world.sources.borrow_mut();
    let source = declare(&text, sources.len(), &state.world.fields);
    let source = source.map_err(|error| of("declare", error))?;
    if sources.iter().any(|other| other.name() == source.name()) {
        return Err(format_err!("declare: the source `{}` already exists", source.name()));
    }
    if sources.len() - state.world.of_package >= 256 {
        return Err(format_err!("declare: a run has at most 256 sources"));
    }
    sources.push(source);
    Ok(sources.len() as u32 - 1)
}

fn source(mut call: Call<'_>, at: u32, len: u32) -> Result<i32> {
    let name = owned(&mut call, "source", at, len)?;
    let sources = call.data().world.sources.borrow();
    let found = sources.iter().position(|source| source.name() == name);
    Ok(found.map_or(-1, |at| at as i32))
}

fn member(
    mut call: Call<'_>,
    source: u32,
    kind: u32,
    at: u32,
    len: u32,
    place: u32,
) -> Result<i32> {
    let name = owned(&mut call, "member", at, len)?;
    let found = {
        let sources = call.data().world.sources.borrow();
        let source = sources.get(source as usize);
        source.and_then(|source| source.member(kind as usize, &name))
    };
    let Some(found) = found else { return Ok(-1) };
    let memory = memory::of(&mut call)?;
    let room = memory::bytes_mut(&mut call, memory, place, 24);
    room.map_err(|error| of("member", error))?.copy_from_slice(&found.bytes());
    Ok(0)
}

fn argument(mut call: Call<'_>, at: u32, len: u32, room: u32, size: u32) -> Result<i32> {
    let name = owned(&mut call, "argument", at, len)?;
    let value = find(&call.data().world.arguments, &name);
    answer(&mut call, "argument", value, room, size)
}

fn parameter(mut call: Call<'_>, at: u32, len: u32, room: u32, size: u32) -> Result<i32> {
    let name = owned(&mut call, "parameter", at, len)?;
    let value = find(&call.data().parameters, &name);
    answer(&mut call, "parameter", value, room, size)
}

fn find(pairs: &[(String, String)], name: &str) -> Option<Vec<u8>> {
    // The last value wins, as on command lines.
    pairs.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone().into_bytes())
}

/// Writes an answer, truncated to the room for it. Returns its full length, or -1 if there is no
/// answer.
fn answer(
    call: &mut Call<'_>,
    name: &'static str,
    value: Option<Vec<u8>>,
    room: u32,
    size: u32,
) -> Result<i32> {
    let Some(value) = value else { return Ok(-1) };
    let memory = memory::of(call)?;
    let written = value.len().min(size as usize);
    let place = memory::bytes_mut(call, memory, room, written as u32);
    place.map_err(|error| of(name, error))?.copy_from_slice(&value[..written]);
    Ok(i32::try_from(value.len()).unwrap_or(i32::MAX))
}

fn symbol(mut call: Call<'_>, address: u64, pid: u32, room: u32, size: u32) -> Result<i32> {
    let found = {
        let world = &call.data().world;
        let mut symbols = world.symbols.borrow_mut();
        let places = [CodeAddress::Exact(address)];
        let frames = match pid {
            0 => symbols.kernel(&places),
            pid => symbols.user(pid, &places),
        };
        let frame = frames.first().and_then(|frames| frames.first());
        frame.filter(|frame| frame.name.is_some()).map(|frame| {
            let mut text = Vec::new();
            write_frame(address, frame, &mut text);
            text
        })
    };
    answer(&mut call, "symbol", found, room, size)
}

fn map(mut call: Call<'_>, at: u32, len: u32) -> Result<i32> {
    let name = owned(&mut call, "map", at, len)?;
    Ok(call.data().world.maps.find(&name).map_or(-1, |at| at as i32))
}

/// What the four map functions need: the memory, and the offsets of key and value.
struct Places {
    memory: Memory,
    world: std::rc::Rc<super::state::World>,
}

impl Places {
    fn of(call: &mut Call<'_>) -> Result<Places> {
        let memory = memory::of(call)?;
        Ok(Places { memory, world: std::rc::Rc::clone(&call.data().world) })
    }

    fn map(&self, name: &'static str, number: u32) -> Result<&Map> {
        let map = self.world.maps.get(number);
        map.ok_or_else(|| format_err!("{name}: map {number} does not exist"))
    }

    fn read(&self, call: &Call<'_>, name: &'static str, at: u32, len: usize) -> Result<Vec<u8>> {
        let bytes = memory::bytes(call, self.memory, at, len as u32);
        Ok(bytes.map_err(|error| of(name, error))?.to_vec())
    }

    fn write(&self, call: &mut Call<'_>, name: &'static str, at: u32, bytes: &[u8]) -> Result<()> {
        let place = memory::bytes_mut(call, self.memory, at, bytes.len() as u32);
        place.map_err(|error| of(name, error))?.copy_from_slice(bytes);
        Ok(())
    }
}

/// Returns 0, or a negative error number.
fn number(result: std::io::Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => -error.raw_os_error().unwrap_or(libc::EINVAL),
    }
}

fn map_lookup(mut call: Call<'_>, map: u32, key: u32, value: u32) -> Result<i32> {
    let places = Places::of(&mut call)?;
    let map = places.map("map_lookup", map)?;
    let key = places.read(&call, "map_lookup", key, map.key_size())?;
    let mut found = vec![0; map.value_bytes()];
    let result = map.lookup(&key, &mut found, 0);
    if result.is_ok() {
        places.write(&mut call, "map_lookup", value, &found)?;
    }
    Ok(number(result))
}

fn map_update(mut call: Call<'_>, map: u32, key: u32, value: u32, flags: u64) -> Result<i32> {
    let places = Places::of(&mut call)?;
    let map = places.map("map_update", map)?;
    let key = places.read(&call, "map_update", key, map.key_size())?;
    let value = places.read(&call, "map_update", value, map.value_bytes())?;
    Ok(number(map.update(&key, &value, flags)))
}

fn map_delete(mut call: Call<'_>, map: u32, key: u32) -> Result<i32> {
    let places = Places::of(&mut call)?;
    let map = places.map("map_delete", map)?;
    let key = places.read(&call, "map_delete", key, map.key_size())?;
    Ok(number(map.delete(&key, 0)))
}

fn map_next(mut call: Call<'_>, map: u32, key: u32, next: u32) -> Result<i32> {
    let places = Places::of(&mut call)?;
    let map = places.map("map_next", map)?;
    let key = match key {
        0 => None,
        key => Some(places.read(&call, "map_next", key, map.key_size())?),
    };
    let mut found = vec![0; map.key_size()];
    let result = map.next_key(key.as_deref(), &mut found);
    if result.is_ok() {
        places.write(&mut call, "map_next", next, &found)?;
    }
    Ok(number(result))
}

fn every(mut call: Call<'_>, ms: u32) {
    call.data_mut().every = (ms > 0).then(|| Duration::from_millis(ms.into()));
}

fn clock(_call: Call<'_>, which: u32) -> Result<i64> {
    let clock = match which {
        0 => ClockId::Monotonic,
        1 => ClockId::Realtime,
        2 => ClockId::Boottime,
        _ => return Err(format_err!("clock: clock {which} does not exist")),
    };
    Ok(os::nanoseconds(clock_gettime(clock)) as i64)
}

fn log(mut call: Call<'_>, level: u32, at: u32, len: u32) -> Result<()> {
    let memory = memory::of(&mut call)?;
    let bytes = memory::bytes(&call, memory, at, len.min(MOST_LOG));
    let bytes = bytes.map_err(|error| of("log", error))?.to_vec();
    let state = call.data_mut();
    match level {
        0 => state.say(&bytes),
        _ if !state.world.is_quiet => {
            let text = bpfpack_schemas::printable::clean(&String::from_utf8_lossy(&bytes));
            talk::warning(&format!("{}: {text}", state.name));
        }
        _ => {}
    }
    Ok(())
}

fn stop(mut call: Call<'_>, code: u32) -> Result<()> {
    let Ok(code) = u8::try_from(code) else {
        return Err(format_err!("stop: {code} is not an exit code from 0 to 255"));
    };
    // The first call wins.
    call.data_mut().stop.get_or_insert(code);
    Ok(())
}

fn fail(mut call: Call<'_>, at: u32, len: u32) -> Result<()> {
    let memory = memory::of(&mut call)?;
    let bytes = memory::bytes(&call, memory, at, len.min(MOST_LOG));
    let bytes = bytes.map_err(|error| of("fail", error))?;
    let text = bpfpack_schemas::printable::clean(&String::from_utf8_lossy(bytes));
    call.data_mut().complaint = Some(text);
    Err(format_err!("it failed"))
}

/// AssemblyScript calls this if an assertion fails. Its texts are UTF-16, preceded by their length.
fn abort(mut call: Call<'_>, message: u32, file: u32, line: u32, column: u32) -> Result<()> {
    let memory = memory::of(&mut call)?;
    let mut texts = Vec::new();
    for at in [message, file] {
        let len = at.checked_sub(4).filter(|_| at > 0);
        let len = len.and_then(|at| memory::bytes(&call, memory, at, 4).ok());
        let len = len.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        let bytes = memory::bytes(&call, memory, at, len.min(4096)).unwrap_or_default();
        let units: Vec<u16> =
            bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        texts.push(bpfpack_schemas::printable::clean(&String::from_utf16_lossy(&units)));
    }
    let text = format!("{} ({}:{line}:{column})", texts[0], texts[1]);
    call.data_mut().complaint = Some(text);
    Err(format_err!("it failed"))
}

/// Copies a text from the module's memory.
fn owned(call: &mut Call<'_>, name: &'static str, at: u32, len: u32) -> Result<String> {
    let memory = memory::of(call)?;
    memory::text(call, memory, at, len).map(str::to_owned).map_err(|error| of(name, error))
}
