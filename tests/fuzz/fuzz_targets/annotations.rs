// SPDX-License-Identifier: MIT
//! Any text as a source: its tokens, its annotations, and what they do to a small object, which is
//! the first seed and is found through the environment.
#![no_main]

use std::sync::LazyLock;

use bpfpack_packer::{DescribeOptions, describe_object};
use libfuzzer_sys::fuzz_target;

static OBJECT: LazyLock<Option<Vec<u8>>> =
    LazyLock::new(|| std::fs::read(std::env::var_os("BPFPACK_FUZZ_OBJECT")?).ok());

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    // The text is read before the object, and without one, too.
    let object = OBJECT.clone().unwrap_or_default();
    let _ = describe_object(object, &text, &DescribeOptions::default());
});
