// SPDX-License-Identifier: MIT
//! Packages and arguments that cannot be run: each has its message and its exit code, and leaves
//! nothing behind.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bpfpack_tests::held::unique_name;
use bpfpack_tests::wait::outcome;
use bpfpack_tests::{ecli, eventually, is_root, pack, pack_with, program, scratch, sys};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A valid package, and a changed copy next to it.
struct Case {
    dir: TempDir,
    package: Map<String, Value>,
}

impl Case {
    fn new() -> Case {
        let dir = scratch();
        let package = pack("examples/hardirqs/hardirqs.bpf.c", &dir);
        let package = serde_json::from_slice(&fs::read(package).unwrap()).unwrap();
        Case { dir, package }
    }

    fn write(&self, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join("bad.json");
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs the changed package, and checks how it fails.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str], change: impl FnOnce(&mut Map<String, Value>)) {
        let mut package = self.package.clone();
        change(&mut package);
        let path = self.write(Value::Object(package).to_string());
        ecli(&["run", path.to_str().unwrap()]).failed(code, words);
    }
}

#[test]
fn files_that_are_no_packages() {
    let case = Case::new();
    let directory = case.dir.path().to_str().unwrap();
    let nowhere = format!("{directory}/nonsuch/package.json");
    ecli(&["run", &nowhere]).failed(3, &[&nowhere, "No such file"]);
    ecli(&["run", directory]).failed(3, &[&format!("cannot read `{directory}`"), "directory"]);
    let path = case.write("");
    let path = path.to_str().unwrap();
    ecli(&["run", path]).failed(3, &["is not a package", "not JSON"]);
    for (text, words) in [
        (&b"hello"[..], &["not JSON", "ecc X.bpf.c"][..]),
        (b"{\"a\": 1", &["not JSON", "line 1"]),
        (b"\x7fELF", &["it is an ELF file without a package", "packs an object"]),
        (b"[]", &["is not a package"]),
        (b"{}", &["missing field `bpf_object`"]),
    ] {
        case.write(text);
        ecli(&["run", path]).failed(3, words);
    }
    case.write(b"\0asm\x01\0\0\0");
    ecli(&["run", path]).failed(9, &["exports neither `_start`", "`bpfpack_version`"]);
    let skeleton = case.dir.path().join("hardirqs.skel.json");
    ecli(&["run", skeleton.to_str().unwrap()]).failed(3, &["only the description", "package.json"]);
    let source = bpfpack_tests::root().join("examples/hardirqs/hardirqs.bpf.c");
    ecli(&["run", source.to_str().unwrap()]).failed(3, &["not JSON", "ecc X.bpf.c"]);
}

#[test]
fn each_required_key() {
    let case = Case::new();
    for key in ["bpf_object", "bpf_object_size", "meta"] {
        case.fails(3, &[&format!("missing field `{key}`")], |p| drop(p.remove(key)));
    }
    for (pointer, key) in [
        ("/meta", "bpf_skel"),
        ("/meta/bpf_skel", "obj_name"),
        ("/meta/bpf_skel", "data_sections"),
        ("/meta/bpf_skel/data_sections/0", "name"),
        ("/meta/bpf_skel/data_sections/0", "variables"),
        ("/meta/bpf_skel/data_sections/0/variables/1", "name"),
        ("/meta/bpf_skel/data_sections/0/variables/1", "type"),
        ("/meta/bpf_skel/maps/0", "name"),
        ("/meta/bpf_skel/maps/0", "ident"),
        ("/meta/bpf_skel/maps/2/sample", "interval"),
        ("/meta/bpf_skel/progs/0", "name"),
        ("/meta/bpf_skel/progs/0", "attach"),
    ] {
        let place = pointer[1..].replace('/', ".");
        let place = place.replace(".0", "[0]").replace(".1", "[1]").replace(".2", "[2]");
        case.fails(3, &[&format!("missing field `{key}`"), &format!("`{place}")], |p| {
            let mut all = Value::Object(std::mem::take(p));
            all.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
            *p = all.as_object().unwrap().clone();
        });
    }
}

