// SPDX-License-Identifier: MIT
//! User names and passwords for registries, in the files of docker and podman, and from the
//! programs that these files name.

mod config;
mod helper;
mod store;

use std::fmt;
use std::path::PathBuf;

#[cfg(fuzzing)]
pub(crate) use config::run;
pub use store::Store;

/// What a user shows to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User name and password.
    Password {
        /// The user name.
        user: String,
        /// The password, or an access token in its place.
        password: String,
    },
    /// A token that the token server exchanges for others.
    IdentityToken(String),
}

/// Secrets are not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Password { user, .. } => write!(f, "Password of {user:?}"),
            Credentials::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// Where credentials for a registry come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Login {
    /// No credentials are sent.
    Anonymous,
    /// Those of the files of docker and podman, if these have any.
    #[default]
    Stored,
    /// These.
    Given(Credentials),
}

/// Why stored credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read or written.
    #[error("cannot {what} `{}`: {error}", .path.display())]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The content of the file is wrong.
    #[error("`{}`: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A program that keeps credentials failed.
    #[error("`{program}`: {reason}")]
    Helper {
        /// The program.
        program: String,
        /// The reason.
        reason: String,
    },
    /// There is no place for the file.
    #[error("no place for credentials: neither HOME nor DOCKER_CONFIG is set")]
    NoHome,
}
