// SPDX-License-Identifier: MIT
//! `ecli`: runs packages of eBPF tracers.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = bpfpack_runner::args::Args::parse();
    match bpfpack_runner::run(args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit_code())
        }
    }
}