#[test]
fn wrong_types_and_damaged_objects() {
    let case = Case::new();
    case.fails(3, &["bpf_object_size", "invalid type"], |p| {
        p["bpf_object_size"] = json!("12");
    });
    case.fails(3, &["meta.bpf_skel.maps", "invalid type"], |p| {
        p["meta"]["bpf_skel"]["maps"] = json!(7);
    });
    case.fails(3, &["meta.bpf_skel.maps[2].sample.type", "unknown variant `pie`"], |p| {
        p["meta"]["bpf_skel"]["maps"][2]["sample"]["type"] = json!("pie");
    });
    case.fails(3, &["bpf_object_size", "is 1 bytes", "incomplete"], |p| {
        p["bpf_object_size"] = json!(1);
    });
    case.fails(3, &["bpf_object_size", "the limit is"], |p| {
        p["bpf_object_size"] = json!(1u64 << 40);
    });
    case.fails(3, &["not base64"], |p| p["bpf_object"] = json!("§"));
    case.fails(3, &["not a zlib stream"], |p| p["bpf_object"] = json!("aGVsbG8="));
    // Truncated within the zlib stream.
    case.fails(3, &["bpf_object"], |p| {
        let text = p["bpf_object"].as_str().unwrap();
        p["bpf_object"] = json!(text[..text.len() / 8 * 4]);
    });
}

/// Packs any bytes as an object.
fn with_object(case: &Case, object: Vec<u8>) -> Map<String, Value> {
    let meta = serde_json::from_value(case.package["meta"].clone()).unwrap();
    let (variants, wasm) = (Vec::new(), Vec::new());
    let package = bpfpack_schemas::Package { object, variants, meta, wasm, other: Map::new() };
    serde_json::from_str(&package.encode()).unwrap()
}

#[test]
fn objects_that_are_none() {
    let case = Case::new();
    let object = fs::read(case.dir.path().join("hardirqs.bpf.o")).unwrap();
    let fails = |object: Vec<u8>, words: &[&str]| {
        case.fails(3, words, |p| *p = with_object(&case, object));
    };
    fails(b"no object at all".to_vec(), &["`bpf_object` of the package", "not a valid ELF"]);
    fails(object[..object.len() / 2].to_vec(), &["not a valid ELF"]);
    fails(fs::read("/bin/true").unwrap(), &["not one for BPF"]);
    // Without BTF, because its section has another name.
    let mut nameless = object.clone();
    let at = nameless.windows(5).position(|w| w == b".BTF\0").unwrap();
    nameless[at..at + 4].copy_from_slice(b".BTX");
    fails(nameless, &["no BTF", "clang -g"]);
    // Damaged in many places: an error each time, never a crash, and nothing is attached.
    if is_root() {
        for at in (0..object.len()).step_by(object.len() / 60) {
            let mut damaged = object.clone();
            damaged[at] ^= 0xff;
            let path = case.write(Value::Object(with_object(&case, damaged)).to_string());
            let outcome = ecli(&["run", "-q", "--duration", "1ms", path.to_str().unwrap()]);
            assert!((0..=7).contains(&outcome.code), "byte {at}: {outcome:?}");
        }
    }
}

