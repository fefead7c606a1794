// SPDX-License-Identifier: MIT
//! Any text as a source: its tokens, its annotations, and what they do to a small object, which is
//! the first seed and is found through the environment.
#![no_main]

use std::sync::LazyLock;

use bpfpack_packer::{DescribeOptions, annotations, describe_object};
use libfuzzer_sys::fuzz_target;

static OBJECT: LazyLock<Option<Vec<u8>>> =
    LazyLock::new(|| std::fs::read(std::env::var_os("BPFPACK_FUZZ_OBJECT")?).ok());

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let found = annotations::find(&text).unwrap_or_default();
    let _ = annotations::wanted_records(&found);
    if let Some(object) = &*OBJECT {
        let _ = describe_object(object.clone(), &text, &DescribeOptions::default());
    }
});
