// SPDX-License-Identifier: MIT
//! Why a text is not a package.

use super::limits::{
    MAX_DEPTH, MAX_MODULES, MAX_MODULES_SIZE, MAX_OBJECT_SIZE, MAX_PACKAGE_SIZE, MAX_TEXT,
    MAX_VALUES, MAX_VARIANTS, most_unpacked,
};

/// Why a text is not a package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The text is larger than [`MAX_PACKAGE_SIZE`].
    #[error("the package has {size} bytes; the limit is {MAX_PACKAGE_SIZE}")]
    TooLarge {
        /// Size of the text in bytes.
        size: u64,
    },
    /// The text is not JSON.
    #[error("not JSON: {0}")]
    NotJson(serde_json::Error),
    /// It holds more than [`MAX_VALUES`].
    #[error(
        "the package has more than {MAX_VALUES} keys and values; the next is at line {line}, \
         column {column}"
    )]
    TooManyValues {
        /// The line of the first value beyond the limit.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// Arrays and objects are nested deeper than [`MAX_DEPTH`].
    #[error(
        "the package is nested too deeply at line {line}, column {column}; the limit is \
         {MAX_DEPTH} levels"
    )]
    TooDeep {
        /// The line of the first value beyond the limit.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// A key, or a string that messages may show, is longer than [`MAX_TEXT`].
    #[error(
        "the text that ends at line {line}, column {column} has {size} bytes; the limit is \
         {MAX_TEXT}"
    )]
    TextTooLong {
        /// Its size in bytes.
        size: usize,
        /// The line of its end.
        line: usize,
        /// The column of its end.
        column: usize,
    },
    /// JSON, but a key is missing or has the wrong type.
    #[error("`{path}`: {error}")]
    BadKey {
        /// The path of the key: `meta.bpf_skel.maps[1]`.
        path: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// JSON that is only the description.
    #[error("this is only the description (`X.skel.json`), without the BPF object")]
    SkeletonOnly,
    /// `bpf_object` is not base64.
    #[error("`bpf_object`: not base64: {0}")]
    Base64(base64::DecodeError),
    /// `bpf_object` is not a zlib stream, or is truncated.
    #[error("`bpf_object`: not a zlib stream: {0}")]
    Zlib(std::io::Error),
    /// `bpf_object_size` exceeds [`MAX_OBJECT_SIZE`].
    #[error("`bpf_object_size`: {size} bytes; the limit is {MAX_OBJECT_SIZE}")]
    ObjectTooLarge {
        /// The size that the package states.
        size: u64,
    },
    /// A variant in `bpf_object_variants` cannot be unpacked, or its name is not valid.
    #[error("`bpf_object_variants`: `{cpu}`: {what}")]
    BadVariant {
        /// Its instruction set.
        cpu: String,
        /// What is wrong with it.
        what: String,
    },
    /// There are more variants than [`MAX_VARIANTS`], or their total size exceeds
    /// [`MAX_OBJECT_SIZE`].
    #[error(
        "`bpf_object_variants`: {count} objects of {size} bytes; the limit is {MAX_VARIANTS} objects \
         and {MAX_OBJECT_SIZE} bytes together"
    )]
    TooManyVariants {
        /// How many there are.
        count: usize,
        /// The total size that the package states, in bytes.
        size: u64,
    },
    /// A module in `wasm_modules` cannot be unpacked.
    #[error("`wasm_modules`: `{name}`: {what}")]
    BadModule {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// There are more modules than [`MAX_MODULES`], or their total size exceeds
    /// [`MAX_MODULES_SIZE`].
    #[error(
        "`wasm_modules`: {count} modules of {size} bytes; the limit is {MAX_MODULES} modules and \
         {MAX_MODULES_SIZE} bytes together"
    )]
    TooManyModules {
        /// How many there are.
        count: usize,
        /// The total size that the package states, in bytes.
        size: u64,
    },
    /// The variants, the modules and three times the object exceed [`super::most_unpacked`].
    #[error(
        "an object of {object} bytes, with variants and modules of {others}, is too large for a \
         package of {text}: three times the object and the others together are limited to {} bytes",
        most_unpacked(*.text)
    )]
    UnpacksTooLarge {
        /// The size of the object that the package states, in bytes.
        object: u64,
        /// The total size of the variants and modules that it states, in bytes.
        others: u64,
        /// Size of the text in bytes.
        text: u64,
    },
    /// `bpf_object_size` is not the size of the object.
    #[error(
        "`bpf_object_size` is {stated} bytes, but `bpf_object` has {}{found}",
        if *.found > *.stated { "at least " } else { "" }
    )]
    SizeMismatch {
        /// The size that the package states.
        stated: u64,
        /// The actual size; if the object is larger than stated, the number of bytes read before
        /// giving up.
        found: u64,
    },
}

impl PackageError {
    /// Whether the package may be valid, but exceeds a limit.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            PackageError::TooLarge { .. }
                | PackageError::TooManyValues { .. }
                | PackageError::TooDeep { .. }
                | PackageError::TextTooLong { .. }
                | PackageError::ObjectTooLarge { .. }
                | PackageError::TooManyVariants { .. }
                | PackageError::TooManyModules { .. }
                | PackageError::UnpacksTooLarge { .. }
        )
    }
}
