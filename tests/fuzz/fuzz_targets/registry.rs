// SPDX-License-Identifier: MIT
//! Any bytes as the name of an image, an answer of a registry, or a file with credentials.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| bpfpack_registry::fuzzing::run(data));