#[test]
fn arguments() {
    let dir = scratch();
    let package = pack("tests/fixtures/edges.bpf.c", &dir);
    for (args, words) in [
        (&["--nonsense"][..], &["unknown option `--nonsense`"][..]),
        (&["--target_pid"], &["a value is required", "--target_pid"]),
        (&["--target_pid", "2147483648"], &["--target_pid", "range from -2147483648"]),
        (&["--target_pid", "many"], &["--target_pid", "not a whole number"]),
        (&["--targ_ns", "yes"], &["`yes` is not an option"]),
    ] {
        let args = [&["run", package.as_str()][..], args].concat();
        ecli(&args).failed(2, words);
    }
    ecli(&["run", "--nonsense", &package]).failed(2, &["--nonsense"]);
    ecli(&["run", "--interval", "often", &package]).failed(2, &["often"]);
    ecli(&["run", "--count", "0", &package]).failed(2, &["0"]);
    ecli(&["run", "ftp://example.org/package.json"])
        .failed(2, &["cannot download from `ftp://`", "https://"]);
    ecli(&["run"]).failed(2, &["PACKAGE"]);
    if is_root() {
        let outcome = ecli(&["run", "--with", "nobody", &package]);
        outcome.failed(2, &["no program `nobody`", "on_call"]);
        let nowhere = format!("{}/nonsuch", dir.path().display());
        let outcome = ecli(&["run", "--cgroup", &nowhere, &package]);
        outcome.failed(2, &[&format!("cannot open the cgroup `{nowhere}`")]);
        let outcome = ecli(&["run", "--cgroup", "/sys", &package]);
        outcome.failed(2, &["`/sys` is not a directory of a cgroup v2 hierarchy"]);
    }
}

#[test]
fn texts_that_are_too_long() {
    let dir = scratch();
    let package = pack("tests/fixtures/arguments.bpf.c", &dir);
    let outcome = ecli(&["run", &package, "--name", "a-name-that-is-too-long"]);
    outcome.failed(2, &["--name", "char[8]", "at most 7 fit"]);
    let outcome = ecli(&["run", &package, "--level", "NONE"]);
    outcome.failed(2, &["--level", "one of LOW, HIGH"]);
    let outcome = ecli(&["run", &package, "--small", "256"]);
    outcome.failed(2, &["--small", "from 0 to 255"]);
    let help = ecli(&["run", &package, "--help"]).succeeded();
    for words in ["-s, --small <N>", "[default: 7]", "--disable-on", "--enable-off", "Its level"] {
        assert!(help.stdout.contains(words), "no `{words}` in\n{}", help.stdout);
    }
    let version = ecli(&["run", &package, "--version"]).succeeded();
    assert!(version.stdout.contains("1.2.3"), "{}", version.stdout);
}

#[test]
fn users_that_may_not() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    let package = pack("examples/hardirqs/hardirqs.bpf.c", &dir);
    // Others may not have access to the build directory.
    let ecli = dir.path().join("ecli");
    fs::copy(program("ecli"), &ecli).unwrap();
    let run = |args: &[&str]| -> bpfpack_tests::Outcome {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(&ecli);
        outcome(command.args(args).uid(65534).gid(65534))
    };
    let outcome = run(&["run", &package]);
    outcome.failed(6, &["CAP_BPF", "CAP_PERFMON", "as root"]);
    // Help needs no permissions.
    assert!(run(&["run", &package, "--help"]).succeeded().stdout.contains("--targ_dist"));
}

#[test]
fn what_this_kernel_does_not_have() {
    if !is_root() {
        return;
    }
    let dir = scratch();
    for (source, program, code, words) in [
        (
            "no_tracepoint",
            "nothing",
            5,
            &["this kernel has no tracepoint `syscalls/no_such_tracepoint`"][..],
        ),
        ("no_kfunc_target", "nowhere", 5, &["kprobe/no_such_function_anywhere"]),
        ("no_btf_target", "nowhere", 4, &["fentry/no_such_function_anywhere"]),
        ("unverifiable", "endless", 4, &["verifier refused", "invalid mem access"]),
    ] {
        let name = unique_name();
        let renamed = format!("-D{program}={name}");
        let package = pack_with(&format!("tests/fixtures/{source}.bpf.c"), &dir, &["-a", &renamed]);
        let outcome = ecli(&["run", &package]);
        outcome.failed(code, words);
        outcome.failed(code, &[&format!("`{name}`")]);
        assert!(!outcome.stderr.contains("ulimit") && !outcome.stderr.contains("MEMLOCK"));
        eventually("nothing is left loaded", || {
            !sys::loaded_programs().iter().any(|(_, program)| *program == name)
        });
    }
}
