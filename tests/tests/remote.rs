// SPDX-License-Identifier: MIT
//! Packages from URLs and registries: digests, the cache, signatures and rules, confirmation.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bpfpack_tests::http::{Answer, Server};
use bpfpack_tests::registry::{Registry, Security, digest, has_programs};
use bpfpack_tests::wait::{finished, outcome, read_until};
use bpfpack_tests::{Outcome, can, ecc, ecli, is_root, names, pack, program, scratch};
use tempfile::TempDir;

const EXITS: &str = "examples/exits/exits.bpf.c";
/// Sends signals.
const SIGNALS: &str = "tests/fixtures/confirmed.bpf.c";

struct Setup {
    dir: TempDir,
    server: Server,
}

impl Setup {
    fn new(source: &str) -> Setup {
        let dir = scratch();
        let _ = pack(source, &dir);
        let setup = Setup { dir, server: Server::start() };
        setup.server.answer("/package.json", Answer::Bytes(setup.read("package.json")));
        setup
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn ecli(&self, words: &[&str]) -> Outcome {
        let mut command = Command::new(program("ecli"));
        command.args(words).current_dir(self.dir.path());
        outcome(command.stdin(Stdio::null()))
    }

    /// Runs a package with the cache and the policy of this test, while `true` ends.
    fn run(&self, options: &[&str], package: &str) -> Outcome {
        let (cache, policy) = (self.at("cache"), self.at("etc/policy.toml"));
        let own = ["--package-cache", &cache, "--policy", &policy, "-j", "-q"];
        self.ecli(&[&["run"], &own[..], options, &[package, "--", "true"]].concat())
    }

    fn sign(&self, key: &str, file: &str, options: &[&str]) {
        let _ =
            ecc(self.dir.path(), &[&["sign", "-s", key], options, &[file]].concat()).succeeded();
    }
}

#[track_caller]
fn ran(outcome: &Outcome) {
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("\"comm\":\"true\""), "{}", outcome.stdout);
}

fn sha256(bytes: &[u8]) -> String {
    digest(bytes).replace("sha256:", "")
}

#[test]
fn a_url_runs_and_is_kept() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(EXITS);
    let url = setup.server.url("/package.json");
    let offline = setup.run(&["--offline"], &url);
    offline.failed(12, &["is not in the cache", "without --offline"]);
    ran(&setup.run(&[], &url));
    assert_eq!(setup.server.asked(), ["/package.json"]);
    ran(&setup.run(&["--offline"], &url));
    ran(&setup.run(&["--pull", "missing"], &url));
    assert_eq!(setup.server.asked(), [""; 0]);
    // What its digest names is the same everywhere.
    let digest = sha256(&setup.read("package.json"));
    ran(&setup.run(&[], &format!("{url}#sha256={digest}")));
    ran(&setup.run(&["--offline"], &setup.server.url(&format!("/other#sha256={digest}"))));
    assert_eq!(setup.server.asked(), [""; 0]);
    let cache = setup.at("cache");
    let list = setup.ecli(&["cache", "list", "--package-cache", &cache]).succeeded();
    assert!(list.stdout.contains(&digest[..12]) && list.stdout.contains(&url), "{}", list.stdout);
    let pruned = setup.ecli(&["cache", "prune", "--package-cache", &cache]).succeeded();
    assert!(pruned.stdout.starts_with("removed 1 files"), "{}", pruned.stdout);
    setup.run(&["--offline"], &url).failed(12, &["is not in the cache"]);
}

#[test]
fn a_user_without_root_keeps_packages_at_home() {
    if !is_root() {
        return;
    }
    const NOBODY: u32 = 65534;
    let setup = Setup::new(EXITS);
    let (home, url) = (scratch(), setup.server.url("/package.json"));
    std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let ecli = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program("ecli")).args(words).current_dir("/").stdin(Stdio::null());
        outcome(command.env("HOME", home.path()).env_remove("XDG_CACHE_HOME"))
    };
    let inspected = ecli(&["inspect", &url]).succeeded();
    assert_eq!(inspected.stderr, "");
    let packages = home.path().join(".cache/bpfpack/packages");
    assert_eq!(names(&packages.join("blobs")), [sha256(&setup.read("package.json"))]);
    assert_eq!(ecli(&["inspect", "--offline", &url]).succeeded().stdout, inspected.stdout);
    let listed = ecli(&["cache", "list"]).succeeded().stdout;
    assert!(listed.contains(&url), "{listed}");
    // Once, with the signature that a report names.
    assert_eq!(setup.server.asked(), ["/package.json", "/package.json.minisig"]);
}

