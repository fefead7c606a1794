// SPDX-License-Identifier: MIT

use super::*;
use crate::auth::tests::SECRET;

fn ok(text: &str) -> Settings {
    parse(text.as_bytes()).unwrap()
}

#[test]
fn everything() {
    let settings = ok(&format!(
        "tls_server_config:
  cert_file: server.crt
  key_file: /etc/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  min_version: TLS13
  max_version: TLS13
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=60
    X-XSS-Protection:
basic_auth_users:
  alice: {SECRET}
  b.ob: {SECRET}
"
    ));
    let authorities = "ca.crt".to_owned();
    let tls = Tls {
        certificate: "server.crt".to_owned(),
        key: "/etc/server.key".to_owned(),
        clients: Clients::Verified { authorities, optional: false },
        without_12: true,
        without_13: false,
    };
    assert_eq!(settings.tls, Some(tls));
    let headers: Vec<_> = settings.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["X-Frame-Options", "Strict-Transport-Security"]);
    let users: Vec<_> = settings.users.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(users, ["alice", "b.ob"]);
}

#[test]
fn nothing() {
    for text in ["", "{}", "# x", "tls_server_config:\nbasic_auth_users: {}\n"] {
        let settings = ok(text);
        assert!(settings.tls.is_none() && settings.users.is_empty(), "{text}");
    }
}

#[test]
fn bad_settings() {
    let pair = "cert_file: a, key_file: b";
    let tls = |more: &str| format!("tls_server_config: {{{pair}, {more}}}");
    for (text, key, reason) in [
        ("x: 1".to_owned(), "x", "no such setting"),
        ("[]".to_owned(), "", "not a mapping"),
        ("rate_limit: {burst: 1}".to_owned(), "rate_limit", "does not have"),
        ("tls_server_config: x".to_owned(), "tls_server_config", "not a mapping"),
        ("tls_server_config: {key_file: b}".to_owned(), "tls_server_config", "cert_file is"),
        ("tls_server_config: {cert_file: b}".to_owned(), "tls_server_config", "key_file is"),
        (tls("x: 1"), "tls_server_config.x", "no such setting"),
        (tls("cert: x"), "tls_server_config.cert", "from files only"),
        (tls("key: x"), "tls_server_config.key", "from files only"),
        (tls("cipher_suites: []"), "tls_server_config.cipher_suites", "does not have"),
        (tls("curve_preferences: []"), "tls_server_config.curve_preferences", "does not have"),
        (tls("client_allowed_sans: [a]"), "tls_server_config.client_allowed_sans", "does not"),
        (
            tls("prefer_server_cipher_suites: true"),
            "tls_server_config.prefer_server_cipher_suites",
            "does not have",
        ),
        (tls("min_version: TLS11"), "tls_server_config.min_version", "TLS12 or TLS13"),
        (tls("min_version: 1.2"), "tls_server_config.min_version", "not a text"),
        (tls("min_version: TLS13, max_version: TLS12"), "tls_server_config", "higher"),
        (tls("client_auth_type: x"), "tls_server_config.client_auth_type", "is not NoClient"),
        (
            tls("client_auth_type: RequireAnyClientCert"),
            "tls_server_config.client_auth_type",
            "protect nothing",
        ),
        (tls("client_ca_file: c"), "tls_server_config", "client_ca_file needs"),
        (
            tls("client_auth_type: RequireAndVerifyClientCert"),
            "tls_server_config",
            "client_ca_file is missing",
        ),
        ("http_server_config: {http2: true}".to_owned(), "http_server_config.http2", "false"),
        ("http_server_config: {x: true}".to_owned(), "http_server_config.x", "no such"),
        (
            "http_server_config: {headers: {Server: x}}".to_owned(),
            "http_server_config.headers.Server",
            "cannot be set",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: allow}}".to_owned(),
            "http_server_config.headers.X-Frame-Options",
            "deny or sameorigin",
        ),
        (
            r#"http_server_config: {headers: {X-XSS-Protection: "a\r\nb"}}"#.to_owned(),
            "http_server_config.headers.X-XSS-Protection",
            "characters",
        ),
        ("basic_auth_users: {a: secret}".to_owned(), "basic_auth_users.a", "htpasswd"),
        ("basic_auth_users: {a: 1}".to_owned(), "basic_auth_users.a", "not a text"),
        ("basic_auth_users: {\"a:b\": x}".to_owned(), "basic_auth_users.a:b", "no colon"),
        ("basic_auth_users: {\"\": x}".to_owned(), "basic_auth_users.", "not empty"),
        ("basic_auth_users: [a]".to_owned(), "basic_auth_users", "not a mapping"),
    ] {
        match parse(text.as_bytes()) {
            Err(BadSettings::Key(found, why)) => {
                assert_eq!(found, key, "{text}");
                assert!(why.contains(reason), "{text}: {why}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn bad_yaml() {
    let deep = "[".repeat(10_000);
    let wide = format!("x: [{}]", "1,".repeat(MAX_MARKS));
    for text in [
        "{",
        "a: b: c",
        "a: 1\na: 2",
        "1: 1",
        "a: {~: 1}",
        "? [a]\n: 1",
        "\u{0}",
        "a: *b",
        &deep,
        &wide,
    ] {
        let result = parse(text.as_bytes());
        assert!(matches!(result, Err(BadSettings::Syntax(_))), "{text:.20}: {result:?}");
    }
    assert!(matches!(parse(b"\xff"), Err(BadSettings::Syntax(_))));
}
