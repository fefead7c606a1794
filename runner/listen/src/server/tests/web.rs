// SPDX-License-Identifier: MIT
//! Users with passwords, with real connections.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::WebConfig;
use crate::auth::tests::SECRET;

#[cfg(feature = "tls")]
mod tls;

/// Writes a file that only this user can write, as a new one.
fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let (path, new) = (directory.join(name), directory.join("new"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, &path).unwrap();
    path
}

fn server_of(path: &Path) -> Server {
    let web = WebConfig::load(path, |error| panic!("{error}")).unwrap();
    server_with(Config { web: Some(web), workers: 2, ..Config::default() })
}

fn request(user: &str, password: &str) -> String {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    format!("GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\r\n")
}

#[test]
fn only_users_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "basic_auth_users: {{alice: {SECRET}}}
http_server_config: {{headers: {{X-Frame-Options: deny}}}}"
    );
    let path = write(directory.path(), "web.yml", &text);
    let server = server_of(&path);
    let mut stream = connect(&server);
    let mut ask = |request: &str| {
        stream.write_all(request.as_bytes()).unwrap();
        let (head, body) = response(&mut stream);
        assert!(head.contains("\r\nX-Frame-Options: deny\r\n"), "{head}");
        let is_allowed = head.starts_with("HTTP/1.1 200 ");
        assert_eq!(is_allowed, body == b"path /a\n");
        assert!(is_allowed || head.contains("\r\nWWW-Authenticate: Basic realm="), "{head}");
        is_allowed
    };
    assert!(!ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(!ask(&request("alice", "wrong")));
    assert!(!ask(&request("bob", "secret")));
    assert!(ask(&request("alice", "secret")));
    assert!(ask(&request("alice", "secret")));
    write(directory.path(), "web.yml", &text.replace("alice", "bob"));
    assert!(!ask(&request("alice", "secret")));
    assert!(ask(&request("bob", "secret")));
}

/// Two workers, and several clients that guess: the one whose password is known is not the last.
#[test]
fn guesses_do_not_keep_others_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let slow = SECRET.replacen("$04$", "$08$", 1);
    let text = format!("basic_auth_users: {{guessed: {slow}, alice: {SECRET}}}");
    let server = server_of(&write(directory.path(), "web.yml", &text));
    let mut alice = connect(&server);
    let mut ask = move || {
        alice.write_all(request("alice", "secret").as_bytes()).unwrap();
        assert!(response(&mut alice).0.starts_with("HTTP/1.1 200 "));
        Instant::now()
    };
    ask();
    let mut guesses: Vec<_> = (0..8).map(|_| connect(&server)).collect();
    for stream in &mut guesses {
        stream.write_all(request("guessed", "x").as_bytes()).unwrap();
    }
    let refused = std::thread::spawn(move || {
        for stream in &mut guesses {
            assert!(response(stream).0.starts_with("HTTP/1.1 401 "));
        }
        Instant::now()
    });
    let answered = ask();
    assert!(answered < refused.join().unwrap());
}