#[test]
fn what_servers_do_wrong_is_an_error_and_nothing_runs() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(EXITS);
    let server = &setup.server;
    server.answer("/moved", Answer::Redirect("/package.json".to_owned()));
    server.answer("/file", Answer::Redirect("file:///etc/passwd".to_owned()));
    server.answer("/loop", Answer::Redirect("/loop".to_owned()));
    server.answer("/endless", Answer::Endless);
    server.answer("/short", Answer::Short);
    server.answer("/deep", Answer::Bytes(b"[".repeat(10_000)));
    server.answer("/none", Answer::Bytes(b"{}".to_vec()));
    ran(&setup.run(&[], &server.url("/moved")));
    let other = "0".repeat(64);
    for (path, code, words) in [
        ("/missing", 12, "404"),
        ("/file", 12, "file"),
        ("/loop", 12, "redirect"),
        ("/endless", 12, "is too large: the limit is 67 MB"),
        ("/short", 12, "closed the connection before the end"),
        ("/deep", 3, "is not a package"),
        ("/none", 3, "is not a package"),
        (&format!("/package.json#sha256={other}"), 12, "is not what was asked for"),
        ("/package.json#sha256=12", 2, "is not a digest"),
    ] {
        let outcome = setup.run(&[], &server.url(path));
        outcome.failed(code, &[words]);
        assert!(outcome.stdout.is_empty(), "{path}");
    }
    setup.run(&[], "ftp://127.0.0.1/x").failed(2, &["cannot download from `ftp://`"]);
    setup.run(&[], "http://127.0.0.1:1/x").failed(12, &["127.0.0.1:1"]);
    // A cache that others can change is not used.
    let cache = Path::new(&setup.at("cache")).to_owned();
    fs::remove_dir_all(&cache).unwrap();
    std::os::unix::fs::symlink("/tmp", &cache).unwrap();
    ran(&setup.run(&[], &server.url("/package.json")));
    assert!(!Path::new("/tmp/blobs").exists());
}

#[test]
fn options_about_the_package_come_before_it() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(EXITS);
    let late = setup.ecli(&["run", &setup.at("package.json"), "--offline"]);
    late.failed(2, &["must come before its name"]);
}

#[test]
fn once_a_key_is_trusted_all_must_be_signed() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(EXITS);
    let policy = setup.at("etc/policy.toml");
    let trust = |words: &[&str]| setup.ecli(&[&["trust", "--policy", &policy], words].concat());
    let none = trust(&["list"]).succeeded().stdout;
    assert!(none.contains("any package may run"), "{none}");
    for key in ["ours", "other"] {
        let _ = ecc(setup.dir.path(), &["new-key", "--no-password", key]).succeeded();
    }
    trust(&["add", "ours.key"]).failed(2, &["it is not a public key", "not the secret one"]);
    let _ = trust(&["add", "ours.pub"]).succeeded();
    let listed = trust(&["list"]).succeeded().stdout;
    assert!(listed.contains("key ours\n") && listed.contains("must be signed"), "{listed}");
    // For every way in.
    let (file, url) = (setup.at("package.json"), setup.server.url("/package.json"));
    for package in [&file, &url] {
        setup.run(&[], package).failed(11, &["may not be used", "it has no signature"]);
    }
    setup.sign("other.key", &file, &[]);
    setup.run(&[], &file).failed(11, &["not of these bytes by a key of: ours"]);
    setup.sign("ours.key", &file, &[]);
    ran(&setup.run(&[], &file));
    setup.server.answer("/package.json.minisig", Answer::Bytes(setup.read("package.json.minisig")));
    ran(&setup.run(&[], &url));
    ran(&setup.run(&["--offline"], &url));
    let signature = setup.at("package.json.minisig");
    ran(&setup.run(&["--signature", &signature], &file));
    // Modules, too.
    fs::write(setup.at("m.wat"), "(module)").unwrap();
    let module = setup.run(&["--wasm", &setup.at("m.wat")], &file);
    module.failed(11, &["m.wat` may not be used: the policy refuses it: it has no signature"]);
    // Changed afterwards.
    let mut bytes = setup.read("package.json");
    bytes.push(b'\n');
    fs::write(&file, &bytes).unwrap();
    setup.run(&[], &file).failed(11, &["not of these bytes"]);
    let shown = setup.ecli(&["inspect", "--policy", &policy, &file]).succeeded().stdout;
    assert!(shown.contains("not of these bytes"), "{shown}");
    let _ = trust(&["remove", "ours"]).succeeded();
    ran(&setup.run(&[], &file));
}

