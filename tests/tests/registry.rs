// SPDX-License-Identifier: MIT
//! Packages in registries: `ecli push`, `pull`, `login` and `logout`, beside skopeo and oras.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bpfpack_tests::python::python;
use bpfpack_tests::registry::{
    PASSWORD, Registry, Security, USER, ecli_in, has_programs, oras, skopeo,
};
use bpfpack_tests::wait::{finished, outcome};
use bpfpack_tests::{Outcome, names, pack, program, scratch};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The smallest Wasm module.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A directory with `package.json` and nothing else.
fn packed() -> TempDir {
    let (made, dir) = (scratch(), scratch());
    std::fs::copy(pack("tests/fixtures/execs.bpf.c", &made), dir.path().join("package.json"))
        .unwrap();
    dir
}

#[track_caller]
fn ecli(dir: &TempDir, args: &[&str]) -> Outcome {
    outcome(&mut ecli_in(dir, args))
}

fn read(dir: &TempDir, name: &str) -> Vec<u8> {
    std::fs::read(dir.path().join(name)).unwrap()
}

/// The name of the image with its digest, in a message.
#[track_caller]
fn digest(text: &str) -> String {
    let at = text.find("sha256:").unwrap_or_else(|| panic!("no digest in: {text}"));
    text[at..at + 71].to_owned()
}

#[test]
fn a_package_is_pushed_and_pulled() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Open), packed());
    let image = registry.image("tools/execs:1");
    let pushed = ecli(&dir, &["push", "package.json", &image]).succeeded();
    assert_eq!(
        (pushed.stdout.as_str(), pushed.stderr.lines().count()),
        ("", 1),
        "{}",
        pushed.stderr
    );
    let manifest = registry.manifest("tools/execs:1");
    assert_eq!(manifest["artifactType"], "application/vnd.bpfpack.package.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.bpfpack.package.v1+json");
    let title = &manifest["layers"][0]["annotations"]["org.opencontainers.image.title"];
    assert_eq!(title, "package.json");
    assert_eq!(manifest.get("annotations"), None);

    let again = ecli(&dir, &["push", "-m", "package.json", &registry.image("other:2")]).succeeded();
    assert_eq!(digest(&again.stderr), digest(&pushed.stderr), "the same bytes");

    let pulled = ecli(&dir, &["pull", &format!("oci://{image}"), "-o", "pulled.json"]).succeeded();
    assert_eq!(digest(&pulled.stderr), digest(&pushed.stderr));
    assert_eq!(read(&dir, "pulled.json"), read(&dir, "package.json"));
    let by_digest = registry.image(&format!("other@{}", digest(&pushed.stderr)));
    let empty = scratch();
    let _ = ecli(&empty, &["pull", &by_digest]).succeeded();
    assert_eq!(names(empty.path()), ["package.json"]);
    assert_eq!(read(&empty, "package.json"), read(&dir, "package.json"));
}

#[test]
fn other_programs_copy_a_package() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Open), packed());
    let _ = ecli(&dir, &["push", "package.json", &registry.image("a:1")]).succeeded();
    let of = |name: &str| format!("docker://{}", registry.image(name));
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let _ = skopeo(&["copy", plain[0], plain[1], &of("a:1"), &of("copied/b:1")]).succeeded();
    assert_eq!(registry.manifest("copied/b:1"), registry.manifest("a:1"));
    let layout = scratch();
    let target = format!("oci:{}:b", layout.path().display());
    let _ = skopeo(&["copy", plain[0], &of("a:1"), &target]).succeeded();
    let _ = ecli(&dir, &["pull", "-o", "b.json", &registry.image("copied/b:1")]).succeeded();
    assert_eq!(read(&dir, "b.json"), read(&dir, "package.json"));
}

#[test]
fn oras_pulls_and_pushes_a_package() {
    let Some(python) = python("oras").filter(|_| has_programs()) else { return };
    let (registry, dir, empty) = (Registry::start(Security::Open), packed(), scratch());
    let (ours, theirs) = (registry.image("ours:1"), registry.image("theirs:1"));
    let _ = ecli(&dir, &["push", "package.json", &ours]).succeeded();
    let pull = "client.pull(target=args[0], outdir='.')";
    let _ = oras(&python, &empty, pull, &[&ours]).succeeded();
    assert_eq!(names(empty.path()), ["package.json"]);
    assert_eq!(read(&empty, "package.json"), read(&dir, "package.json"));
    // Without a type, it is what oras takes any file for.
    for package in [
        "package.json",
        "package.json:application/json",
        "package.json:application/vnd.bpfpack.package.v1+json",
    ] {
        let push = "client.push(target=args[0], files=args[1:])";
        let _ = oras(&python, &dir, push, &[&theirs, package]).succeeded();
        let _ = ecli(&dir, &["pull", "-o", "pulled.json", &theirs]).succeeded();
        assert_eq!(read(&dir, "pulled.json"), read(&dir, "package.json"), "{package}");
        std::fs::remove_file(dir.path().join("pulled.json")).unwrap();
    }
}

