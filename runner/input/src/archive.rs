// SPDX-License-Identifier: MIT
//! Finds the package in a tar archive. Nothing is extracted to disk; an archive that would do harm
//! if it were is refused all the same, since the next reader may extract it.

use crate::error::InputError;

#[cfg(not(feature = "archives"))]
pub(crate) fn member(_: &[u8]) -> Result<Vec<u8>, InputError> {
    Err(InputError::NotBuilt("tar archives"))
}

#[cfg(feature = "archives")]
pub(crate) use read::member;

#[cfg(feature = "archives")]
mod read {
    use std::io::Read as _;
    use std::path::{Component, Path};

    use bpfpack_schemas::printable;
    use tar::{Archive, Entry, EntryType};

    use super::InputError;
    use crate::compressed::damaged;
    use crate::limits::{MAX_MEMBERS, MAX_SIZE};

    /// The bytes of the member to run: `package.json` or `package.yaml`; if there is none, the only
    /// member that is named as a package or a module.
    pub(crate) fn member(bytes: &[u8]) -> Result<Vec<u8>, InputError> {
        let bad = |error| damaged("tar", error);
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut archive = Archive::new(bytes);
        for (at, entry) in archive.entries().map_err(bad)?.enumerate() {
            let mut entry = entry.map_err(bad)?;
            if at >= MAX_MEMBERS {
                return Err(InputError::TooManyMembers);
            }
            let name = checked(&mut entry)?;
            if entry.header().entry_type() == EntryType::Directory || !is_wanted(&name) {
                continue;
            }
            let mut content = Vec::new();
            // It is in memory already: what it claims to have cannot be more than there is.
            entry.by_ref().take(MAX_SIZE).read_to_end(&mut content).map_err(bad)?;
            if content.len() as u64 != entry.size() {
                let error = std::io::Error::other(format!("`{name}` ends early"));
                return Err(bad(error));
            }
            found.push((name, content));
        }
        let is_named = |name: &str| {
            let file = name.rsplit('/').next().unwrap_or(name);
            file == "package.json" || file == "package.yaml"
        };
        if found.iter().any(|(name, _)| is_named(name)) {
            found.retain(|(name, _)| is_named(name));
        }
        match found.len() {
            0 => Err(InputError::NoPackage),
            1 => Ok(found.remove(0).1),
            _ => {
                let names: Vec<String> =
                    found.iter().take(5).map(|(name, _)| format!("`{name}`")).collect();
                Err(InputError::SeveralPackages(names.join(", ")))
            }
        }
    }

    /// The name of a member, unless it is one that could be written outside, or is no plain file.
    fn checked(entry: &mut Entry<'_, &[u8]>) -> Result<String, InputError> {
        let is_sparse = is_sparse(entry).map_err(|error| damaged("tar", error))?;
        let bytes = entry.path_bytes();
        let name = printable::clean(&String::from_utf8_lossy(&bytes));
        let refuse = |what| Err(InputError::Member { what, name: name.clone() });
        match entry.header().entry_type() {
            _ if is_sparse => return refuse("the sparse file"),
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => {}
            EntryType::Link | EntryType::Symlink => return refuse("the link"),
            EntryType::GNUSparse => return refuse("the sparse file"),
            _ => return refuse("the special file"),
        }
        let path = String::from_utf8_lossy(&bytes);
        for component in Path::new(&*path).components() {
            match component {
                Component::Normal(_) | Component::CurDir => {}
                Component::ParentDir => return refuse("a name with `..`,"),
                Component::RootDir | Component::Prefix(_) => return refuse("the absolute name"),
            }
        }
        if entry.size() > MAX_SIZE {
            return refuse("the too large file");
        }
        Ok(name)
    }

