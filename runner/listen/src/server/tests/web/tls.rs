// SPDX-License-Identifier: MIT
//! TLS, with certificates that openssl makes and the client of rustls.

use std::process::{Command, Stdio};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;

type Client = StreamOwned<ClientConnection, TcpStream>;

/// A directory with an authority, and what it has signed.
struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    /// Returns `None` if there is no openssl.
    fn new() -> Option<Certificates> {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("skipped: needs openssl");
            assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: openssl");
            return None;
        }
        let certificates = Certificates { directory: tempfile::tempdir().unwrap() };
        certificates.authority("ca");
        Some(certificates)
    }

    fn openssl(&self, arguments: &[&str]) {
        let status = Command::new("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '))
            .args(arguments)
            .current_dir(self.directory.path())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{arguments:?}");
    }

    /// Makes `NAME.crt` and `NAME.key` of an authority.
    fn authority(&self, name: &str) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let subject = format!("/CN={name}");
        self.openssl(&["-subj", &subject, "-keyout", &key, "-out", &certificate]);
    }

    /// Makes `NAME.crt` and `NAME.key` for localhost.
    fn sign(&self, name: &str, authority: &str) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let (ca_key, ca) = (format!("{authority}.key"), format!("{authority}.crt"));
        let subject = format!("/CN={name}");
        let end = ["-addext", "basicConstraints=critical,CA:FALSE"];
        let host = ["-addext", "subjectAltName=DNS:localhost"];
        let by = ["-CA", &ca, "-CAkey", &ca_key];
        let files = ["-subj", &subject, "-keyout", &key, "-out", &certificate];
        self.openssl(&[&files[..], &by, &end, &host].concat());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(self.path(name)).unwrap().map(Result::unwrap).collect()
    }

    /// Starts a server with the settings of `tls_server_config`.
    fn serve(&self, settings: &str) -> Server {
        let text = format!("tls_server_config: {{{settings}}}");
        server_of(&write(self.directory.path(), "web.yml", &text))
    }

    /// Connects, with the certificate of that name or with none.
    fn client(&self, server: &Server, own: Option<&str>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.chain("ca.crt").remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(self.chain(&format!("{name}.crt")), key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(session, connect(server))
    }
}

const SERVER: &str = "cert_file: server.crt, key_file: server.key";

/// The head of the response; `None` if the server does not answer.
fn ask(client: &mut Client) -> Option<String> {
    client.write_all(GET).ok()?;
    let mut first = [0];
    client.read_exact(&mut first).ok()?;
    let (head, body) = response(client);
    assert_eq!(body, b"path /a\n");
    Some(format!("{}{head}", first[0] as char))
}

#[test]
fn encrypted_connections() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.sign("server", "ca");
    let server = certificates.serve(SERVER);
    let mut client = certificates.client(&server, None);
    for _ in 0..3 {
        let head = ask(&mut client).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("keep-alive"), "{head}");
    }
    client.write_all(b"GET /large HTTP/1.0\r\n\r\n").unwrap();
    let large = rest(&mut client);
    assert_eq!(large.split_once("\r\n\r\n").unwrap().1.len(), 5 << 20);
    // Clients that do not speak TLS.
    assert!(talk(&server, GET).contains("this server requires TLS"));
    talk(&server, b"\x16\x03\x01\x00\x04\xff\x00\x00\x00");
    assert!(ask(&mut certificates.client(&server, None)).is_some());
}

#[test]
fn clients_need_a_certificate() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.sign("server", "ca");
    certificates.sign("client", "ca");
    certificates.authority("other-ca");
    certificates.sign("other", "other-ca");
    let required = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt";
    let server = certificates.serve(&format!("{SERVER}, {required}"));
    let answers = |own| ask(&mut certificates.client(&server, own)).is_some();
    assert!(answers(Some("client")));
    assert!(!answers(None));
    assert!(!answers(Some("other")));
    // The authority changes while a client is connected.
    let mut connected = certificates.client(&server, Some("client"));
    assert!(ask(&mut connected).is_some());
    let settings = format!("{SERVER}, {required}").replace("ca.crt", "other-ca.crt");
    let text = format!("tls_server_config: {{{settings}}}");
    write(certificates.directory.path(), "web.yml", &text);
    assert!(ask(&mut connected).is_none());
    assert!(!answers(Some("client")));
    assert!(answers(Some("other")));
}

#[test]
fn new_certificates_are_used() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.sign("server", "ca");
    let server = certificates.serve(SERVER);
    let mut before = certificates.client(&server, None);
    assert!(ask(&mut before).unwrap().contains("keep-alive"));
    let old = certificates.chain("server.crt");
    certificates.sign("renewed", "ca");
    for kind in ["crt", "key"] {
        let from = certificates.path(&format!("renewed.{kind}"));
        fs::rename(from, certificates.path(&format!("server.{kind}"))).unwrap();
    }
    let mut after = certificates.client(&server, None);
    assert!(ask(&mut after).unwrap().contains("keep-alive"));
    let shown = after.conn.peer_certificates().unwrap();
    assert_eq!(shown, certificates.chain("server.crt"));
    assert_ne!(shown, old);
    // The client that was connected gets an answer, and has to connect again.
    assert!(ask(&mut before).unwrap().contains("Connection: close"));
}

#[test]
fn versions() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.sign("server", "ca");
    for (setting, expected) in [
        ("min_version: TLS13", rustls::ProtocolVersion::TLSv1_3),
        ("max_version: TLS12", rustls::ProtocolVersion::TLSv1_2),
    ] {
        let server = certificates.serve(&format!("{SERVER}, {setting}"));
        let mut client = certificates.client(&server, None);
        assert!(ask(&mut client).is_some());
        assert_eq!(client.conn.protocol_version(), Some(expected));
    }
}

#[test]
fn bad_files() {
    let Some(certificates) = Certificates::new() else { return };
    certificates.sign("server", "ca");
    certificates.sign("other", "ca");
    let load = |settings: &str| {
        let text = format!("tls_server_config: {{{settings}}}");
        let path = write(certificates.directory.path(), "web.yml", &text);
        WebConfig::load(&path, |_| ()).unwrap_err().to_string()
    };
    for (settings, reason) in [
        ("cert_file: none, key_file: server.key", "No such file"),
        ("cert_file: server.key, key_file: server.key", "no certificates"),
        ("cert_file: server.crt, key_file: server.crt", "no private key"),
        ("cert_file: server.crt, key_file: other.key", "not that of the certificate"),
        (
            "cert_file: server.crt, key_file: server.key, client_ca_file: server.key, \
                client_auth_type: RequireAndVerifyClientCert",
            "no certificates",
        ),
    ] {
        let error = load(settings);
        assert!(error.contains(reason), "{settings}: {error}");
    }
    let key = certificates.path("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o660)).unwrap();
    let error = load(SERVER);
    assert!(error.contains("server.key` is not used"), "{error}");
}
