// SPDX-License-Identifier: MIT
//! Why a web configuration file cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a web configuration file, or a file that it names, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A file cannot be read.
    #[error("`{}`: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// Other users could change the file and give themselves access.
    #[error("`{}` is not used: it must belong to root or this user, and nobody else may write to \
        it (its owner is {uid}, its mode is {mode:04o})", .path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// The user id of the owner.
        uid: u32,
        /// The permission bits.
        mode: u32,
    },
    /// The file is not YAML.
    #[error("`{}` is not YAML: {reason}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A key or its value cannot be used.
    #[error("`{}`: `{key}`: {reason}", .path.display())]
    Key {
        /// The web configuration file.
        path: PathBuf,
        /// The key, with those above it.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A file with certificates or a key cannot be used.
    #[error("`{}`: {reason}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A change that takes effect only when the server is started again.
    #[error("`{}`: {reason}; restart to change that", .path.display())]
    Restart {
        /// The web configuration file.
        path: PathBuf,
        /// What changed.
        reason: &'static str,
    },
}
