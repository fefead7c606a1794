// SPDX-License-Identifier: MIT
//! Any text as an expression of `--filter`, on any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| bpfpack_runner::fuzzing::run_filter(data));
