// SPDX-License-Identifier: MIT
//! Pulls and pushes, with a server of the test that also lies.

use super::*;
use crate::artifact::{Contents, Kind};
use crate::http::server::{Seen, Server, answer};
use crate::manifest::OCI_MANIFEST;
use crate::{BadReference, Digest};

const PACKAGE: &[u8] = b"{\"package\":1}";

fn contents() -> Contents {
    Contents { package: Some(PACKAGE.to_vec()), ..Contents::default() }
}

fn options(login: Login) -> Options<'static> {
    Options { login, insecure: false, max_size: 1000, progress: None }
}

fn password() -> Login {
    Login::Given(Credentials::Password { user: "u".into(), password: "p".into() })
}

fn reference(server: &Server) -> Reference {
    format!("{}/a/b:1", server.host()).parse().unwrap()
}

/// Answers like a registry with one package.
fn registry(seen: &Seen) -> Vec<u8> {
    let image = contents().image();
    let blob = format!("GET /v2/a/b/blobs/{}", Digest::of(PACKAGE));
    let manifest =
        ["GET /v2/a/b/manifests/1".to_owned(), format!("GET /v2/a/b/manifests/{}", image.digest())];
    let content_type = format!("Content-Type: {OCI_MANIFEST}");
    match &seen.line {
        line if line == "GET /v2/" => answer(200, &[], b"{}"),
        line if manifest.contains(line) => answer(200, &[&content_type], &image.manifest),
        line if *line == blob => answer(200, &[], PACKAGE),
        _ => answer(404, &[], br#"{"errors":[{"code":"UNKNOWN"}]}"#),
    }
}

fn pull(server: &Server, login: Login) -> Result<Pulled, Error> {
    pull_package(&reference(server), &options(login))
}

#[test]
fn a_package_is_pulled() {
    let server = Server::start(|seen, _| registry(seen));
    let pulled = pull(&server, Login::Anonymous).unwrap();
    assert_eq!((pulled.bytes.as_slice(), pulled.kind), (PACKAGE, Kind::Package));
    assert_eq!((pulled.digest, pulled.signature), (contents().image().digest(), None));
    let by_digest = reference(&server).with_digest(pulled.digest);
    assert!(pull_package(&by_digest, &options(Login::Anonymous)).is_ok());
    let other: Reference = format!("{}/a/b:2", server.host()).parse().unwrap();
    let error = pull_package(&other, &options(Login::Anonymous)).unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error}");
}

#[test]
fn a_blob_may_come_from_elsewhere() {
    let store = Server::start(|_, _| answer(200, &[], PACKAGE));
    let target = store.url("/signed?secret=1");
    let server = Server::start(move |seen, _| match seen.line.contains("/blobs/") {
        true => answer(307, &[&format!("Location: {target}")], b""),
        false => with_basic(seen),
    });
    assert_eq!(pull(&server, password()).unwrap().bytes, PACKAGE);
    assert_eq!(store.seen()[0].header("authorization"), None);
}

#[test]
fn lies_are_found() {
    let lie = |body: &'static [u8], headers: &'static [&'static str]| {
        let server = Server::start(move |seen, _| match seen.line.contains("/blobs/") {
            true => answer(200, headers, body),
            false => registry(seen),
        });
        pull(&server, Login::Anonymous).unwrap_err()
    };
    assert!(matches!(lie(b"{\"package\":2}", &[]), Error::Digest { .. }));
    assert!(matches!(lie(b"{}", &[]), Error::Size { actual: 2, .. }));
    assert!(matches!(lie(&[b'x'; 100], &[]), Error::Size { actual: 100, .. }));
    // Without a length, the end of the connection ends the body.
    let endless = Server::start(move |seen, _| match seen.line.contains("/blobs/") {
        true => [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 100_000]].concat(),
        false => registry(seen),
    });
    let error = pull(&endless, Login::Anonymous).unwrap_err();
    assert!(
        matches!(error, Error::Size { .. } | Error::Http(HttpError::TooLarge { .. })),
        "{error}"
    );
    let short = lie(b"{}", &["Content-Length: 13"]);
    assert!(matches!(short, Error::Http(HttpError::Closed(_))), "{short}");
}

