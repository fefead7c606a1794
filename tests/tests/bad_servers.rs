// SPDX-License-Identifier: MIT
//! Servers that are made to harm their clients: registries that lie, or want credentials of others, and
//! packages that change between two requests. Nothing runs, and nothing is written.
#![allow(clippy::unwrap_used)]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bpfpack_tests::http::{Answer, Request, Server};
use bpfpack_tests::registry::{Image, PASSWORD, USER, digest, ecli_in};
use bpfpack_tests::wait::outcome;
use bpfpack_tests::{Outcome, ecc, is_root, names, pack, scratch};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Another host than 127.0.0.1, and this machine all the same.
const ELSEWHERE: &str = "127.0.0.2:0";

/// A user with a package, a server, and whatever a run leaves.
struct Setup {
    dir: TempDir,
    server: Server,
    package: Vec<u8>,
}

impl Setup {
    fn new() -> Setup {
        let (dir, made) = (scratch(), scratch());
        let package = fs::read(pack("examples/exits/exits.bpf.c", &made)).unwrap();
        Setup { dir, server: Server::start(), package }
    }

    fn ecli(&self, words: &[&str]) -> Outcome {
        outcome(&mut ecli_in(&self.dir, words))
    }

    /// Runs a package around a command that leaves a file.
    fn run(&self, source: &str) -> Outcome {
        let own = ["run", "-j", "-q", "--package-cache", "cache", "--policy", "etc/policy.toml"];
        self.ecli(&[&own[..], &[source, "--", "touch", "ran"]].concat())
    }

    fn has_run(&self) -> bool {
        fs::remove_file(self.dir.path().join("ran")).is_ok()
    }

    /// Checks that an image neither runs nor is pulled, and how that fails.
    #[track_caller]
    fn is_refused(&self, image: &str, code: i32, words: &[&str]) {
        let run = self.run(image);
        run.failed(code, words);
        assert!(!self.has_run() && run.stdout.is_empty());
        assert_eq!(names(&self.dir.path().join("cache/blobs")), [""; 0]);
        self.ecli(&["pull", "-o", "x.json", image]).failed(code, words);
        assert!(!self.dir.path().join("x.json").exists());
    }

    /// Stores what the user shows to hosts: an entry of `auths` for each.
    fn log_in(&self, entries: &[(&str, &Value)]) {
        let auths: serde_json::Map<String, Value> =
            entries.iter().map(|(host, entry)| ((*host).to_owned(), (*entry).clone())).collect();
        let config = self.dir.path().join(".docker");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("config.json"), json!({ "auths": auths }).to_string()).unwrap();
    }
}

/// The entry for [`USER`] with a password.
fn password(password: &str) -> Value {
    json!({ "auth": STANDARD.encode(format!("{USER}:{password}")) })
}

/// Whether a request has something that only the user and the right host know.
fn has_secret(request: &Request, secrets: &[&str]) -> bool {
    let all = format!("{request:?} {}", String::from_utf8_lossy(&request.body));
    request.header("Authorization").is_some() || secrets.iter().any(|secret| all.contains(secret))
}

/// Asks for a token of a server.
fn challenge(realm: &str) -> Answer {
    let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"");
    Answer::Full(401, vec![header], Vec::new())
}