#[test]
fn modules_signatures_and_annotations() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Open), packed());
    std::fs::write(dir.path().join("app.wasm"), MODULE).unwrap();
    std::fs::write(dir.path().join("sig"), "untrusted comment: x\n").unwrap();
    let all = registry.image("all:1");
    let args = ["package.json", &all, "-m", "app.wasm", "--signature", "sig", "-a", "version=1.2"];
    let _ = ecli(&dir, &[&["push"], &args[..]].concat()).succeeded();
    let manifest = registry.manifest("all:1");
    let types: Vec<&Value> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["mediaType"]).collect();
    assert_eq!(
        types,
        [
            "application/vnd.bpfpack.package.v1+json",
            "application/vnd.bpfpack.signature.v1+minisign",
            "application/vnd.wasm.content.layer.v1+wasm"
        ]
    );
    assert_eq!(manifest["annotations"], json!({ "org.opencontainers.image.version": "1.2" }));
    let _ = ecli(&dir, &["pull", "-o", "x.json", &all]).succeeded();
    assert_eq!(read(&dir, "x.json"), read(&dir, "package.json"));
    assert_eq!(read(&dir, "x.json.minisig"), b"untrusted comment: x\n");

    // As eunomia's ecli does it, also without the name of a file.
    let module = registry.image("module");
    let _ = ecli(&dir, &["push", &module]).succeeded();
    let manifest = registry.manifest("module:latest");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v1+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let empty = scratch();
    let _ = ecli(&empty, &["pull", &module]).succeeded();
    assert_eq!(
        (names(empty.path()), read(&empty, "app.wasm")),
        (vec!["app.wasm".to_owned()], MODULE.to_vec())
    );
    let args = ["push", "app.wasm", &module, "--signature", "sig"];
    ecli(&dir, &args).failed(2, &["there is no package"]);
}

#[test]
fn failures_leave_no_files() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Open), packed());
    let image = registry.image("a:1");
    let _ = ecli(&dir, &["push", "package.json", &image]).succeeded();
    let before = names(dir.path());
    let gone = registry.image("gone:1");
    ecli(&dir, &["pull", "-o", "x.json", &gone]).failed(12, &["no image", "hint"]);
    ecli(&dir, &["pull", "-o", ".", &image]).failed(7, &["cannot write `.`"]);
    ecli(&dir, &["pull", "-o", "/dev/null", &image]).failed(7, &["not a regular file"]);
    ecli(&dir, &["pull", "-o", "none/x.json", &image]).failed(7, &["cannot write"]);
    ecli(&dir, &["pull", "execs"]).failed(2, &["not the name of an image", "hint"]);
    ecli(&dir, &["pull", "127.0.0.1:1/a"]).failed(12, &["refused the connection"]);
    ecli(&dir, &["pull", "bpfpack.invalid/a"]).failed(12, &["bpfpack.invalid"]);
    let mut by_proxy = ecli_in(&dir, &["pull", "bpfpack.invalid/a"]);
    outcome(by_proxy.env("HTTPS_PROXY", "http://127.0.0.1:1"))
        .failed(12, &["the proxy", "127.0.0.1:1"]);
    ecli(&dir, &["push", "none.json", &image]).failed(3, &["cannot read `none.json`"]);
    ecli(&dir, &["push", "/bin/true", &image]).failed(3, &["is not a package", "ecc X.bpf.o"]);
    let two = ["push", "package.json", "-m", "package.json", &image];
    ecli(&dir, &two).failed(2, &["second package"]);
    assert_eq!(names(dir.path()), before);
    // A name that is taken by somebody else's content is not pushed over an existing digest.
    let other = registry.image(&format!("a@sha256:{}", "0".repeat(64)));
    ecli(&dir, &["push", "package.json", &other]).failed(2, &["pushed to a tag"]);
}

