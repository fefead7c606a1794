// SPDX-License-Identifier: MIT
//! Any bytes as a package: what is read is written, and read again, the same.
#![no_main]

use bpfpack_schemas::Package;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(package) = Package::decode(data) else { return };
    let text = package.encode();
    match Package::decode(text.as_bytes()) {
        Ok(again) => assert_eq!(again.encode(), text),
        // It may be shorter than it was, and so unpack to more than is taken; and defaults are values.
        Err(error) => assert!(error.is_limit(), "what was encoded decodes: {error}"),
    }
});
