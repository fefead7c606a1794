// SPDX-License-Identifier: MIT
//! The functions of `wasm_bpf`, as modules call them: pointers become texts and bytes; errors
//! become numbers, and messages on standard error.

use wasmtime::{Caller, Extern, Linker, TypedFunc};

use super::poll::{Ask, poll};
use super::{MODULE, State, WRAPPERS, maps};
use crate::failure::exit_code;
use crate::talk;
use crate::wasm::memory::{self, BadText};

type In<'a> = Caller<'a, State>;
type Result<T> = std::result::Result<T, wasmtime::Error>;

/// The function that receives records: context, data, length.
pub(super) type Callback = TypedFunc<(u32, u32, u32), i32>;

/// The table with the callbacks.
const TABLE: &str = "__indirect_function_table";

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, "wasm_load_bpf_object", load)?;
    linker.func_wrap(MODULE, "wasm_close_bpf_object", |mut caller: In<'_>, handle: u64| {
        if caller.data_mut().objects.close(handle) { 0 } else { -1 }
    })?;
    linker.func_wrap(MODULE, "wasm_attach_bpf_program", attach)?;
    linker.func_wrap(MODULE, "wasm_bpf_map_fd_by_name", map)?;
    linker.func_wrap(MODULE, "wasm_bpf_map_operate", maps::operate)?;
    linker.func_wrap(
        MODULE,
        "wasm_bpf_buffer_poll",
        |mut caller: In<'_>,
         handle: u64,
         descriptor: i32,
         callback: u32,
         context: u32,
         data: u32,
         size: i32,
         timeout: i32| {
            let callback = by_index(&mut caller, callback)?;
            poll(&mut caller, Ask { handle, descriptor, callback, context, data, size, timeout })
        },
    )?;
    for wrapper in WRAPPERS {
        linker.func_wrap(
            wrapper,
            "wasm_bpf_buffer_poll",
            |mut caller: In<'_>,
             handle: u64,
             descriptor: i32,
             context: u32,
             data: u32,
             size: i32,
             timeout: i32| {
                let callback = by_name(&mut caller)?;
                let ask = Ask { handle, descriptor, callback, context, data, size, timeout };
                poll(&mut caller, ask)
            },
        )?;
    }
    Ok(())
}

/// A function in the module's table.
fn by_index(caller: &mut In<'_>, index: u32) -> Result<Callback> {
    let table = caller.get_export(TABLE).and_then(Extern::into_table);
    let table = table.ok_or_else(|| {
        wasmtime::format_err!(
            "the module exports no table `{TABLE}`, which holds the callback of \
             `wasm_bpf_buffer_poll`"
        )
    })?;
    let function = table.get(&mut *caller, index.into());
    let function = function.as_ref().and_then(|one| one.as_func()).flatten().copied();
    let callback = function.and_then(|function| function.typed(&*caller).ok());
    callback.ok_or_else(|| {
        wasmtime::format_err!(
            "the callback of `wasm_bpf_buffer_poll`, number {index} in the table, is not a \
             function of three i32 that returns an i32"
        )
    })
}

/// The function that TinyGo modules export.
fn by_name(caller: &mut In<'_>) -> Result<Callback> {
    let functions = WRAPPERS.map(|name| caller.get_export(name).and_then(Extern::into_func));
    let callback = functions.into_iter().flatten().find_map(|one| one.typed(&*caller).ok());
    callback.ok_or_else(|| {
        wasmtime::format_err!(
            "the module exports no function `{}` or `{}` of three i32 that returns an i32: the \
             callback of `wasm_bpf_buffer_poll`",
            WRAPPERS[1],
            WRAPPERS[0]
        )
    })
}

/// Reads a text of the module; `None` if the pointer is 0.
fn text(caller: &mut In<'_>, at: u32) -> Result<std::result::Result<Option<String>, BadText>> {
    if at == 0 {
        return Ok(Ok(None));
    }
    let memory = memory::of(caller)?;
    Ok(memory::c_text(&*caller, memory, at).map(|text| Some(text.to_owned())))
}

fn load(mut caller: In<'_>, at: u32, size: u32) -> Result<u64> {
    let memory = memory::of(&mut caller)?;
    let (data, state) = memory.data_and_store_mut(&mut caller);
    let end = (at as usize).checked_add(size as usize);
    let bytes = end.and_then(|end| data.get(at as usize..end));
    let Some(bytes) = bytes else {
        let error = memory::OutOfBounds { at, len: size.into() };
        talk::error(&format!("the module's object cannot be loaded: {error}"));
        return Ok(0);
    };
    match state.objects.load(bytes, &state.talk) {
        Ok(handle) => Ok(handle),
        // A module could go on without the object, as if nothing was wrong.
        Err(failure) if failure.exit_code() == exit_code::REFUSED => {
            state.refused = Some(failure);
            Err(wasmtime::format_err!("the object is refused"))
        }
        Err(failure) => {
            failure.report();
            Ok(0)
        }
    }
}

fn attach(mut caller: In<'_>, handle: u64, program: u32, target: u32) -> Result<i32> {
    let (program, target) = match (text(&mut caller, program)?, text(&mut caller, target)?) {
        (Ok(Some(program)), Ok(target)) => (program, target),
        (Ok(None), _) => {
            talk::error("the module attaches a program without a name");
            return Ok(-libc::EINVAL);
        }
        (Err(error), _) | (_, Err(error)) => {
            talk::error(&format!(
                "the module attaches a program whose name cannot be read: {error}"
            ));
            return Ok(-libc::EFAULT);
        }
    };
    match caller.data_mut().objects.attach(handle, &program, target.as_deref()) {
        Ok(()) => Ok(0),
        Err(refused) => {
            refused.failure.report();
            Ok(-refused.errno)
        }
    }
}

fn map(mut caller: In<'_>, handle: u64, name: u32) -> Result<i32> {
    let name = text(&mut caller, name)?.ok().flatten();
    let number = name.and_then(|name| caller.data_mut().objects.map(handle, &name));
    Ok(number.unwrap_or(-1))
}
