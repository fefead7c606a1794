// SPDX-License-Identifier: MIT
//! Writes archives from which Linux fills its first root file system: cpio with portable headers
//! (kernel documentation, *initramfs buffer format*).

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive in memory, whose files belong to root.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    members: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory, and those above it. The kernel makes none by itself.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || !self.directories.insert(path.to_owned()) {
            return;
        }
        self.parent(path);
        self.member(path, DIRECTORY | 0o755, (0, 0), b"");
    }

    /// Adds a file with these permissions.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        let path = path.trim_matches('/');
        self.parent(path);
        self.member(path, FILE | permissions, (0, 0), content);
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, number: (u32, u32)) {
        let path = path.trim_matches('/');
        self.parent(path);
        self.member(path, CHARACTER_DEVICE | 0o600, number, b"");
    }

    /// The size so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The whole archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.member("TRAILER!!!", 0, (0, 0), b"");
        self.bytes
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn member(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.members += 1;
        let (owner, group, links, time) = (0, 0, 1, 0);
        // The sizes fit: the kernel reads no archive of 4 GiB.
        let (size, name_size) = (content.len() as u32, path.len() as u32 + 1);
        let header = [
            self.members,
            mode,
            owner,
            group,
            links,
            time,
            size,
            0,
            0,
            device.0,
            device.1,
            name_size,
            0, // a checksum, in another variant of the format
        ];
        self.bytes.extend_from_slice(b"070701");
        for number in header {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_before_their_files_and_once() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", 0o755, b"12345");
        archive.file("a/d", 0o644, b"");
        archive.device("/dev/console", (5, 1));
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let mut rest = &bytes[..];
        let mut seen = Vec::new();
        while !rest.is_empty() {
            assert_eq!(&rest[..6], b"070701");
            let number = |at: usize| {
                let text = std::str::from_utf8(&rest[6 + 8 * at..14 + 8 * at]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, name_size) = (number(1), number(6), number(11));
            let name = std::str::from_utf8(&rest[110..109 + name_size]).unwrap().to_owned();
            let begin = (110 + name_size).next_multiple_of(4);
            seen.push((name, mode, rest[begin..begin + size].to_vec()));
            rest = &rest[(begin + size).next_multiple_of(4)..];
        }
        let none = Vec::new();
        let expected = [
            ("a", 0o040_755, none.clone()),
            ("a/b", 0o040_755, none.clone()),
            ("a/b/c", 0o100_755, b"12345".to_vec()),
            ("a/d", 0o100_644, none.clone()),
            ("dev", 0o040_755, none.clone()),
            ("dev/console", 0o020_600, none.clone()),
            ("TRAILER!!!", 0, none),
        ];
        assert_eq!(seen, expected.map(|(name, mode, bytes)| (name.to_owned(), mode, bytes)));
    }
}
