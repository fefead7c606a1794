// SPDX-License-Identifier: MIT
//! `ecli login` and `ecli logout`: the files of docker and podman.

use std::io::{self, Read as _};

use bpfpack_registry::check_login;
use bpfpack_registry::credentials::{Credentials, Store};

use super::prompt;
use crate::args::{Login, Logout};
use crate::failure::{Failure, exit_code};
use crate::talk::Talk;
use crate::transfer::{failure, of_credentials};

/// The longest password on standard input.
const MAX_PASSWORD: u64 = 64 << 10;

pub(super) fn login(login: Login, talk: &Talk) -> Result<(), Failure> {
    let (host, is_plain) = host(&login.registry)?;
    let user = match login.connection.user {
        Some(user) => user,
        None => prompt::line("User: ")?,
    };
    if user.is_empty() || user.contains(':') {
        return Err(Failure::usage("a user name must not be empty, and must not have a colon"));
    }
    let password = match login.connection.password {
        Some(password) => password,
        None if login.password_stdin => password_of_stdin()?,
        None => prompt::secret(&format!("Password of {user}: "))?,
    };
    let credentials = Credentials::Password { user: user.clone(), password: password.clone() };
    check_login(&host, login.connection.insecure || is_plain, &credentials)
        .map_err(|error| failure(error, &format!("cannot log in to `{host}`")))?;
    let store = Store::of_environment();
    let path = store.save(&host, &user, &password).map_err(of_credentials)?;
    talk.note(&format!("stored the password of {user} for {host} in `{}`", path.display()));
    Ok(())
}

pub(super) fn logout(logout: &Logout, talk: &Talk) -> Result<(), Failure> {
    let (host, _) = host(&logout.registry)?;
    let store = Store::of_environment();
    let changed = store.remove(&host).map_err(of_credentials)?;
    for path in &changed {
        talk.note(&format!("removed the password for {host} from `{}`", path.display()));
    }
    if changed.is_empty() {
        talk.note(&format!("there is no password for {host}"));
    }
    Ok(())
}

/// The host in the name of a registry, and whether its scheme is http.
fn host(text: &str) -> Result<(String, bool), Failure> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
    if !is_host || !matches!(scheme, "https" | "http" | "oci") {
        let text = format!("`{text}` is not the host of a registry");
        return Err(Failure::usage(text).hint("for example ghcr.io"));
    }
    Ok((host.to_lowercase(), scheme == "http"))
}

/// Reads the password up to the end, without the line's end.
fn password_of_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().take(MAX_PASSWORD).read_to_string(&mut text).map_err(|error| {
        let error = anyhow::Error::new(error).context("cannot read the password");
        Failure::new(exit_code::OTHER, error)
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn hosts() {
        let of = |text| host(text).ok();
        for text in ["ghcr.io", "GHCR.io/", "https://ghcr.io", "oci://ghcr.io/"] {
            assert_eq!(of(text), Some(("ghcr.io".to_owned(), false)), "{text}");
        }
        assert_eq!(of("http://127.0.0.1:5000"), Some(("127.0.0.1:5000".to_owned(), true)));
        for text in ["", "https://", "ftp://h.io", "h.io/a", "u@h.io", "u:p@h.io"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