#[test]
fn a_password_is_asked_for_stored_and_removed() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Password), packed());
    let (host, image) = (registry.host(), registry.image("a:1"));
    let push = |more: &[&str]| ecli(&dir, &[&["push", "package.json", &image], more].concat());
    push(&[]).failed(12, &["requires credentials", &format!("`ecli login {host}`")]);
    push(&["-u", USER, "-p", "wrong"]).failed(12, &["refuses the credentials"]);
    push(&["-u", USER]).failed(2, &["no terminal", "--password-stdin"]);
    let _ = push(&["-u", USER, "-p", PASSWORD]).succeeded();

    let login = |password: &str| {
        let args = ["login", "-u", USER, "--password-stdin", &format!("http://{host}")];
        let mut command = ecli_in(&dir, &args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        Outcome::from(finished(child))
    };
    let config = dir.path().join(".docker/config.json");
    login("wrong\n").failed(12, &["refuses the credentials"]);
    assert!(!config.exists());
    let stored = login(&format!("{PASSWORD}\n")).succeeded();
    assert!(!stored.stderr.contains(PASSWORD), "{}", stored.stderr);
    assert_eq!(config.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let _ = push(&[]).succeeded();
    // skopeo reads the file, too.
    let args = ["inspect", "--raw", "--tls-verify=false", "--authfile", config.to_str().unwrap()];
    let _ = skopeo(&[&args[..], &[&format!("docker://{image}")]].concat()).succeeded();
    let _ = ecli(&dir, &["logout", &host]).succeeded();
    push(&[]).failed(12, &["requires credentials"]);
    let nothing = ecli(&dir, &["logout", &host]).succeeded();
    assert!(nothing.stderr.contains("there is no password"), "{}", nothing.stderr);
}

#[test]
fn a_typed_password_is_not_shown() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Password), packed());
    let (ecli, image) = (program("ecli"), registry.image("a:1"));
    // script(1) runs it on a terminal of its own.
    let line = format!("{} push package.json {image} -u {USER}", ecli.display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(dir.path()).env("HOME", dir.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let asked = format!("Password of {USER}: ");
    let mut stdin = child.stdin.take().unwrap();
    let stdout = child.stdout.as_mut().unwrap();
    let _ = bpfpack_tests::wait::read_until(stdout, &asked, |text| text.contains(&asked));
    stdin.write_all(format!("wrong\u{15}{PASSWORD}\r").as_bytes()).unwrap();
    let rest = Outcome::from(finished(child)).succeeded();
    assert!(rest.stdout.contains("pushed ") && !rest.stdout.contains(PASSWORD), "{}", rest.stdout);
}

#[test]
fn a_program_has_the_password() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Password), packed());
    let helper = dir.path().join("docker-credential-test");
    let answer = json!({ "ServerURL": "", "Username": USER, "Secret": PASSWORD });
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = get ] && read -r key && [ \"$key\" = {} ] && echo '{answer}'\n",
        registry.host()
    );
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let config = json!({ "credHelpers": { registry.host(): "test" } });
    std::fs::write(dir.path().join("config/config.json"), config.to_string()).unwrap();
    let image = registry.image("a:1");
    let push = |path: &Path| {
        let mut command = ecli_in(&dir, &["push", "package.json", &image]);
        command.env("DOCKER_CONFIG", dir.path().join("config")).env("PATH", path);
        outcome(&mut command)
    };
    let path = std::env::join_paths([dir.path(), Path::new("/usr/bin"), Path::new("/bin")]);
    let _ = push(path.unwrap().as_ref()).succeeded();
    push(Path::new("/usr/bin")).failed(12, &["`docker-credential-test`: cannot be run"]);
}

#[test]
fn certificates_are_checked() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Tls), packed());
    let image = registry.image("a:1");
    let run = |args: &[&str], certificate: Option<&Path>| {
        let mut command = ecli_in(&dir, args);
        if let Some(path) = certificate {
            command.env("SSL_CERT_FILE", path);
        }
        outcome(&mut command)
    };
    let certificate = registry.certificate();
    let push = ["push", "package.json", &image];
    run(&push, None).failed(12, &["no trusted connection", "hint: SSL_CERT_FILE"]);
    let _ = run(&push, Some(&certificate)).succeeded();
    let _ = run(&["pull", "-o", "x.json", &image], Some(&certificate)).succeeded();
    assert_eq!(read(&dir, "x.json"), read(&dir, "package.json"));
    let by_name = image.replace("127.0.0.1", "localhost");
    let _ = run(&["pull", "-o", "y.json", &by_name], Some(&certificate)).succeeded();
    // The certificate is for other names.
    let other = image.replace("127.0.0.1", "127.0.0.2");
    run(&["pull", &other], Some(&certificate)).failed(12, &[]);
    let none = dir.path().join("package.json");
    run(&push, Some(&none)).failed(12, &["no certificates in PEM"]);
}

#[test]
fn images_of_others_are_pulled_or_named() {
    if !has_programs() {
        return;
    }
    let (registry, dir) = (Registry::start(Security::Open), packed());
    let package = String::from_utf8(read(&dir, "package.json")).unwrap();
    let oras = "application/vnd.unknown.config.v1+json";
    registry.push("oras", (oras, "{}"), &[("application/json", "package.json", &package)]);
    let _ = ecli(&dir, &["pull", "-o", "x.json", &registry.image("oras")]).succeeded();
    assert_eq!(read(&dir, "x.json"), read(&dir, "package.json"));

    let text = [("application/json", "notes.json", "{}")];
    registry.push("text", (oras, "{}"), &text);
    let container = "application/vnd.oci.image.config.v1+json";
    let config =
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let bpfman =
        config.replace("{\"arch", r#"{"config":{"Labels":{"io.ebpf.programs":"{}"}},"arch"#);
    registry.push("bpfman", (container, &bpfman), &[]);
    registry.push("plain", (container, config), &[]);
    let gadget = ("application/vnd.gadget.ebpf.program.v1+binary", "", "x");
    registry.push("gadget", ("application/vnd.gadget.config.v1+yaml", "x"), &[gadget]);
    for (name, words) in [
        ("text", &["is not a package"][..]),
        ("bpfman", &["image of bpfman", "bpfman load image"]),
        ("plain", &["container image", "docker or podman"]),
        ("gadget", &["Inspektor Gadget", "ig run"]),
    ] {
        ecli(&dir, &["pull", "-o", "y.json", &registry.image(name)]).failed(3, words);
    }
    assert!(!dir.path().join("y.json").exists());
}