#[test]
fn a_manifest_with_another_digest_is_refused() {
    let server = Server::start(|seen, _| {
        let wrong = format!("Docker-Content-Digest: {}", Digest::of(b"other"));
        let headers = ["Content-Type: application/json", &wrong];
        match seen.line.contains("/manifests/") {
            true => answer(200, &headers, &contents().image().manifest),
            false => registry(seen),
        }
    });
    assert!(matches!(pull(&server, Login::Anonymous), Err(Error::Digest { .. })));
    let honest = Server::start(|seen, _| match seen.line.contains("/manifests/") {
        true => answer(200, &[], &contents().image().manifest),
        false => registry(seen),
    });
    let other = reference(&honest).with_digest(Digest::of(b"other"));
    let error = pull_package(&other, &options(Login::Anonymous)).unwrap_err();
    assert!(matches!(error, Error::Digest { what: "manifest", .. }), "{error}");
}

#[test]
fn a_package_above_the_limit_is_not_downloaded() {
    let server = Server::start(|seen, _| registry(seen));
    let options = Options { max_size: 5, ..options(Login::Anonymous) };
    let error = pull_package(&reference(&server), &options).unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 13, limit: 5, .. }), "{error}");
    assert!(!server.lines().iter().any(|line| line.contains("/blobs/")));
}

/// Asks for the password `p` of `u`.
fn with_basic(seen: &Seen) -> Vec<u8> {
    match seen.header("authorization") {
        Some("Basic dTpw") => registry(seen),
        _ if seen.line == "GET /v2/" => registry(seen),
        _ => answer(401, &["WWW-Authenticate: Basic realm=\"x\""], b""),
    }
}

