// SPDX-License-Identifier: MIT
//! Programs that keep credentials: `docker-credential-NAME get` reads the key of a registry and
//! writes JSON (github.com/docker/docker-credential-helpers).

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Credentials, CredentialsError};
use crate::text::short;

/// The largest answer.
const MAX_ANSWER: u64 = 64 << 10;

/// What a program answers if it has no credentials, with exit code 1.
const NONE: &str = "credentials not found";

/// The user name that stands for an identity token.
const TOKEN: &str = "<token>";

/// Asks a program in `PATH`.
pub(super) fn ask(name: &str, key: &str) -> Result<Option<Credentials>, CredentialsError> {
    let program = format!("docker-credential-{name}");
    let error = |reason: String| CredentialsError::Helper { program: short(&program), reason };
    if !is_name(name) {
        return Err(error("this is not the name of a program".to_owned()));
    }
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|cause| error(format!("cannot be run: {cause}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read answers with an error of its own.
        let _ = writeln!(stdin, "{key}");
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = stdout.take(MAX_ANSWER).read_to_end(&mut answer);
    }
    let status = child.wait().map_err(|cause| error(cause.to_string()))?;
    read(&answer, status.success()).map_err(error)
}

/// A file name, so that nothing outside of `PATH` runs.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn read(answer: &[u8], has_succeeded: bool) -> Result<Option<Credentials>, String> {
    if !has_succeeded {
        let text = String::from_utf8_lossy(answer);
        if text.contains(NONE) {
            return Ok(None);
        }
        return Err(if text.trim().is_empty() { "it failed".to_owned() } else { short(&text) });
    }
    let value: Value =
        serde_json::from_slice(answer).map_err(|_| "its answer is not JSON".to_owned())?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (user, secret) = text("Username").zip(text("Secret")).ok_or("its answer is incomplete")?;
    Ok(Some(match user == TOKEN {
        true => Credentials::IdentityToken(secret),
        false => Credentials::Password { user, password: secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let password = Credentials::Password { user: "u".into(), password: "p".into() };
        let of = |text: &str, is_success| read(text.as_bytes(), is_success);
        let answer = r#"{"ServerURL":"h.io","Username":"u","Secret":"p"}"#;
        assert_eq!(of(answer, true), Ok(Some(password)));
        let token = Credentials::IdentityToken("t".to_owned());
        assert_eq!(of(r#"{"Username":"<token>","Secret":"t"}"#, true), Ok(Some(token)));
        assert_eq!(of("credentials not found in native keychain\n", false), Ok(None));
        assert_eq!(of("locked\x1b[31m", false), Err("locked\\x1b[31m".to_owned()));
        assert!(of("", false).is_err() && of("{}", true).is_err() && of("x", true).is_err());
    }

    #[test]
    fn only_names_are_run() {
        for name in ["", "../x", "a/b", "a b", "x;y", "x\n"] {
            assert!(ask(name, "h.io").is_err(), "{name}");
        }
        assert!(ask("bpfpack-does-not-exist", "h.io").unwrap_err().to_string().contains("run"));
    }
}
