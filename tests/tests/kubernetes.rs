// SPDX-License-Identifier: MIT
//! `examples/kubernetes`: the manifests are valid, and a container of the image has what it needs with
//! the permissions that they give.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bpfpack_tests::python::python;
use bpfpack_tests::scrape::Target;
use bpfpack_tests::wait::outcome;
use bpfpack_tests::{
    Outcome, Running, can, ecli, eventually, is_root, json, names, pack, program, root, run,
    scratch,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// The packages that the manifest runs, and their sources.
const PACKAGES: [(&str, &str); 4] = [
    ("hardirqs", "examples/hardirqs/hardirqs.bpf.c"),
    ("runqlat", "examples/runqlat/runqlat.bpf.c"),
    ("biolatency", "examples/biolatency/biolatency.bpf.c"),
    ("pods", "examples/kubernetes/pods.bpf.c"),
];

fn file(name: &str) -> PathBuf {
    root().join("examples/kubernetes").join(name)
}

/// The resources in a manifest.
fn resources(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| yaml_serde::from_str(document).unwrap()).collect()
}

/// The resource of a kind in `bpfpack.yaml`.
fn resource(kind: &str) -> Value {
    let text = fs::read_to_string(file("bpfpack.yaml")).unwrap();
    resources(&text).into_iter().find(|resource| resource["kind"] == kind).unwrap()
}

/// The container of the `DaemonSet`.
fn container() -> Value {
    resource("DaemonSet")["spec"]["template"]["spec"]["containers"][0].clone()
}

/// Writes a `ConfigMap` with all packages.
fn packages(dir: &TempDir) -> PathBuf {
    let mut arguments = Vec::new();
    for (name, source) in PACKAGES {
        let to = dir.path().join(name);
        fs::rename(pack(source, dir), &to).unwrap();
        arguments.push(format!("{name}={}", to.display()));
    }
    let written = run(file("pack.sh"), &arguments).succeeded().stdout;
    let path = dir.path().join("packages.yaml");
    fs::write(&path, written).unwrap();
    path
}

/// What the kubelet makes of the two `ConfigMap`s: `packages/NAME.json.gz` and
/// `configuration/bpfpack.toml`, which serves at `listen`. `packages` is where the packages are for it.
fn volumes(dir: &TempDir, listen: &str, packages: &str) {
    let text = fs::read_to_string(self::packages(dir)).unwrap();
    fs::create_dir(dir.path().join("packages")).unwrap();
    for (name, data) in resources(&text)[0]["binaryData"].as_object().unwrap() {
        let bytes = BASE64_STANDARD.decode(data.as_str().unwrap()).unwrap();
        fs::write(dir.path().join("packages").join(name), bytes).unwrap();
    }
    let configuration = resource("ConfigMap")["data"]["bpfpack.toml"].as_str().unwrap().to_owned();
    assert!(configuration.contains("listen = \":9435\"") && configuration.contains("/packages/"));
    let configuration = configuration.replace(":9435", listen).replace("/packages", packages);
    fs::create_dir(dir.path().join("configuration")).unwrap();
    fs::write(dir.path().join("configuration/bpfpack.toml"), configuration).unwrap();
}

fn validate(python: &Path, manifests: &[PathBuf]) -> Outcome {
    outcome(Command::new(python).args(["-m", "kubernetes_validate", "--strict"]).args(manifests))
}

