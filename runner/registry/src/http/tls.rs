// SPDX-License-Identifier: MIT
//! The certificates that TLS connections trust: those of the system, or of the file that
//! `SSL_CERT_FILE` names, as OpenSSL does.

#![cfg_attr(not(feature = "tls"), allow(unused))]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::HttpError;

/// Where distributions keep the certificates of authorities in one file.
const FILES: [&str; 5] = [
    // Debian, Ubuntu, Arch, Gentoo
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    // openSUSE
    "/etc/ssl/ca-bundle.pem",
    // Alpine
    "/etc/ssl/cert.pem",
];

/// The file with certificates: the one that the environment names, or the first that exists.
fn file(given: Option<OsString>, exists: impl Fn(&Path) -> bool) -> Result<PathBuf, HttpError> {
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        return Ok(given.into());
    }
    let found = FILES.iter().map(Path::new).find(|path| exists(path));
    found.map(Path::to_owned).ok_or_else(|| {
        let text = "the system has none; install ca-certificates, or name a file by SSL_CERT_FILE";
        HttpError::NoCertificates(text.to_owned())
    })
}

/// The configuration of TLS connections.
#[cfg(feature = "tls")]
pub(super) fn config() -> Result<ureq::tls::TlsConfig, HttpError> {
    use std::sync::Arc;
    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

    let path = file(std::env::var_os("SSL_CERT_FILE"), Path::exists)?;
    let bad = |reason: String| HttpError::NoCertificates(format!("`{}`: {reason}", path.display()));
    let pem = std::fs::read(&path).map_err(|error| bad(error.to_string()))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(bad("it has no certificates in PEM".to_owned()));
    }
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_file() {
        let all = |_: &Path| true;
        assert_eq!(file(Some("/x.pem".into()), all).unwrap(), Path::new("/x.pem"));
        assert_eq!(file(Some("".into()), all).unwrap(), Path::new(FILES[0]));
        let only_alpine = |path: &Path| path == Path::new(FILES[4]);
        assert_eq!(file(None, only_alpine).unwrap(), Path::new(FILES[4]));
        assert!(file(None, |_| false).unwrap_err().to_string().contains("SSL_CERT_FILE"));
    }
}
