// SPDX-License-Identifier: MIT
//! Why an image cannot be pulled or pushed.

use crate::artifact::NotOurs;
use crate::credentials::CredentialsError;
use crate::http::HttpError;
use crate::manifest::ManifestError;
use crate::{BadReference, Digest, text};

/// Why an image cannot be pulled or pushed. Texts of registries in it are short and printable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of the image is wrong.
    #[error(transparent)]
    Reference(#[from] BadReference),
    /// A request failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The stored credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The registry refuses this user.
    #[error("`{host}` {}{}", if *.had_credentials { "refuses the credentials" }
        else { "requires credentials" },
        .message.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Unauthorized {
        /// The registry.
        host: String,
        /// Whether credentials were sent.
        had_credentials: bool,
        /// The message of the registry.
        message: Option<String>,
    },
    /// The registry names a token server that must not receive credentials.
    #[error("`{host}` asks for credentials at `{realm}`: {reason}")]
    Realm {
        /// The registry.
        host: String,
        /// The token server.
        realm: String,
        /// Why it receives none.
        reason: String,
    },
    /// The token server that the registry names is in another domain, so it received no stored
    /// credentials.
    #[error(
        "`{host}` asks for credentials at `{realm}`: stored ones are not sent to another domain"
    )]
    Withheld {
        /// The registry.
        host: String,
        /// The token server.
        realm: String,
    },
    /// There is no such image.
    #[error("there is no image `{0}`")]
    NotFound(String),
    /// The manifest cannot be used.
    #[error("`{image}`: {error}")]
    Manifest {
        /// The image.
        image: String,
        /// The reason.
        error: ManifestError,
    },
    /// The image is something else.
    #[error("`{image}` cannot be run: {error}")]
    NotOurs {
        /// The image.
        image: String,
        /// What it is.
        error: NotOurs,
    },
    /// The registry sent another content than its digest says.
    #[error("`{host}` sent wrong data: the {what} has the digest {actual} instead of {expected}")]
    Digest {
        /// The registry.
        host: String,
        /// Manifest or layer.
        what: &'static str,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what was sent.
        actual: Digest,
    },
    /// The registry sent another number of bytes than the manifest says.
    #[error("`{host}` sent wrong data: the {what} has {actual} bytes instead of {expected}")]
    Size {
        /// The registry.
        host: String,
        /// Which content.
        what: &'static str,
        /// The size in the manifest.
        expected: u64,
        /// The size of what was sent, if it is smaller; otherwise one more than expected.
        actual: u64,
    },
    /// A content exceeds the limit.
    #[error("the {what} of `{image}` is too large: {} of at most {}", text::size(*.size),
        text::size(*.limit))]
    TooLarge {
        /// The image.
        image: String,
        /// Which content.
        what: &'static str,
        /// Its size in the manifest.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The registry answers against the protocol.
    #[error("`{host}`: {reason}")]
    Protocol {
        /// The registry.
        host: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Unauthorized { host, .. } => {
                Some(format!("`ecli login {host}` stores a user name and a password"))
            }
            Error::Withheld { .. } => {
                Some("if you trust it, `ecli pull -u NAME IMAGE` sends a password there".to_owned())
            }
            Error::NotFound(_) => {
                Some("some registries say so, too, if an image is private".to_owned())
            }
            Error::NotOurs { error, .. } => error.hint().map(str::to_owned),
            Error::Manifest { error: ManifestError::Index, .. } => {
                Some("name one of its images by its digest: IMAGE@sha256:…".to_owned())
            }
            Error::Http(HttpError::Tls { .. }) => Some(
                "SSL_CERT_FILE names a file with other certificates to trust; --insecure \
                 connects without TLS"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
