// SPDX-License-Identifier: MIT
//! Any bytes as an object: its programs, its debug information, what is recognized of it, and the
//! object that is written without debug information; and what `ecli inspect` reports about it.
#![no_main]

use bpfpack_packer::{DescribeOptions, describe_object};
use bpfpack_runner::fuzzing::inspect;
use bpfpack_schemas::object::BpfObject;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(elf) = BpfObject::parse(data) {
        let _ = (elf.state_of_programs(), inspect(data));
    }
    if let Ok(package) = describe_object(data.to_vec(), "", &DescribeOptions::default()) {
        let _ = package.encode();
    }
});
