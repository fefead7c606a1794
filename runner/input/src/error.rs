// SPDX-License-Identifier: MIT
//! Why bytes hold nothing that `ecli` can run.

use std::io;

/// Why bytes hold nothing that `ecli` can run. Names of members are shown without control
/// characters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// It is an object of clang, or another ELF file.
    #[error("it is an ELF file without a package")]
    Object,
    /// A layer cannot be read.
    #[error("the {layer} data is damaged")]
    Damaged {
        /// The kind of layer.
        layer: &'static str,
        /// What its reader says.
        source: io::Error,
    },
    /// A layer unpacks to more than [`MAX_SIZE`](crate::MAX_SIZE).
    #[error("the {layer} data unpacks to more than {} MiB", crate::limits::MAX_SIZE >> 20)]
    TooLarge {
        /// The kind of layer.
        layer: &'static str,
    },
    /// Archives in archives, and so on.
    #[error("there are more than {} layers of archives and compression", crate::limits::MAX_LAYERS)]
    TooManyLayers,
    /// An archive has a member that no package needs.
    #[error("the archive has {what} `{name}`")]
    Member {
        /// What is wrong with the member.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// An archive has too many members.
    #[error("the archive has more than {} members", crate::limits::MAX_MEMBERS)]
    TooManyMembers,
    /// An archive has nothing to run.
    #[error("the archive has no package.json")]
    NoPackage,
    /// An archive has several things to run.
    #[error("the archive has several packages: {0}")]
    SeveralPackages(String),
    /// The text looks like YAML, and is none.
    #[error("it is not a package in YAML: {0}")]
    Yaml(String),
    /// This build cannot read the kind.
    #[error("this ecli was built without support for {0}")]
    NotBuilt(&'static str),
}

impl InputError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            InputError::Object => Some("`ecc X.bpf.o` packs an object"),
            InputError::Damaged { .. } => Some("is the file incomplete?"),
            InputError::NoPackage | InputError::SeveralPackages(_) => {
                Some("name the package `package.json` in the archive, or extract it")
            }
            InputError::NotBuilt(_) => {
                Some("use the full ecli, or unpack it first: gzip -d, zstd -d, tar -x")
            }
            _ => None,
        }
    }
}
