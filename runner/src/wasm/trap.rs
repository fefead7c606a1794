// SPDX-License-Identifier: MIT
//! Describes why a function of a module failed.

use wasmtime::{Trap, WasmBacktrace};

/// The number of frames to show: an endless recursion has thousands.
const MOST_FRAMES: usize = 12;

/// Whether code of the module was running: then the error has a backtrace.
#[must_use]
pub(super) fn has_run(error: &wasmtime::Error) -> bool {
    error.is::<Trap>() || error.is::<WasmBacktrace>()
}

/// The cause, without the location.
#[must_use]
pub(super) fn cause(error: &wasmtime::Error, is_out_of_memory: bool) -> String {
    let Some(trap) = error.downcast_ref::<Trap>() else {
        return error.root_cause().to_string();
    };
    let text = match trap {
        Trap::UnreachableCodeReached => "it aborted (unreachable code, as after abort or a panic)",
        Trap::StackOverflow => "its stack overflowed",
        Trap::MemoryOutOfBounds => "it accessed an address outside of its memory",
        Trap::IntegerDivisionByZero => "it divided by zero",
        Trap::IndirectCallToNull | Trap::BadSignature | Trap::TableOutOfBounds => {
            "it called a null function pointer"
        }
        other => return after(other.to_string(), is_out_of_memory),
    };
    after(text.to_owned(), is_out_of_memory)
}

fn after(text: String, is_out_of_memory: bool) -> String {
    match is_out_of_memory {
        true => format!("{text}; its memory had reached the limit"),
        false => text,
    }
}

/// The active functions, innermost first, one line each; `None` if they are not known.
#[must_use]
pub(super) fn frames(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?;
    let frames = trace.frames();
    let mut lines: Vec<String> = frames
        .iter()
        .take(MOST_FRAMES)
        .map(|frame| match frame.func_name() {
            Some(name) => {
                let name = format!("{:#}", rustc_demangle::demangle(name));
                format!("in {}", bpfpack_schemas::printable::clean(&name))
            }
            None => format!("in function {}", frame.func_index()),
        })
        .collect();
    if frames.len() > MOST_FRAMES {
        lines.push(format!("… {} more", frames.len() - MOST_FRAMES));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}
