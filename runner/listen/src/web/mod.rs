// SPDX-License-Identifier: MIT
//! The *web configuration file* of Prometheus exporters (`--web.config.file`): TLS, certificates of
//! clients, users with passwords.

mod error;
mod file;
mod node;
mod settings;
mod tls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::Users;
use crate::transport::TlsConfig;
use file::Files;
use settings::{BadSettings, Settings};

pub use error::WebError;

/// Says that a changed file cannot be used.
type OnError = dyn Fn(&WebError) + Send + Sync;

/// A web configuration file and the certificates that it names. The format is that of
/// [exporter-toolkit](https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md).
///
/// Supported are, in `tls_server_config`, `cert_file`, `key_file`, `client_auth_type`
/// (`NoClientCert`, `VerifyClientCertIfGiven`, `RequireAndVerifyClientCert`), `client_ca_file`,
/// `min_version` and `max_version` (`TLS12`, `TLS13`); in `http_server_config`, `headers` and
/// `http2: false`; and `basic_auth_users`. Any other setting is an error. All files must belong to
/// root or this user, and nobody else may write to them.
///
/// The files are looked at for each request, and read again when they have changed. If the new ones
/// cannot be used, the previous ones remain in force. Whether there is TLS, and whether there are
/// users, cannot change: a file that is being written is no reason to let everybody in.
pub struct WebConfig {
    path: PathBuf,
    state: Mutex<State>,
    on_error: Box<OnError>,
}

struct State {
    rules: Arc<Rules>,
    /// As they were at the last attempt to read them.
    files: Files,
}

/// What the files say.
#[derive(Debug)]
pub(crate) struct Rules {
    /// If connections are encrypted.
    pub(crate) tls: Option<Arc<TlsConfig>>,
    /// Whether clients need a certificate, or may have one.
    pub(crate) verifies_clients: bool,
    /// If there are users.
    pub(crate) users: Option<Users>,
    /// Headers of all responses.
    pub(crate) headers: Vec<(String, String)>,
}

impl WebConfig {
    /// Reads the file. Paths in it are relative to its directory. `on_error` is called, by a thread
    /// of the server, once for each change of a file that cannot be used.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, can be changed by others, or has a setting that is
    /// wrong, unknown or not supported.
    pub fn load(
        path: &Path,
        on_error: impl Fn(&WebError) + Send + Sync + 'static,
    ) -> Result<WebConfig, WebError> {
        WebConfig::load_boxed(path, Box::new(on_error))
    }

    fn load_boxed(path: &Path, on_error: Box<OnError>) -> Result<WebConfig, WebError> {
        let mut files = Files::default();
        let rules = Arc::new(read(path, &mut files)?);
        let state = Mutex::new(State { rules, files });
        Ok(WebConfig { path: path.to_owned(), state, on_error })
    }

    /// Whether connections are encrypted: the scheme is https.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        self.lock().rules.tls.is_some()
    }

    /// Whether clients need a password.
    #[must_use]
    pub fn has_users(&self) -> bool {
        self.lock().rules.users.is_some()
    }

    /// The rules of now: those of the files, or the last ones that could be used.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        let mut state = self.lock();
        let mut failure = None;
        if state.files.have_changed() {
            let mut files = Files::default();
            match read(&self.path, &mut files).and_then(|new| self.check(&state.rules, new)) {
                Ok(new) => state.rules = Arc::new(new),
                Err(error) => failure = Some(error),
            }
            state.files = files;
        }
        let rules = Arc::clone(&state.rules);
        drop(state);
        if let Some(error) = failure {
            (self.on_error)(&error);
        }
        rules
    }

    /// Refuses what would change how clients have to connect.
    fn check(&self, old: &Rules, new: Rules) -> Result<Rules, WebError> {
        let reason = match () {
            () if old.tls.is_some() != new.tls.is_some() => "it turns TLS on or off",
            () if old.users.is_some() != new.users.is_some() => "it has users, or none any more",
            () => return Ok(new),
        };
        Err(WebError::Restart { path: self.path.clone(), reason })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

fn read(path: &Path, files: &mut Files) -> Result<Rules, WebError> {
    let text = files.read(path)?;
    let Settings { tls, headers, users } = settings::parse(&text).map_err(|bad| {
        let path = path.to_owned();
        match bad {
            BadSettings::Syntax(reason) => WebError::Syntax { path, reason },
            BadSettings::Key(key, reason) => WebError::Key { path, key, reason },
        }
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let verifies_clients = tls.as_ref().is_some_and(|tls| tls.clients != settings::Clients::Any);
    let tls = match tls {
        Some(tls) => Some(tls::config(&tls, path, directory, files)?),
        None => None,
    };
    let users = match users.is_empty() {
        true => None,
        false => {
            let failed = |error| WebError::Read { path: path.to_owned(), error };
            Some(Users::new(users).map_err(failed)?)
        }
    };
    Ok(Rules { tls, verifies_clients, users, headers })
}

/// Parses any bytes as settings.
#[cfg(fuzzing)]
pub(crate) fn fuzz(data: &[u8]) {
    let _ = settings::parse(data);
}

#[cfg(test)]
mod tests;
