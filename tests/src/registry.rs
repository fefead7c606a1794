// SPDX-License-Identifier: MIT
//! Registries for tests: Debian's `docker-registry`, with its own configuration and storage, on a
//! port of this machine. Also `ecli`, `skopeo` and `oras` with an environment of their own.

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::http::{Answer, Server};
use crate::wait::{eventually, outcome};
use crate::{Outcome, can, program, scratch};

/// The user of a registry with a password.
pub const USER: &str = "me";
/// The password of [`USER`].
pub const PASSWORD: &str = "se:cret";

/// Variables that would change what is tested.
const VARIABLES: [&str; 10] = [
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "all_proxy",
    "https_proxy",
    "http_proxy",
];

/// What a registry requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nothing.
    Open,
    /// [`USER`] and [`PASSWORD`].
    Password,
    /// TLS, with a certificate that nobody else signed.
    Tls,
}

/// A registry that ends with the test.
#[derive(Debug)]
pub struct Registry {
    server: Child,
    port: u16,
    dir: TempDir,
}

/// Whether the programs for these tests are installed.
#[must_use]
pub fn has_programs() -> bool {
    let programs = [
        ("docker-registry", "docker-registry"),
        ("skopeo", "skopeo"),
        ("openssl", "openssl"),
        ("htpasswd", "apache2-utils"),
    ];
    programs.into_iter().all(|(name, package)| {
        let is_there =
            ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(name).exists());
        can(&format!("needs {name} (apt-get install {package})"), is_there)
    })
}

impl Registry {
    /// Starts a registry, and waits until it accepts connections.
    #[must_use]
    #[track_caller]
    pub fn start(security: Security) -> Registry {
        let dir = scratch();
        // Another process could take the port now; the registry would end with an error then.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let path = |name: &str| dir.path().join(name);
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n",
            path("storage").display()
        );
        let mut http = format!("addr: 127.0.0.1:{port}");
        match security {
            Security::Open => {}
            Security::Password => {
                let mut htpasswd = Command::new("htpasswd");
                let line = outcome(htpasswd.args(["-nbBC4", USER, PASSWORD])).succeeded().stdout;
                std::fs::write(path("users"), line).unwrap();
                let users = path("users");
                writeln!(config, "auth: {{htpasswd: {{realm: test, path: {}}}}}", users.display())
                    .unwrap();
            }
            Security::Tls => {
                certificate(&path("cert.pem"), &path("key.pem"));
                let (cert, key) = (path("cert.pem"), path("key.pem"));
                let (cert, key) = (cert.display(), key.display());
                write!(http, ", tls: {{certificate: {cert}, key: {key}}}").unwrap();
            }
        }
        writeln!(config, "http: {{{http}}}").unwrap();
        std::fs::write(path("config.yml"), config).unwrap();
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut registry = Registry { server, port, dir };
        eventually("the registry accepts connections", || {
            assert!(registry.server.try_wait().unwrap().is_none(), "docker-registry ended");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        registry
    }

    /// The name of an image in this registry.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// Host and port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate of a registry with TLS.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// The manifest of an image, as the registry has it.
    #[must_use]
    #[track_caller]
    pub fn manifest(&self, name: &str) -> serde_json::Value {
        let image = format!("docker://{}", self.image(name));
        let args = ["inspect", "--raw", "--tls-verify=false", &image];
        serde_json::from_str(&skopeo(&args).succeeded().stdout).unwrap()
    }

    /// Pushes an image that `files` describe: types, titles and contents of layers.
    #[track_caller]
    pub fn push(&self, name: &str, config: (&str, &str), layers: &[(&str, &str, &str)]) {
        let dir = scratch();
        let blob = |media_type: &str, title: &str, content: &str| {
            let digest = digest(content.as_bytes());
            let file = digest.strip_prefix("sha256:").unwrap();
            std::fs::write(dir.path().join(file), content).unwrap();
            let mut descriptor = serde_json::json!({ "mediaType": media_type,
                "digest": digest, "size": content.len() });
            if !title.is_empty() {
                descriptor["annotations"]["org.opencontainers.image.title"] = title.into();
            }
            descriptor
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(config.0, "", config.1),
            "layers": layers.iter().map(|(ty, title, text)| blob(ty, title, text)).collect::<Vec<_>>(),
        });
        std::fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
        std::fs::write(dir.path().join("version"), "Directory Transport Version: 1.1\n").unwrap();
        let (from, to) = (format!("dir:{}", dir.path().display()), self.image(name));
        let to = format!("docker://{to}");
        let _ = skopeo(&["copy", "--dest-tls-verify=false", &from, &to]).succeeded();
    }
}

