// SPDX-License-Identifier: MIT
//! Any bytes as a Wasm module, and modules that call every host function with any numbers, return
//! any, and grow to their limit: an error at most. The first byte says which.
#![no_main]

use bpfpack_runner::fuzzing::run_modules;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| run_modules(data));