#[test]
fn a_registry_that_lies() {
    let setup = Setup::new();
    let truth = Image::new("a", &setup.package);
    let lie = |change: &dyn Fn(&mut Image)| {
        let mut image = truth.clone();
        change(&mut image);
        image.answer(&setup.server)
    };
    let mut other = setup.package.clone();
    *other.last_mut().unwrap() ^= 1;
    let cut = setup.package.len() - 1;
    let wrong = "sent wrong data: the package has";
    setup.is_refused(&lie(&|image| image.content = other.clone()), 12, &[wrong, "the digest"]);
    setup.is_refused(&lie(&|image| image.content.truncate(cut)), 12, &[wrong, "bytes instead of"]);
    setup.is_refused(&lie(&|image| image.content.push(b'\n')), 12, &[wrong, "bytes instead of"]);
    setup.is_refused(&lie(&|image| image.layer["size"] = 1.into()), 12, &[wrong, "instead of 1"]);
    setup.is_refused(
        &lie(&|image| image.layer["size"] = 10_000_000_000_u64.into()),
        12,
        &["the package of", "is too large: 10000 MB of at most 67 MB"],
    );
    for (name, value) in [
        ("size", json!(-1)),
        ("size", json!("1")),
        ("digest", json!("sha256:../../manifests/2")),
        ("digest", json!("md5:d41d8cd98f00b204e9800998ecf8427e")),
    ] {
        // The name of the content must not follow it.
        let mut image = truth.clone();
        image.layer[name] = value;
        let name = truth.answer(&setup.server);
        setup.server.answer(&image.manifest_path(), image.manifest());
        setup.is_refused(&name, 3, &["manifest"]);
    }
    // A length that lies is found before the content is read.
    let name = truth.answer(&setup.server);
    setup.server.answer(&truth.content_path(), Answer::Endless);
    setup.is_refused(&name, 12, &["/blobs/sha256:", "is too large"]);
    setup.server.answer(&truth.content_path(), Answer::Short);
    setup.is_refused(&name, 12, &[wrong, "100 bytes instead of"]);
    // The manifest is not what the name or the registry says.
    let _ = truth.answer(&setup.server);
    let Answer::Full(_, mut headers, bytes) = truth.manifest() else { unreachable!() };
    let by_digest = format!("{}/a@{}", setup.server.host(), digest(b"other"));
    let path = format!("/v2/a/manifests/{}", digest(b"other"));
    setup.server.answer(&path, truth.manifest());
    let wrong = "sent wrong data: the manifest has the digest";
    setup.is_refused(&by_digest, 12, &[wrong, &digest(b"other")]);
    headers.push(format!("Docker-Content-Digest: {}", digest(b"other")));
    setup.server.answer(&truth.manifest_path(), Answer::Full(200, headers, bytes));
    setup.is_refused(&name, 12, &[wrong]);
    setup.server.answer(&truth.manifest_path(), Answer::Bytes(b"[".repeat(10_000)));
    setup.is_refused(&name, 3, &["manifest"]);
    setup.server.answer(&truth.manifest_path(), Answer::Endless);
    setup.is_refused(&name, 12, &["too large"]);
    // Without a lie, it is pulled.
    let _ = truth.answer(&setup.server);
    let _ = setup.ecli(&["pull", "-o", "x.json", &name]).succeeded();
    assert_eq!(fs::read(setup.dir.path().join("x.json")).unwrap(), setup.package);
}

#[test]
fn stored_credentials_stay_with_their_registry() {
    let (setup, other) = (Setup::new(), Server::start_at(ELSEWHERE));
    let image = Image::new("a", &setup.package);
    let name = image.answer(&setup.server);
    let realm = other.url("/token");
    setup.server.answer(&image.manifest_path(), challenge(&realm));
    let (ours, theirs, identity) =
        (password(PASSWORD), password("theirs"), json!({ "identitytoken": "secret-token" }));
    let secrets = [PASSWORD, "theirs", "secret-token", ours["auth"].as_str().unwrap()];
    let refused = [setup.server.host(), "stored ones are not sent to another domain", &realm];
    for entry in [&ours, &identity] {
        setup.log_in(&[(setup.server.host(), entry), (other.host(), &theirs)]);
        for token in [
            Answer::Full(401, Vec::new(), Vec::new()),
            challenge(&realm),
            // A token for everybody is no token for this image.
            Answer::Bytes(b"{\"token\":\"for-all\"}".to_vec()),
        ] {
            other.answer("/token?service=s&scope=repository%3Aa%3Apull", token);
            setup.is_refused(&name, 12, &refused);
            let asked = other.requests();
            assert_eq!(asked.len(), 2, "{asked:?}");
            assert!(!asked.iter().any(|request| has_secret(request, &secrets)), "{asked:?}");
        }
    }
    // Where there are no credentials, none are withheld.
    setup.log_in(&[(other.host(), &theirs)]);
    setup.is_refused(&name, 12, &["requires credentials"]);
    assert!(!other.requests().iter().any(|request| has_secret(request, &secrets)));
    // A server of the same host is the registry's own, and those of the command line were meant.
    setup.log_in(&[(setup.server.host(), &ours)]);
    let own = Server::start();
    for (server, login) in [(&own, &[][..]), (&other, &["-u", USER, "-p", PASSWORD])] {
        let token = "/token?service=s&scope=repository%3Aa%3Apull";
        server.answer(token, Answer::Bytes(b"{\"token\":\"x\"}".to_vec()));
        let asks = challenge(&server.url("/token"));
        setup.server.answer_in_turn(&image.manifest_path(), vec![asks, image.manifest()]);
        let pull = [&["pull", "-o", "x.json", &name], login].concat();
        let _ = setup.ecli(&pull).succeeded();
        let basic = format!("Basic {}", ours["auth"].as_str().unwrap());
        assert_eq!(server.requests()[0].header("Authorization"), Some(&*basic));
    }
}