#[test]
fn rules_choose_by_source() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(EXITS);
    let url = setup.server.url("/package.json");
    for key in ["ours", "other"] {
        let _ = ecc(setup.dir.path(), &["new-key", "--no-password", key]).succeeded();
    }
    let policy = setup.at("etc/policy.toml");
    for key in ["ours.pub", "other.pub"] {
        let _ = setup.ecli(&["trust", "--policy", &policy, "add", key]).succeeded();
    }
    let digest = sha256(&setup.read("package.json"));
    let rules = format!(
        "[[source]]\nsources = [\"{url}\"]\nkeys = [\"ours\"]\nmin_version = \"1.4\"\n\
         [[source]]\nsources = [\"/*/package.json\"]\nsha256 = [\"{digest}\"]\n\
         [[source]]\nsources = [\"*/free.json\"]\nallow_unsigned = true\n"
    );
    fs::write(&policy, rules).unwrap();
    let (file, free) = (setup.at("package.json"), setup.at("free.json"));
    fs::copy(&file, &free).unwrap();
    ran(&setup.run(&[], &file));
    ran(&setup.run(&[], &free));
    setup.run(&[], &setup.server.url("/moved")).failed(12, &["404"]);
    fs::copy(&file, setup.at("x.json")).unwrap();
    setup.run(&[], &setup.at("x.json")).failed(11, &["no rule names this source"]);
    let publish = |key: &str, version: &str| {
        setup.sign(key, &file, &["--package-version", version]);
        let signature = setup.read("package.json.minisig");
        setup.server.answer("/package.json.minisig", Answer::Bytes(signature));
    };
    publish("ours.key", "1.4.1");
    ran(&setup.run(&[], &url));
    publish("ours.key", "1.3");
    setup.run(&[], &url).failed(11, &["rule 1 of the policy", "version is 1.3, less than 1.4"]);
    publish("other.key", "1.5");
    setup.run(&[], &url).failed(11, &["rule 1 of the policy", "by a key of: ours"]);
    let listed = setup.ecli(&["trust", "--policy", &policy, "list"]).succeeded().stdout;
    assert!(listed.contains("a signature by ours of version 1.4 or later"), "{listed}");
    // Nobody else may write the rules.
    let mut permissions = fs::metadata(&policy).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o666);
    fs::set_permissions(&policy, permissions).unwrap();
    setup.run(&[], &file).failed(11, &["other users can change it"]);
}

#[test]
fn signatures_are_those_of_minisign() {
    let is_there = Path::new("/usr/bin/minisign").exists();
    if !can("needs minisign (apt-get install minisign)", is_there) {
        return;
    }
    let setup = Setup::new(EXITS);
    let minisign = |words: &[&str]| {
        outcome(Command::new("minisign").args(words).current_dir(setup.dir.path())).succeeded()
    };
    let _ = ecc(setup.dir.path(), &["new-key", "--no-password", "ours"]).succeeded();
    setup.sign("ours.key", "package.json", &["--package-version", "2"]);
    let verified = minisign(&["-V", "-p", "ours.pub", "-m", "package.json"]).stdout;
    assert!(verified.contains("comment signature verified"), "{verified}");
    assert!(verified.contains("version:2"), "{verified}");
    // And the other way round.
    let _ = minisign(&["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"]);
    let _ = minisign(&["-S", "-s", "theirs.key", "-m", "package.json"]);
    let policy = setup.at("etc/policy.toml");
    let _ = setup.ecli(&["trust", "--policy", &policy, "add", "theirs.pub"]).succeeded();
    let inspected = setup.ecli(&["inspect", "--policy", &policy, "package.json"]).succeeded();
    assert!(inspected.stdout.contains("by the key `theirs`"), "{}", inspected.stdout);
    setup.sign("theirs.key", "package.json", &[]);
    let _ = minisign(&["-V", "-p", "theirs.pub", "-m", "package.json"]);
}