#[test]
fn manifests_are_valid() {
    let Some(python) = python("kubernetes_validate") else { return };
    let dir = scratch();
    let mut manifests: Vec<_> = names(&file("")).iter().map(|name| file(name)).collect();
    manifests.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    assert_eq!(manifests.len(), 2);
    manifests.push(packages(&dir));
    let _ = validate(&python, &manifests).succeeded();
    // A misspelled key is noticed.
    let text = fs::read_to_string(file("bpfpack.yaml")).unwrap();
    let wrong = dir.path().join("wrong.yaml");
    fs::write(&wrong, text.replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")).unwrap();
    assert_ne!(validate(&python, &[wrong]).code, 0);
}

#[test]
fn the_configuration_in_the_manifest_is_right() {
    let dir = scratch();
    let socket = dir.path().join("metrics.sock");
    let packages = dir.path().join("packages");
    volumes(&dir, &format!("unix:{}", socket.display()), packages.to_str().unwrap());
    let configuration = dir.path().join("configuration/bpfpack.toml");
    let checked = ecli(&["serve", "--check", configuration.to_str().unwrap()]).succeeded();
    for (name, _) in PACKAGES {
        assert!(checked.stderr.contains(&format!("{name}: ok")), "{}", checked.stderr);
    }
}

#[test]
fn packages_that_no_configmap_can_hold_are_refused() {
    let dir = scratch();
    let refused = |arguments: &[&str], words: &str| {
        let outcome = run(file("pack.sh"), arguments);
        outcome.failed(1, &[words]);
        assert_eq!(outcome.stdout, "");
    };
    refused(&["hardirqs"], "`hardirqs` is not NAME=FILE");
    refused(&["a/b=c"], "`a/b=c` is not NAME=FILE");
    refused(&["a=/nonexistent"], "there is no file");
    // The same key twice would be an error only of the server.
    let path = file("pack.sh");
    let path = path.to_str().unwrap();
    refused(&[&format!("a={path}"), &format!("a={path}")], "two packages `a`");
    // Data that cannot be compressed: what a generator of this size makes.
    let mut seed = 1u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    let large = dir.path().join("large");
    fs::write(&large, (0..1 << 20).map(|_| next()).collect::<Vec<u8>>()).unwrap();
    refused(&[&format!("a={}", large.display())], "make several (-m)");
}

/// Builds the image. Returns the directory of its layout.
fn image(dir: &TempDir, name: &str) -> PathBuf {
    let layout = dir.path().join(name);
    let arguments = ["-n", "registry.example:5000/bpfpack:1.0"].map(PathBuf::from);
    let arguments = [&arguments[..], &[program("ecli"), layout.clone()]].concat();
    let _ = run(file("image.sh"), &arguments).succeeded();
    layout
}

#[test]
fn an_image_is_what_other_programs_take_and_always_the_same() {
    let dir = scratch();
    let (one, two) = (image(&dir, "one"), image(&dir, "two"));
    let archive = |layout: &Path| fs::read(layout.with_extension("tar")).unwrap();
    assert!(archive(&one) == archive(&two), "the bytes differ");
    // It replaces nothing.
    let again = [program("ecli"), one.clone()];
    run(file("image.sh"), &again).failed(1, &["exists"]);
    run(file("image.sh"), &[file("README.md"), dir.path().join("three")]).failed(1, &["program"]);

    let has_skopeo = Path::new("/usr/bin/skopeo").exists();
    if !can("needs skopeo (apt-get install skopeo)", has_skopeo) {
        return;
    }
    let inspect = |source: &str| -> Value {
        let inspected = run("skopeo", &["inspect", "--config", source]).succeeded();
        serde_json::from_str(&inspected.stdout).unwrap()
    };
    let layout = format!("oci:{}:1.0", one.display());
    for source in [&layout, &format!("oci-archive:{}", one.with_extension("tar").display())] {
        let config = inspect(source);
        assert_eq!(config["config"]["Entrypoint"][0], "/ecli");
        assert_eq!(config["os"], "linux");
    }
    let docker = format!("docker-archive:{}:bpfpack:1.0", dir.path().join("docker.tar").display());
    // It checks all sizes and digests.
    let _ = run("skopeo", &["copy", "-q", "--insecure-policy", &layout, &docker]).succeeded();
    assert_eq!(inspect(&docker)["rootfs"], inspect(&layout)["rootfs"]);
}

/// Unpacks the layer of an image, and makes the mount points that a container runtime would make.
fn unpack(layout: &Path, to: &Path, points: &[&str]) {
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let manifest = json(&blob(&json(&layout.join("index.json"))["manifests"][0]));
    fs::create_dir(to).unwrap();
    let layer = blob(&manifest["layers"][0]);
    let [to_text, layer] = [to, &layer].map(|path| path.to_str().unwrap());
    let _ = run("tar", &["-C", to_text, "-xzf", layer]).succeeded();
    for point in points {
        fs::create_dir_all(to.join(point.trim_start_matches('/'))).unwrap();
    }
}

/// Starts `/ecli` as a container runtime does: namespaces, a read-only root, volumes, and only some
/// capabilities. Arguments: the root; a directory for a mount; the other capabilities; and pairs of a
/// volume and its mount point.
const CONTAINER: &str = r#"
set -eu
root=$1 cgroups=$2 drop=$3
shift 3
mount --make-rprivate /
# Before there is a namespace of cgroups, in which this would show only what is below its own.
mount -t cgroup2 none "$cgroups"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/dev"
: >"$root/dev/null"
mount --bind /dev/null "$root/dev/null"
while [ $# -gt 0 ]; do
  if [ "$1" = tracefs ]; then
    mount -t tracefs tracefs "$root$2"
  else
    mount --bind "$1" "$root$2"
  fi
  [ "$2" = /run ] || mount -o remount,bind,ro "$root$2"
  shift 2
done
mount -o remount,bind,ro "$root/sys"
mount -o remount,bind,ro "$root"
# capsh is the last program that has all capabilities: as root, ecli gets those that are left.
exec unshare --cgroup --net --ipc --uts capsh --no-new-privs --drop="$drop" --chroot="$root" \
  --shell=/ecli -- serve /etc/bpfpack/bpfpack.toml
"#;

/// The capabilities that the manifest gives, and the numbers of all others.
fn capabilities() -> (u64, String) {
    let security = &container()["securityContext"];
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
    assert_eq!(security["privileged"], false);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    let numbers = BTreeMap::from([("PERFMON", 38), ("BPF", 39)]);
    let added = security["capabilities"]["add"].as_array().unwrap();
    let added: Vec<u32> = added.iter().map(|name| numbers[name.as_str().unwrap()]).collect();
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let others = (0..=last.trim().parse().unwrap()).filter(|number| !added.contains(number));
    let others: Vec<String> = others.map(|number| number.to_string()).collect();
    (added.iter().map(|number| 1 << number).sum(), others.join(","))
}

const CONTAINER_ID: &str = "4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9f3a52d1e7b8c4a6f0c9";

/// A cgroup with the name that a container of Kubernetes has. It is removed when this is dropped.
struct ContainerGroup {
    mount: PathBuf,
    top: String,
}

impl ContainerGroup {
    fn new(mount: PathBuf) -> ContainerGroup {
        fs::create_dir(&mount).unwrap();
        let group = ContainerGroup { mount, top: format!("bpfpack-test-{}", std::process::id()) };
        let _ = group.sh("mkdir -p \"$1/$2\"").succeeded();
        group
    }

    fn path(&self) -> String {
        let uid = "0b7d4ac8-2f0e-4c8f-9a53-6d1c33a1f0aa";
        format!("{}/kubepods/burstable/pod{uid}/{CONTAINER_ID}", self.top)
    }

    /// Runs a script with the hierarchy mounted at `$1`, in which `$2` is the cgroup.
    fn sh(&self, script: &str) -> Outcome {
        let script = format!("mount -t cgroup2 none \"$1\" && {{ {script}; }}");
        let mount = self.mount.to_str().unwrap();
        let arguments = ["-m", "sh", "-c", &script, "sh", mount, &self.path()];
        run("unshare", &arguments)
    }
}

impl Drop for ContainerGroup {
    fn drop(&mut self) {
        let _ = self.sh("cd \"$1\" && rmdir -p \"$2\"");
    }
}

#[test]
fn a_container_traces_with_the_permissions_of_the_manifest() {
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap();
    let has_cgroups = filesystems.contains("cgroup2");
    let has_capsh = ["/sbin/capsh", "/usr/sbin/capsh"].iter().any(|path| Path::new(path).exists());
    if !is_root()
        || !can("needs cgroup2", has_cgroups)
        || !can("needs capsh (apt-get install libcap2-bin)", has_capsh)
    {
        return;
    }
    let dir = scratch();
    let place = |name: &str| dir.path().join(name);
    let group = ContainerGroup::new(place("groups"));
    volumes(&dir, "unix:/run/metrics.sock", "/packages");
    for name in ["run", "containers", "cgroups"] {
        fs::create_dir(place(name)).unwrap();
    }
    fs::write(place("containers").join(format!("web-5d4f_shop_nginx-{CONTAINER_ID}.log")), "")
        .unwrap();

    let mut binds = vec![place("run").display().to_string(), "/run".to_owned()];
    for mount in container()["volumeMounts"].as_array().unwrap() {
        let name = mount["name"].as_str().unwrap();
        assert_eq!(mount["readOnly"], true, "{name}");
        let source =
            if name == "tracefs" { name.into() } else { place(name).display().to_string() };
        binds.extend([source, mount["mountPath"].as_str().unwrap().to_owned()]);
    }
    let points: Vec<&str> =
        binds.chunks(2).map(|pair| &*pair[1]).filter(|point| !point.starts_with("/sys/")).collect();
    unpack(&image(&dir, "image"), &place("root"), &points);

    let (given, others) = capabilities();
    let mut arguments: Vec<String> =
        ["-m", "sh", "-c", CONTAINER, "sh"].map(str::to_owned).to_vec();
    arguments.extend(["root", "cgroups"].map(|name| place(name).display().to_string()));
    arguments.push(others);
    arguments.extend(binds);
    // Each program of the chain becomes the next one, so this is the process of ecli.
    let container = Running::start("unshare", &arguments);
    let target = Target::unix(&place("run"));
    eventually("all tracers run", || {
        UnixStream::connect(place("run/metrics.sock")).is_ok() && {
            let up = target
                .samples()
                .into_iter()
                .filter(|(name, value)| name.starts_with("bpfpack_tracer_up{") && *value == 1.0);
            up.count() == PACKAGES.len()
        }
    });
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    for (name, value) in [
        ("CapEff", format!("{given:016x}")),
        ("CapPrm", format!("{given:016x}")),
        ("CapBnd", format!("{given:016x}")),
        ("CapInh", format!("{:016x}", 0)),
        ("NoNewPrivs", "1".to_owned()),
    ] {
        assert!(status.contains(&format!("{name}:\t{value}")), "{name} {value}:\n{status}");
    }
    let held = container.held();
    assert!(held.programs.len() >= 8, "{held:?}");

    // A process of a pod fails.
    let script = "echo $$ >\"$1/$2/cgroup.procs\" && { sh -c 'exit 3' || true; }";
    let _ = group.sh(script).succeeded();
    let failed = |(name, _): &(String, f64)| {
        name.starts_with("pods_failed_processes_total{tracer=\"pods\"")
            && name.ends_with("namespace=\"shop\",pod=\"web-5d4f\",container=\"nginx\"}")
    };
    let samples = target.samples();
    let value = samples.clone().into_iter().find(failed).map(|(_, value)| value);
    assert_eq!(value, Some(1.0), "{samples:?}");
    assert!(samples.keys().any(|name| name.starts_with("runqlat_")), "{samples:?}");
    assert_eq!(target.get("/-/healthy", "").status, 200);

    container.signal(Signal::TERM);
    let ended = container.wait().succeeded();
    assert!(ended.stderr.contains("4 of 4 tracers run"), "{}", ended.stderr);
    held.is_gone();
}