#[test]
fn passwords() {
    let server = Server::start(|seen, _| with_basic(seen));
    assert!(pull(&server, password()).is_ok());
    let error = pull(&server, Login::Anonymous).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` requires credentials", server.host()));
    let wrong = Credentials::Password { user: "u".into(), password: "wrong".into() };
    let error = pull(&server, Login::Given(wrong)).unwrap_err();
    assert!(error.to_string().ends_with("refuses the credentials"), "{error}");
    let token = Login::Given(Credentials::IdentityToken("t".to_owned()));
    assert!(matches!(pull(&server, token), Err(Error::Unauthorized { .. })));
}

/// Asks for a token, and answers as its token server, too.
fn with_token(seen: &Seen, port: u16) -> Vec<u8> {
    let challenge = format!(
        "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"s\",\
         scope=\"repository:a/b:pull\""
    );
    let path = seen.line.split(' ').nth(1).unwrap_or_default();
    match seen.header("authorization") {
        _ if path.starts_with("/token") => match (seen.header("authorization"), &seen.body[..]) {
            (Some("Basic dTpw"), _) => answer(200, &[], br#"{"token":"secret"}"#),
            (None, b"") => answer(200, &[], br#"{"access_token":"secret"}"#),
            (None, body) if body.ends_with(b"refresh_token=t&client_id=bpfpack") => {
                answer(200, &[], br#"{"access_token":"secret"}"#)
            }
            _ => answer(403, &[], br#"{"details":"who are you?"}"#),
        },
        Some("Bearer secret") => registry(seen),
        _ if seen.line == "GET /v2/" => registry(seen),
        _ => answer(401, &[&challenge], b""),
    }
}

#[test]
fn tokens() {
    let identity = |token: &str| Login::Given(Credentials::IdentityToken(token.to_owned()));
    for login in [Login::Anonymous, password(), identity("t")] {
        let server = Server::start(with_token);
        assert!(pull(&server, login.clone()).is_ok(), "{login:?}");
        let tokens = server.lines().iter().filter(|line| line.contains("/token")).count();
        assert_eq!(tokens, 1, "a token is used again");
        if login != identity("t") {
            let asked = "GET /token?service=s&scope=repository%3Aa%2Fb%3Apull";
            assert!(server.lines().contains(&asked.to_owned()), "{:?}", server.lines());
        }
    }
    let error = pull(&Server::start(with_token), identity("wrong")).unwrap_err();
    assert!(error.to_string().ends_with("refuses the credentials: who are you?"), "{error}");
}

#[test]
fn a_realm_without_tls_is_refused_if_the_registry_has_tls() {
    let mut client = Client {
        http: Http::default(),
        base: Url::parse("https://h.io/").unwrap(),
        host: "h.io".to_owned(),
        repository: "a".to_owned(),
        access: Access::Pull,
        credentials: None,
        are_stored: true,
        withheld: None,
        authorization: None,
    };
    let ask = |client: &mut Client, realm: &str| {
        let realm = realm.to_owned();
        let challenge = challenge::Challenge::Bearer { realm, service: None, scope: None };
        client.authenticate(Some(challenge)).unwrap_err()
    };
    for realm in ["http://h.io/token", "http://127.0.0.1:1/", "file:///etc/passwd", "x", ""] {
        assert!(matches!(ask(&mut client, realm), Error::Realm { .. }), "{realm}");
    }
    client.base = Url::parse("http://h.io/").unwrap();
    assert!(matches!(ask(&mut client, "http://127.0.0.1:1/"), Error::Http(HttpError::Refused(_))));
}

#[test]
fn an_image_is_pushed() {
    let server = Server::start(|seen, _| {
        let (method, path) = seen.line.split_once(' ').unwrap();
        match method {
            "HEAD" if path.ends_with(&Digest::of(b"{}").to_string()) => {
                answer(200, &["Content-Length: 1000000000"], b"")
            }
            "POST" => answer(202, &["Location: /upload?state=1"], b""),
            "PUT" => answer(201, &[], b""),
            _ => registry(seen),
        }
    });
    let image = contents().image();
    let digest = push(&reference(&server), &image, &options(Login::Anonymous)).unwrap();
    let package = Digest::of(PACKAGE);
    let escaped = package.to_string().replace(':', "%3A");
    assert_eq!(
        server.lines()[1..],
        [
            format!("HEAD /v2/a/b/blobs/{}", Digest::of(b"{}")),
            format!("HEAD /v2/a/b/blobs/{package}"),
            "POST /v2/a/b/blobs/uploads/".to_owned(),
            format!("PUT /upload?state=1&digest={escaped}"),
            "PUT /v2/a/b/manifests/1".to_owned(),
        ]
    );
    let seen = server.seen();
    assert_eq!(seen[4].body, PACKAGE);
    assert_eq!((&seen[5].body, digest), (&image.manifest, image.digest()));
    assert_eq!(seen[5].header("content-type"), Some(OCI_MANIFEST));
}

#[test]
fn an_upload_to_another_host_is_refused() {
    let server = Server::start(|seen, _| match seen.line.starts_with("POST") {
        true => answer(202, &["Location: http://127.0.0.1:1/upload"], b""),
        false => registry(seen),
    });
    let error = push(&reference(&server), &contents().image(), &options(Login::Anonymous));
    assert!(error.unwrap_err().to_string().contains("another host"));
}

#[test]
fn an_image_is_pushed_only_under_its_own_name() {
    let image = contents().image();
    let digest = Digest::of(b"other");
    for name in [format!("127.0.0.1:1/a@{digest}"), format!("127.0.0.1:1/a:1@{digest}")] {
        let error = push(&name.parse().unwrap(), &image, &options(Login::Anonymous)).unwrap_err();
        assert!(matches!(error, Error::Reference(BadReference { .. })), "{error}");
    }
}

#[test]
fn logins_are_checked() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        Some("Basic dTpw") => answer(200, &[], b""),
        _ => answer(401, &["WWW-Authenticate: Basic realm=\"x\""], b""),
    });
    let of = |user: &str| Credentials::Password { user: user.into(), password: "p".into() };
    assert!(check_login(&server.host(), false, &of("u")).is_ok());
    let error = check_login(&server.host(), false, &of("v")).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert!(check_login("h.io/a", false, &of("u")).is_err());
}
