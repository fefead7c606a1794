// SPDX-License-Identifier: MIT
//! What bytes are, by how they begin.

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The first bytes of a binary Wasm module.
pub const WASM: &[u8] = b"\0asm";
const ELF: &[u8] = b"\x7fELF";

/// Where a tar header has its magic, which all formats since 1988 have.
const TAR_MAGIC_AT: usize = 257;
const TAR_MAGIC: &[u8] = b"ustar";

/// A key of a package in YAML: the writers of both projects begin a line with it.
const YAML_KEY: &[u8] = b"bpf_object:";

/// What bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A package in JSON, unless it turns out to be nothing of this list.
    Json,
    /// A package in YAML.
    Yaml,
    /// A binary Wasm module.
    Wasm,
    /// An object, or an executable that may have a package behind it.
    Elf,
    /// Data compressed by gzip.
    Gzip,
    /// Data compressed by zstd.
    Zstd,
    /// A tar archive.
    Tar,
}

impl Kind {
    /// Tells what bytes are. Only [`Kind::Yaml`] looks at more than the first 512.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Kind {
        match bytes {
            _ if bytes.starts_with(GZIP) => Kind::Gzip,
            _ if bytes.starts_with(ZSTD) => Kind::Zstd,
            _ if bytes.starts_with(WASM) => Kind::Wasm,
            _ if bytes.starts_with(ELF) => Kind::Elf,
            _ if bytes.get(TAR_MAGIC_AT..).is_some_and(|rest| rest.starts_with(TAR_MAGIC)) => {
                Kind::Tar
            }
            _ if is_yaml(bytes) => Kind::Yaml,
            _ => Kind::Json,
        }
    }
}

/// A text in JSON begins with a brace, which is YAML, too, but need not be read as such.
fn is_yaml(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first().is_some_and(|byte| *byte != b'{')
        && bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(YAML_KEY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        let mut tar = vec![0; 512];
        tar[TAR_MAGIC_AT..TAR_MAGIC_AT + 5].copy_from_slice(b"ustar");
        for (bytes, kind) in [
            (&b"{\"bpf_object\": 1}"[..], Kind::Json),
            (b"\n  {\nbpf_object: 1}", Kind::Json),
            (b"bpf_object: x\n", Kind::Yaml),
            (b"meta:\n  a: b\nbpf_object: x\n", Kind::Yaml),
            (b"---\nbpf_object: x\n", Kind::Yaml),
            (b"meta:\n  bpf_object: x\n", Kind::Json),
            (b"\0asm", Kind::Wasm),
            (b"\x7fELF", Kind::Elf),
            (b"\x1f\x8b\x08", Kind::Gzip),
            (b"\x28\xb5\x2f\xfd\x00", Kind::Zstd),
            (&tar, Kind::Tar),
            (b"", Kind::Json),
        ] {
            assert_eq!(Kind::of(bytes), kind, "{bytes:?}");
        }
    }
}
