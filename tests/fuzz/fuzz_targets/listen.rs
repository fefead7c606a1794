// SPDX-License-Identifier: MIT
//! Any bytes as a request of a client of the metrics server, an address, or a web configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| bpfpack_listen::fuzzing::run(data));
