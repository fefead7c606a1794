// SPDX-License-Identifier: MIT
//! Any bytes as a package: what is read is written, and read again, the same.
#![no_main]

use bpfpack_schemas::Package;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(package) = Package::decode(data) else { return };
    let text = package.encode();
    let again = Package::decode(text.as_bytes()).expect("what was encoded decodes");
    assert_eq!(again.encode(), text);
});