#[test]
fn what_does_more_than_observe_is_confirmed() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(SIGNALS);
    let url = setup.server.url("/package.json");
    let asked = setup.run(&[], &url);
    asked.failed(11, &["bpf_send_signal", "can do more than observe", "--yes"]);
    let _ = setup.run(&["--yes"], &url).succeeded();
    // A file was chosen by the user.
    let _ = setup.run(&[], &setup.at("package.json")).succeeded();
    setup.run(&["--observe-only", "--yes"], &url).failed(11, &["bpf_send_signal"]);
}

/// What ecli asks.
const ASKED: &str = "Run it? [y/N] ";

/// Runs a package on a terminal, and answers the question if there is an answer.
fn on_terminal(setup: &Setup, words: &str, answer: Option<&str>) -> Outcome {
    // script(1) has a terminal of its own.
    let line = format!("{} run {words}", program("ecli").display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(setup.dir.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut before = String::new();
    if let Some(answer) = answer {
        let stdout = child.stdout.as_mut().unwrap();
        before = read_until(stdout, ASKED, |text| text.contains(ASKED));
        assert!(!setup.dir.path().join("ran").exists(), "it waits for the answer");
        stdin.write_all(format!("{answer}\r").as_bytes()).unwrap();
    }
    let mut outcome = Outcome::from(finished(child));
    outcome.stdout.insert_str(0, &before);
    outcome
}

#[test]
fn what_a_person_confirms_runs_in_the_background() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(SIGNALS);
    let url = setup.server.url("/package.json");
    // Nothing remembers the answer.
    let options = "--package-cache none --policy etc/policy.toml --detach one --run-directory runs";
    let started = on_terminal(&setup, &format!("{options} {url}"), Some("y")).succeeded();
    assert!(started.stdout.contains("`one` runs in the background"), "{}", started.stdout);
    let runs = setup.at("runs");
    let _ = ecli(&["stop", "--run-directory", &runs, "one"]).succeeded();
    let refused = on_terminal(&setup, &format!("{options} {url}"), Some("n"));
    assert_eq!(refused.code, 11, "{}", refused.stdout);
    let listed = ecli(&["ps", "--run-directory", &runs]).succeeded();
    assert_eq!(listed.stdout, "Nothing runs in the background.\n");
}

#[test]
fn a_person_confirms_once() {
    if !is_root() {
        return;
    }
    let setup = Setup::new(SIGNALS);
    let url = setup.server.url("/package.json");
    let ran = setup.dir.path().join("ran");
    let words = "--package-cache cache --policy etc/policy.toml";
    let run = |answer| on_terminal(&setup, &format!("{words} {url} -- touch ran"), answer);
    for answer in ["n", "", "yy", "no"] {
        let refused = run(Some(answer));
        assert_eq!(refused.code, 11, "{answer}: {}", refused.stdout);
        for words in ["send signals to processes", "bpf_send_signal", "you did not confirm it"] {
            assert!(refused.stdout.contains(words), "no `{words}` in:\n{}", refused.stdout);
        }
        assert!(!ran.exists() && !refused.stdout.contains("tracing with"), "{}", refused.stdout);
    }
    let _ = run(Some("y")).succeeded();
    fs::remove_file(&ran).unwrap();
    let again = run(None).succeeded();
    assert!(ran.exists() && !again.stdout.contains(ASKED), "{}", again.stdout);
    // Other bytes are another package.
    fs::remove_file(&ran).unwrap();
    let changed = [setup.read("package.json"), b"\n".to_vec()].concat();
    setup.server.answer("/package.json", Answer::Bytes(changed));
    assert_eq!(run(Some("n")).code, 11);
    assert!(!ran.exists());
}

#[test]
fn an_image_runs_with_its_signature() {
    if !is_root() || !has_programs() {
        return;
    }
    let (setup, registry) = (Setup::new(EXITS), Registry::start(Security::Open));
    let image = registry.image("tools/exits:1");
    let _ = ecc(setup.dir.path(), &["new-key", "--no-password", "ours"]).succeeded();
    setup.sign("ours.key", "package.json", &[]);
    let _ = setup.ecli(&["push", "package.json", &image]).succeeded();
    let policy = setup.at("etc/policy.toml");
    let _ = setup.ecli(&["trust", "--policy", &policy, "add", "ours.pub"]).succeeded();
    // As eunomia's ecli names it, and by the scheme.
    ran(&setup.run(&[], &image));
    ran(&setup.run(&[], &format!("oci://{image}")));
    drop(registry);
    ran(&setup.run(&["--offline"], &image));
    setup.run(&[], &image).failed(12, &["cannot pull"]);
}
