// SPDX-License-Identifier: MIT
//! `ecc`: compiles a BPF C source and packs it for `ecli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match bpfpack_packer::command_line::read(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            // A closed pipe is not an error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match bpfpack_packer::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit_code)
        }
    }
}
