// SPDX-License-Identifier: MIT
//! `ecli`: runs packages of eBPF tracers.

use std::process::ExitCode;

fn main() -> ExitCode {
    bpfpack_sys::capture_no_backtraces();
    if let Some(code) = bpfpack_runner::other_process() {
        return code;
    }
    // What a reading of some ten thousand entries needs.
    bpfpack_sys::keep_freed_memory(4 << 20);
    match bpfpack_runner::args::Request::read().and_then(|request| match request {
        Some(request) => bpfpack_runner::perform(request),
        None => Ok(0),
    }) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit_code())
        }
    }
}
