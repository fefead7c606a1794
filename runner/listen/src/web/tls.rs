// SPDX-License-Identifier: MIT
//! The configuration of TLS, from PEM files.

use std::path::Path;
use std::sync::Arc;

use super::WebError;
use super::file::Files;
use super::settings::Tls;
use crate::transport::TlsConfig;

#[cfg(not(feature = "tls"))]
pub(super) fn config(
    _: &Tls,
    path: &Path,
    _: &Path,
    _: &mut Files,
) -> Result<Arc<TlsConfig>, WebError> {
    let (key, reason) = ("tls_server_config".to_owned(), "this build has no TLS".to_owned());
    Err(WebError::Key { path: path.to_owned(), key, reason })
}

/// The configuration of connections. `path` is the file with the settings, and `directory` that of
/// relative paths.
#[cfg(feature = "tls")]
pub(super) fn config(
    tls: &Tls,
    path: &Path,
    directory: &Path,
    files: &mut Files,
) -> Result<Arc<TlsConfig>, WebError> {
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
    use rustls::version::{TLS12, TLS13};

    use super::settings::Clients;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let bad = |path: &Path, reason: &dyn std::fmt::Display| WebError::Pem {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let versions = match (tls.without_12, tls.without_13) {
        (true, _) => &[&TLS13][..],
        (_, true) => &[&TLS12],
        _ => &[&TLS13, &TLS12],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| bad(path, &error))?;
    let builder = match &tls.clients {
        Clients::Any => builder.with_no_client_auth(),
        Clients::Verified { authorities, optional } => {
            let path = directory.join(authorities);
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(&path, files)? {
                roots.add(certificate).map_err(|error| bad(&path, &error))?;
            }
            let mut verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            if *optional {
                verifier = verifier.allow_unauthenticated();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(|error| bad(&path, &error))?)
        }
    };
    let chain = certificates(&directory.join(&tls.certificate), files)?;
    let path = directory.join(&tls.key);
    let key = all::<PrivateKeyDer<'static>>(&path, files)?.into_iter().next();
    let key = key.ok_or_else(|| bad(&path, &"it has no private key in PEM without a password"))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => bad(&path, &"the key is not that of the certificate"),
        error => bad(&path, &error),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Scrapes keep their connections. What is not stored cannot outlive a change of the files.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[cfg(feature = "tls")]
fn certificates(
    path: &Path,
    files: &mut Files,
) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, WebError> {
    let found = all(path, files)?;
    match found.is_empty() {
        true => {
            let reason = "it has no certificates in PEM".to_owned();
            Err(WebError::Pem { path: path.to_owned(), reason })
        }
        false => Ok(found),
    }
}

/// All keys or certificates that a PEM file has.
#[cfg(feature = "tls")]
fn all<T: rustls::pki_types::pem::PemObject>(
    path: &Path,
    files: &mut Files,
) -> Result<Vec<T>, WebError> {
    let pem = files.read(path)?;
    T::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| {
        let path = path.to_owned();
        WebError::Pem { path, reason: error.to_string() }
    })
}