    /// Whether the content is not that of the file, but only its parts without the holes.
    fn is_sparse(entry: &mut Entry<'_, &[u8]>) -> std::io::Result<bool> {
        let Some(extensions) = entry.pax_extensions()? else { return Ok(false) };
        for extension in extensions {
            if extension?.key_bytes().starts_with(b"GNU.sparse.") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_wanted(name: &str) -> bool {
        [".json", ".yaml", ".wasm"].iter().any(|ending| name.ends_with(ending))
            && !name.ends_with(".skel.json")
            && !name.ends_with(".skel.yaml")
    }
}

#[cfg(all(test, feature = "archives"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use tar::{Builder, EntryType, Header};

    use super::*;

    fn header(kind: EntryType, name: &[u8], size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        header
    }

    fn archive(members: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (kind, name, bytes) in members {
            builder.append(&header(*kind, name.as_bytes(), bytes.len() as u64), *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn the_package_is_found_by_its_name() {
        let file = EntryType::Regular;
        let found = member(&archive(&[
            (EntryType::Directory, "./", b""),
            (file, "./x.skel.json", b"{}"),
            (file, "./other.json", b"[]"),
            (file, "./package.json", b"{1}"),
        ]));
        assert_eq!(found.unwrap(), b"{1}");
        assert_eq!(member(&archive(&[(file, "a/x.wasm", b"\0asm")])).unwrap(), b"\0asm");
        let error = member(&archive(&[(file, "a.json", b"1"), (file, "b.json", b"2")]));
        assert!(
            matches!(error, Err(InputError::SeveralPackages(names)) if names == "`a.json`, `b.json`")
        );
        assert!(matches!(member(&archive(&[(file, "x", b"")])), Err(InputError::NoPackage)));
    }

    #[test]
    fn hostile_members_are_refused() {
        let file = EntryType::Regular;
        for (kind, name, expected) in [
            (file, "../package.json", "the archive has a name with `..`, `../package.json`"),
            (file, "a/../../b", "the archive has a name with `..`, `a/../../b`"),
            (file, "/etc/passwd", "the archive has the absolute name `/etc/passwd`"),
            (EntryType::Symlink, "package.json", "the archive has the link `package.json`"),
            (EntryType::Link, "x", "the archive has the link `x`"),
            // The library looks at the map of a sparse file first, and finds none.
            (EntryType::GNUSparse, "x", "the tar data is damaged"),
            (EntryType::Block, "x\x1b[2J", "the archive has the special file `x\\x1b[2J`"),
        ] {
            let error = member(&archive(&[(kind, name, b""), (file, "package.json", b"{}")]));
            assert_eq!(error.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn sparse_members_of_pax_are_refused() {
        let with = |record: &[u8]| {
            let extension = (EntryType::XHeader, "x", record);
            member(&archive(&[extension, (EntryType::Regular, "package.json", b"{}")]))
        };
        let error = with(b"22 GNU.sparse.major=1\n").unwrap_err().to_string();
        assert_eq!(error, "the archive has the sparse file `package.json`");
        assert_eq!(with(b"22 comment=GNU.sparse\n").unwrap(), b"{}");
        assert!(matches!(with(b"no record"), Err(InputError::Damaged { layer: "tar", .. })));
    }

    #[test]
    fn sizes_that_lie_are_errors() {
        let mut bytes = header(EntryType::Regular, b"package.json", 1 << 40).as_bytes().to_vec();
        bytes.extend([0; 1024]);
        assert!(matches!(
            member(&bytes),
            Err(InputError::Member { what: "the too large file", .. })
        ));
        let mut bytes = header(EntryType::Regular, b"package.json", 5000).as_bytes().to_vec();
        bytes.extend([b'{'; 1024]);
        assert!(matches!(member(&bytes), Err(InputError::Damaged { layer: "tar", .. })));
        // Many empty members.
        let one = header(EntryType::Regular, b"x", 0).as_bytes().to_vec();
        assert!(matches!(member(&one.repeat(5000)), Err(InputError::TooManyMembers)));
    }
}