#[test]
fn redirects_to_other_hosts_carry_no_credentials() {
    let (setup, other) = (Setup::new(), Server::start_at(ELSEWHERE));
    let image = Image::new("a", &setup.package);
    let name = image.answer(&setup.server);
    setup.log_in(&[(setup.server.host(), &password(PASSWORD)), (other.host(), &password("x"))]);
    let basic = Answer::Full(401, vec!["WWW-Authenticate: Basic realm=\"r\"".into()], Vec::new());
    let manifest = vec![basic.clone(), image.manifest()];
    let pull = || setup.ecli(&["pull", "-o", "x.json", &name]);
    let secret =
        |requests: &[Request]| requests.iter().any(|request| has_secret(request, &[PASSWORD]));
    for path in [image.content_path(), image.manifest_path()] {
        setup.server.answer(&image.content_path(), Answer::Bytes(setup.package.clone()));
        setup.server.answer_in_turn(&image.manifest_path(), manifest.clone());
        let redirect = Answer::Redirect(other.url(&path));
        if path == image.manifest_path() {
            setup.server.answer_in_turn(&path, vec![basic.clone(), redirect]);
            other.answer(&path, image.manifest());
        } else {
            setup.server.answer(&path, redirect);
            other.answer(&path, Answer::Bytes(setup.package.clone()));
        }
        let _ = pull().succeeded();
        assert!(secret(&setup.server.requests()), "the registry itself has them");
        let asked = other.requests();
        assert!(asked.len() == 1 && !secret(&asked), "{asked:?}");
        fs::remove_file(setup.dir.path().join("x.json")).unwrap();
        // It asks, too, and receives nothing.
        setup.server.answer_in_turn(&image.manifest_path(), manifest.clone());
        if path == image.manifest_path() {
            let redirect = Answer::Redirect(other.url(&path));
            setup.server.answer_in_turn(&path, vec![basic.clone(), redirect]);
        }
        other.answer(&path, basic.clone());
        pull().failed(12, &["401", other.host()]);
        let asked = other.requests();
        assert!(asked.len() == 1 && !secret(&asked), "{asked:?}");
    }
    // An upload goes nowhere else.
    fs::write(setup.dir.path().join("package.json"), &setup.package).unwrap();
    let elsewhere = vec![format!("Location: {}", other.url("/upload"))];
    setup.server.answer("/v2/b/blobs/uploads/", Answer::Full(202, elsewhere, Vec::new()));
    let target = format!("{}/b:1", setup.server.host());
    setup.ecli(&["push", "package.json", &target]).failed(12, &["upload to go to another host"]);
    assert!(other.requests().is_empty());
}

#[test]
fn what_is_verified_is_what_runs() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    let at = |name: &str| setup.dir.path().join(name);
    let (made, package) = (scratch(), at("package.json"));
    let other = fs::read(pack("tests/fixtures/confirmed.bpf.c", &made)).unwrap();
    fs::write(&package, &setup.package).unwrap();
    let key = ["new-key", "--no-password", "ours"];
    let _ = ecc(setup.dir.path(), &key).succeeded();
    let _ = ecc(setup.dir.path(), &["sign", "-s", "ours.key", "package.json"]).succeeded();
    let trust = ["trust", "--policy", "etc/policy.toml", "add", "ours.pub"];
    let _ = setup.ecli(&trust).succeeded();
    let signature = fs::read(at("package.json.minisig")).unwrap();
    fs::remove_file(&package).unwrap();
    setup.server.answer("/package.json.minisig", Answer::Bytes(signature));
    let url = setup.server.url("/package.json");
    let [ours, theirs] = [&setup.package, &other].map(|bytes| Answer::Bytes(bytes.clone()));
    let once = ["/package.json", "/package.json.minisig"];

    setup.server.answer_in_turn("/package.json", vec![ours.clone(), theirs.clone()]);
    let outcome = setup.run(&url).succeeded();
    assert!(outcome.stdout.contains("\"comm\":\"touch\""), "{}", outcome.stdout);
    assert_eq!((setup.has_run(), setup.server.asked()), (true, once.map(str::to_owned).to_vec()));
    // From now on the server has the other one.
    setup.run(&url).failed(11, &["may not be used", "not of these bytes"]);
    assert_eq!((setup.has_run(), setup.server.asked()), (false, once.map(str::to_owned).to_vec()));
    // The other way round, the first one counts, too.
    setup.server.answer_in_turn("/package.json", vec![theirs.clone(), ours.clone()]);
    setup.run(&url).failed(11, &["may not be used"]);
    assert!(!setup.has_run());
    let inspect = ["inspect", "-j", "--package-cache", "none", "--policy", "etc/policy.toml", &url];
    setup.server.answer_in_turn("/package.json", vec![ours, theirs.clone()]);
    let _ = setup.server.asked();
    let report = setup.ecli(&inspect).succeeded().objects().remove(0);
    assert_eq!(format!("sha256:{}", report["sha256"]["file"].as_str().unwrap()), {
        digest(&setup.package)
    });
    assert_eq!(setup.server.asked(), once);

    // With its digest in the name, another one is not even looked at.
    let pinned = format!("{url}#{}", digest(&setup.package).replace(':', "="));
    let cache = setup.dir.path().join("cache");
    fs::remove_dir_all(&cache).unwrap();
    setup.server.answer("/package.json", theirs);
    setup.run(&pinned).failed(12, &["is not what was asked for", &digest(&other)[7..]]);
    assert_eq!((setup.has_run(), names(&cache.join("blobs"))), (false, Vec::new()));
}
