// SPDX-License-Identifier: MIT
//! `ecc`: compiles a BPF C source and packs it for `ecli`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = bpfpack_packer::args::Args::parse();
    match bpfpack_packer::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit_code)
        }
    }
}
