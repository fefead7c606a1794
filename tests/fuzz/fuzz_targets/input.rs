// SPDX-License-Identifier: MIT
//! Any bytes as what holds a package: compressed, an archive, an executable, YAML. Archives are put
//! together here, so that their headers are mostly valid; and any text is a key, a signature, a rule.
#![no_main]

use bpfpack_input::unpack;
use bpfpack_trust::{Artifact, Key, Policy, Rule, Version, matches};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = unpack(data.to_vec());
    if let Some(archive) = archive(data) {
        let _ = unpack(archive);
    }
    let text = String::from_utf8_lossy(data);
    let _ = Version::of_comment(&text);
    let (pattern, source) = text.split_once('\n').unwrap_or((&text, ""));
    let _ = matches(pattern, source);
    // A trusted key, so that signatures are parsed.
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let keys = Key::new("key", key).into_iter().chain(Key::new("data", &text)).collect();
    let rule = Rule { sources: vec![pattern.into()], keys: vec!["*".into()], ..Rule::default() };
    let policy = Policy { rules: vec![rule], keys };
    let _ = policy.check(Artifact { source, bytes: data, signature: Some(&text) });
});

/// A tar archive with a member: the data gives the kind, the length of the name, the name, and the
/// content.
fn archive(data: &[u8]) -> Option<Vec<u8>> {
    let (&[kind, len], rest) = data.split_first_chunk()?;
    let (name, content) = rest.split_at_checked(usize::from(len) % 100)?;
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name);
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    Some(archive)
}
