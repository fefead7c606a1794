// SPDX-License-Identifier: MIT
//! Public keys of minisign.

use minisign_verify::{PublicKey, Signature};

/// A public key that the user trusts.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name: the name of its file without `.pub`.
    pub name: String,
    key: PublicKey,
}

/// Why a key or a signature cannot be read, or does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no public key.
    #[error("it is not a public key of minisign: {0}")]
    BadKey(minisign_verify::Error),
    /// The text is no signature.
    #[error("it is not a signature of minisign: {0}")]
    BadSignature(minisign_verify::Error),
    /// The signature was made by another key, or for other bytes.
    #[error("the signature does not fit: {0}")]
    Wrong(minisign_verify::Error),
}

impl Key {
    /// Reads the text of a key file, or the one line in it that is the key.
    ///
    /// # Errors
    /// Returns an error if the text is no key.
    pub fn new(name: &str, text: &str) -> Result<Key, KeyError> {
        let text = text.trim();
        let key = match text.contains('\n') {
            true => PublicKey::decode(text),
            false => PublicKey::from_base64(text),
        };
        key.map(|key| Key { name: name.to_owned(), key }).map_err(KeyError::BadKey)
    }

    /// Returns the comment that the signature vouches for.
    ///
    /// # Errors
    /// Returns an error if the signature cannot be read or does not fit.
    pub fn verify(&self, bytes: &[u8], signature: &str) -> Result<String, KeyError> {
        let signature = Signature::decode(signature).map_err(KeyError::BadSignature)?;
        // Signatures without a hash are of versions of minisign before 0.6.
        let allows_legacy = true;
        self.key.verify(bytes, &signature, allows_legacy).map_err(KeyError::Wrong)?;
        Ok(signature.trusted_comment().to_owned())
    }
}
