// SPDX-License-Identifier: MIT
//! `ecc`: compiles a BPF C source and packs it for `ecli`.

use std::process::ExitCode;

use bpfpack_packer::command_line::Request;
use bpfpack_packer::sign;

fn main() -> ExitCode {
    let args = match bpfpack_packer::command_line::read(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            // A closed pipe is not an error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    let result = match args {
        Request::Pack(args) => bpfpack_packer::run(*args),
        Request::NewKey(args) => sign::new_key(&args),
        Request::Sign(args) => sign::sign(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit_code)
        }
    }
}