/// An image with one package, as a registry has it that only answers: [`Server`]. Changed, it is a lie.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    /// The type of the package, its digest and its size.
    pub layer: serde_json::Value,
    /// What is sent for that digest.
    pub content: Vec<u8>,
}

impl Image {
    /// An image that says the truth.
    #[must_use]
    pub fn new(name: &str, content: &[u8]) -> Image {
        let layer = serde_json::json!({
            "mediaType": "application/vnd.bpfpack.package.v1+json",
            "digest": digest(content),
            "size": content.len(),
        });
        Image { name: name.to_owned(), layer, content: content.to_owned() }
    }

    /// The path of its manifest.
    #[must_use]
    pub fn manifest_path(&self) -> String {
        format!("/v2/{}/manifests/1", self.name)
    }

    /// The path of the package.
    #[must_use]
    pub fn content_path(&self) -> String {
        format!("/v2/{}/blobs/{}", self.name, self.layer["digest"].as_str().unwrap())
    }

    /// The answer for its manifest.
    #[must_use]
    pub fn manifest(&self) -> Answer {
        let ty = "application/vnd.oci.image.manifest.v1+json";
        let empty = serde_json::json!({ "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": digest(b"{}"), "size": 2 });
        let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": ty, "config": empty,
            "layers": [self.layer] });
        let headers = vec![format!("Content-Type: {ty}")];
        Answer::Full(200, headers, manifest.to_string().into_bytes())
    }

    /// Makes a server answer as a registry with this image. Returns its name.
    #[must_use]
    pub fn answer(&self, server: &Server) -> String {
        server.answer("/v2/", Answer::Bytes(b"{}".to_vec()));
        server.answer(&self.manifest_path(), self.manifest());
        server.answer(&self.content_path(), Answer::Bytes(self.content.clone()));
        format!("{}/{}:1", server.host(), self.name)
    }
}

/// The digest of a content, as registries write it.
#[must_use]
pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", bpfpack_schemas::printable::hex(&Sha256::digest(content)))
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Makes a certificate for this machine that signs itself.
fn certificate(cert: &Path, key: &Path) {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=registry of a test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(cert);
    let _ = outcome(openssl.stdin(Stdio::null())).succeeded();
}

/// Runs `skopeo`, which must not depend on the machine's policy.
#[must_use]
#[track_caller]
pub fn skopeo(args: &[&str]) -> Outcome {
    let mut command = Command::new("skopeo");
    clean(&mut command);
    outcome(command.arg("--insecure-policy").args(args).stdin(Stdio::null()))
}

/// Runs a script for the package `oras`, whose client without TLS is `client`, in a directory that is
/// also the user's home. Its arguments are `args`.
#[must_use]
#[track_caller]
pub fn oras(python: &Path, dir: &TempDir, script: &str, args: &[&str]) -> Outcome {
    let begin = "import sys, oras.client\n\
        args, client = sys.argv[1:], oras.client.OrasClient(insecure=True)\n";
    let mut command = Command::new(python);
    clean(&mut command);
    command.arg("-c").arg(format!("{begin}{script}")).args(args);
    outcome(command.current_dir(dir.path()).env("HOME", dir.path()).stdin(Stdio::null()))
}

/// The command for `ecli` in a directory that is also the user's home.
#[must_use]
pub fn ecli_in(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(program("ecli"));
    clean(&mut command);
    command.args(args).current_dir(dir.path()).env("HOME", dir.path()).stdin(Stdio::null());
    command
}

fn clean(command: &mut Command) {
    for name in VARIABLES {
        command.env_remove(name);
    }
}
