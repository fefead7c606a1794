// SPDX-License-Identifier: MIT
//! `ecc`'s command line, its hints for errors of clang, and its behavior if something is in the
//! way.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bpfpack_schemas::object::BpfObject;
use bpfpack_schemas::object::helpers::{PRINTING, RECORDING};
use bpfpack_tests::wait::{ended, eventually, outcome};
use bpfpack_tests::{can, ecc, ecc_command, is_root, json, names, program, root, run, scratch};
use rustix::process::Signal;
use serde_json::Value;

const SOURCE: &str = "
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
struct event { int pid; };
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(\".maps\");
SEC(\"raw_tp/sched_switch\")
int handle(void *ctx)
{
	struct event event = {};
	return bpf_ringbuf_output(&rb, &event, sizeof(event), 0);
}
char LICENSE[] SEC(\"license\") = \"GPL\";
";

fn source(text: &str) -> tempfile::TempDir {
    let dir = scratch();
    fs::write(dir.path().join("x.bpf.c"), text).unwrap();
    dir
}

#[test]
fn yaml_says_the_same_as_json() {
    let dir = source(SOURCE);
    let _ = ecc(dir.path(), &["x.bpf.c", "-o", "json"]).succeeded();
    let _ = ecc(dir.path(), &["-y", "x.bpf.c", "-o", "yaml"]).succeeded();
    assert_eq!(names(&dir.path().join("yaml")), ["package.yaml", "x.bpf.o", "x.skel.yaml"]);
    for (yaml, json_name) in [("package.yaml", "package.json"), ("x.skel.yaml", "x.skel.json")] {
        let text = fs::read_to_string(dir.path().join("yaml").join(yaml)).unwrap();
        let value: Value = yaml_serde::from_str(&text).unwrap();
        assert_eq!(value, json(&dir.path().join("json").join(json_name)));
    }
    let path = dir.path().join("yaml/package.yaml");
    let help = run(program("ecli"), &["run", path.to_str().unwrap(), "--help"]).succeeded();
    assert!(help.stdout.contains("Usage: ecli run "), "{}", help.stdout);
}

#[test]
fn an_object_tells_which_helpers_it_calls() {
    let calls = |text: &str| {
        let dir = source(text);
        let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
        let object = fs::read(dir.path().join("x.bpf.o")).unwrap();
        let elf = BpfObject::parse(&object).unwrap();
        [PRINTING.as_slice(), &RECORDING, &[1]].map(|numbers| elf.calls_helper(numbers))
    };
    assert_eq!(calls(SOURCE), [false, true, false]);
    let print = |what: &str| {
        let function =
            format!("static __noinline void tell(int x)\n{{\n\t{what};\n}}\nSEC(\"raw_tp");
        SOURCE
            .replace("SEC(\"raw_tp", &function)
            .replace("return bpf_ring", "tell(1);\n\treturn bpf_ring")
    };
    assert_eq!(calls(&print("bpf_printk(\"%d\", x)")), [true, true, false]);
    assert_eq!(calls(&print("bpf_printk(\"%d %d %d %d\", x, 1, 2, 3)")), [true, true, false]);
    let calls_function = print("bpf_map_lookup_elem(&rb, &x)");
    assert_eq!(calls(&calls_function), [false, true, true]);
}

#[test]
fn a_header_for_wasm_is_c_with_the_package_in_it() {
    let dir = source(SOURCE);
    let _ = ecc(dir.path(), &["--wasm-header", "x.bpf.c"]).succeeded();
    let main = "#include <stdio.h>\n#include \"ewasm-skel.h\"\n\
        int main(void) { return fputs(program_data, stdout) < 0; }\n";
    fs::write(dir.path().join("main.c"), main).unwrap();
    let binary = dir.path().join("main");
    let main = dir.path().join("main.c");
    let _ = run("gcc", &[main.as_os_str(), OsStr::new("-o"), binary.as_os_str()]).succeeded();
    let printed = run(&binary, &[] as &[&str]).succeeded().stdout;
    assert_eq!(printed, fs::read_to_string(dir.path().join("package.json")).unwrap());
}

#[test]
fn a_header_alone_is_packed_for_its_structs() {
    let dir = scratch();
    // One of the two needs the kernel's types.
    for (name, text) in [
        ("plain.h", "struct event { int pid; char comm[16]; };\n"),
        ("typed.h", "struct event { __u32 pid; struct inner { u64 x; } inner; };\n"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
        let _ = ecc(dir.path(), &["--header-only", name, "-o", "out"]).succeeded();
        let package = json(&dir.path().join("out/package.json"));
        let types = package["meta"]["export_types"].as_array().unwrap();
        assert_eq!(types[0]["name"], "event", "{name}");
        assert!(types[0]["size"].as_u64().unwrap() > 8);
    }
}

#[test]
fn several_sources_become_several_packages() {
    let dir = source(SOURCE);
    fs::write(dir.path().join("y.bpf.c"), SOURCE).unwrap();
    fs::write(dir.path().join("z.bpf.c"), "int x(").unwrap();
    let outcome = ecc(dir.path(), &["x.bpf.c", "z.bpf.c", "y.bpf.c", "-o", "out"]);
    outcome.failed(5, &["z.bpf.c:1"]);
    let expected =
        ["x.bpf.o", "x.package.json", "x.skel.json", "y.bpf.o", "y.package.json", "y.skel.json"];
    assert_eq!(names(&dir.path().join("out")), expected);
    let name = |file: &str| {
        json(&dir.path().join("out").join(file))["meta"]["bpf_skel"]["obj_name"].clone()
    };
    assert_eq!([name("x.package.json"), name("y.package.json")], ["x_bpf", "y_bpf"]);
}

#[test]
fn a_check_tells_what_is_there_and_writes_nothing() {
    let dir = source(SOURCE);
    let outcome = ecc(dir.path(), &["--check", "x.bpf.c"]).succeeded();
    for line in ["program  handle: raw_tp/sched_switch", "map      rb: records of event (4 bytes)"]
    {
        assert!(outcome.stdout.contains(line), "{}", outcome.stdout);
    }
    assert_eq!(names(dir.path()), ["x.bpf.c"]);
}

#[test]
fn what_a_source_defines_itself_wins_over_vmlinux_h() {
    let own = "enum softirq_names { HI_SOFTIRQ = 5 };\ntypedef struct { int own; } bpf_prog_digest_t;\n\
        struct task_struct { int own; };\nstruct task_struct *task;\n";
    let text = SOURCE.replace("struct event {", &format!("{own}struct event {{"));
    let dir = source(&text);
    let outcome = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    assert_eq!(outcome.stderr, "");
    // Other directories and other names give the same bytes.
    let first = fs::read(dir.path().join("package.json")).unwrap();
    let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    assert_eq!(fs::read(dir.path().join("package.json")).unwrap(), first);
}

#[test]
fn what_another_name_breaks_is_told_by_the_name_of_the_source() {
    // `pid` is also a member of task_struct.
    let text = SOURCE
        .replace("struct event {", "struct pid { int own; } own;\nstruct event {")
        .replace("return bpf", "return ((struct task_struct *)ctx)->pid + bpf");
    let dir = source(&text);
    let outcome = ecc(dir.path(), &["x.bpf.c"]);
    outcome.failed(5, &["redefinition of 'pid'"]);
    assert!(!outcome.stderr.contains("no member"), "{}", outcome.stderr);
}

#[test]
fn a_projects_headers_are_found_where_projects_keep_them() {
    let text = SOURCE.replace("struct event { int pid; };", "#include <own/event.h>");
    for place in ["include", "../include"] {
        let dir = scratch();
        let src = dir.path().join("src");
        fs::create_dir_all(src.join(place).join("own")).unwrap();
        fs::write(src.join("x.bpf.c"), &text).unwrap();
        fs::write(src.join(place).join("own/event.h"), "struct event { int a, b; };\n").unwrap();
        let _ = ecc(&src, &["x.bpf.c", "-o", "out"]).succeeded();
        let meta = json(&src.join("out/x.skel.json"));
        assert_eq!(meta["export_types"][0]["size"], 8, "{place}");
        // A change to it is noticed.
        fs::write(src.join(place).join("own/event.h"), "struct event { int a, b, c; };\n").unwrap();
        let _ = ecc(&src, &["x.bpf.c", "-o", "out"]).succeeded();
        assert_eq!(json(&src.join("out/x.skel.json"))["export_types"][0]["size"], 12, "{place}");
    }
    // A new header that is found first takes precedence, whatever was compiled before.
    let dir = source(&text);
    for (place, size) in [("include/own", 8), ("own", 16)] {
        fs::create_dir_all(dir.path().join(place)).unwrap();
        let header = format!("struct event {{ char c[{size}]; }};\n");
        fs::write(dir.path().join(place).join("event.h"), header).unwrap();
        std::thread::sleep(Duration::from_millis(60));
        let _ = ecc(dir.path(), &["x.bpf.c"]).succeeded();
        assert_eq!(json(&dir.path().join("x.skel.json"))["export_types"][0]["size"], size);
    }
    let dir = source(&text);
    ecc(dir.path(), &["x.bpf.c"]).failed(5, &["own/event.h", "with -I"]);
}

#[test]
fn what_vmlinux_h_does_not_have_is_explained() {
    for (from, to, words) in [
        ("int pid;", "struct no_such_struct s;", &["`struct no_such_struct`", "--vmlinux"][..]),
        ("int pid;", "no_such_type s;", &["bundled vmlinux.h (Linux 6.", "no `no_such_type`"]),
        (
            "return bpf",
            "return ((struct task_struct *)ctx)->no_such_member + bpf",
            &["`struct task_struct`", "no member `no_such_member`", "--vmlinux kernel"],
        ),
        ("return bpf", "return NO_SUCH_MACRO + bpf", &["no macros", "`#define` it"]),
    ] {
        let dir = source(&SOURCE.replace(from, to));
        ecc(dir.path(), &["x.bpf.c"]).failed(5, words);
        assert_eq!(names(dir.path()), ["x.bpf.c"]);
    }
}

#[test]
fn records_that_nothing_is_known_of_are_told() {
    let text = SOURCE.replace(
        "return bpf_ringbuf_output(&rb, &event, sizeof(event), 0);",
        "return bpf_ringbuf_output(&rb, ctx, 7, 0);",
    );
    let dir = source(&text);
    let outcome = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    for words in ["the records of `rb` will not be shown", "x.bpf.c:13", "/// @records NAME"] {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    // The hint of the message helps.
    let named = text.replace("struct {", "/// @records event\nstruct {");
    fs::write(dir.path().join("x.bpf.c"), named).unwrap();
    let outcome = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    assert_eq!(outcome.stderr, "");
    assert_eq!(json(&dir.path().join("x.skel.json"))["export_types"][0]["name"], "event");
    // A header with another definition is used, with a warning.
    fs::write(
        dir.path().join("x.bpf.c"),
        SOURCE.replace("struct event {", "#include \"o.h\"\nstruct event {"),
    )
    .unwrap();
    fs::write(dir.path().join("o.h"), "struct other { int a; };\n").unwrap();
    let outcome = ecc(dir.path(), &["x.bpf.c", "o.h"]).succeeded();
    assert!(
        outcome.stderr.contains("`other`, determines") && outcome.stderr.contains("`event` there")
    );
    assert_eq!(json(&dir.path().join("x.skel.json"))["export_types"][0]["name"], "other");
}

#[test]
fn names_of_every_kind() {
    let dir = scratch();
    for name in ["a b.bpf.c", "it's \"quoted\".bpf.c", "ünï.bpf.c", "-dash.bpf.c", "$(x);.bpf.c"]
    {
        fs::write(dir.path().join(name), SOURCE).unwrap();
        let _ = ecc(dir.path(), &["-o", "out", "--", name]).succeeded();
        let stem = name.strip_suffix(".bpf.c").unwrap();
        let meta = json(&dir.path().join(format!("out/{stem}.skel.json")));
        let identifier: String =
            stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        assert_eq!(meta["bpf_skel"]["obj_name"], format!("{identifier}_bpf"));
    }
    let odd = OsStr::from_bytes(b"\xff\xfe.bpf.c");
    fs::write(dir.path().join(odd), SOURCE).unwrap();
    ecc(dir.path(), &[odd]).failed(2, &["is not the name of a source file"]);
    // A source in a directory whose name is not UTF-8 is handled like any other.
    let odd = dir.path().join(OsStr::from_bytes(b"d\xff"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("x.bpf.c"), SOURCE).unwrap();
    let _ = ecc(&odd, &["x.bpf.c"]).succeeded();
}

#[test]
fn objects_that_are_none() {
    let dir = source(SOURCE);
    let _ = ecc(dir.path(), &["x.bpf.c", "-o", "out"]).succeeded();
    let good = fs::read(dir.path().join("out/x.bpf.o")).unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("empty.bpf.o"), "").unwrap();
    fs::write(at("text.bpf.o"), "no object").unwrap();
    fs::write(at("cut.bpf.o"), &good[..good.len() / 2]).unwrap();
    fs::copy("/bin/true", at("other.bpf.o")).unwrap();
    let mut swapped = good.clone();
    swapped[5] = 2;
    fs::write(at("big-endian.bpf.o"), swapped).unwrap();
    for name in ["empty.bpf.o", "text.bpf.o", "cut.bpf.o", "other.bpf.o", "big-endian.bpf.o"] {
        ecc(dir.path(), &[name]).failed(6, &[name, "cannot be packed"]);
    }
    // With each byte of the headers changed: an error or a package, and never a crash.
    for at_byte in (0..good.len().min(600)).step_by(3) {
        let mut bad = good.clone();
        bad[at_byte] ^= 0x5a;
        fs::write(at("bad.bpf.o"), bad).unwrap();
        let code = ecc(dir.path(), &["bad.bpf.o", "-o", "bad"]).code;
        assert!(code == 0 || code == 6, "byte {at_byte}: exit code {code}");
    }
}

#[test]
fn a_source_of_any_size_ends_in_time() {
    let dir = scratch();
    let file = fs::File::create(dir.path().join("big.bpf.c")).unwrap();
    file.set_len(100 << 20).unwrap();
    ecc(dir.path(), &["big.bpf.c"]).failed(3, &["104857600 bytes", "16 MiB"]);
    ecc(dir.path(), &["/dev/zero"]).failed(2, &["`/dev/zero` is not a BPF C source"]);
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero.bpf.c")).unwrap();
    ecc(dir.path(), &["zero.bpf.c"]).failed(3, &["has no end"]);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    if !is_root() {
        return;
    }
    let dir = source(SOURCE);
    let script = "mount -t tmpfs -o size=8k none \"$1\" && \"$2\" x.bpf.c -o \"$1\"; code=$?; \
        ls -A \"$1\"; exit $code";
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    let cache = ecc_command(dir.path());
    let cache =
        cache.get_envs().find(|(name, _)| *name == "XDG_CACHE_HOME").unwrap().1.unwrap().to_owned();
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .args([full.as_os_str(), program("ecc").as_os_str()])
        .current_dir(dir.path())
        .env("XDG_CACHE_HOME", cache);
    let outcome = outcome(&mut command);
    outcome.failed(7, &["cannot write", "No space left"]);
    assert_eq!(outcome.stdout, "", "files stayed behind");
}

#[test]
fn a_signal_in_the_middle_leaves_nothing_behind() {
    let dir = scratch();
    // A slow compiler that reports when it begins.
    let slow = dir.path().join("slow-clang");
    let script = "#!/bin/sh\necho begun >&3\nsleep 1\nexec clang \"$@\"\n".replace(">&3", ">begun");
    fs::write(&slow, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&slow, mode).unwrap();
    let work = dir.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("x.bpf.c"), SOURCE).unwrap();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut command = ecc_command(&work);
        let mut child =
            command.args(["x.bpf.c", "-c"]).arg(&slow).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the compiler is started", || work.join("begun").exists());
        let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(ended(&mut child).code(), Some(code));
        fs::remove_file(work.join("begun")).unwrap();
        assert_eq!(names(&work), ["x.bpf.c"]);
    }
}

#[test]
fn a_directory_that_can_not_be_written_is_named() {
    let dir = source(SOURCE);
    if !can(
        "needs a user that is not root, or a file system to mount",
        Path::new("/proc/self/ns/mnt").exists(),
    ) || !is_root()
    {
        return;
    }
    let script = "mount --bind -o ro \"$1\" \"$1\" 2>/dev/null; mount -o remount,bind,ro \"$1\" && \"$2\" \"$1/x.bpf.c\"";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .args([dir.path().as_os_str(), program("ecc").as_os_str()]);
    outcome(&mut command).failed(7, &["cannot write", "Read-only"]);
    assert_eq!(names(dir.path()), ["x.bpf.c"]);
}

#[test]
fn slips_are_shown_with_a_caret_and_what_was_meant() {
    let text = SOURCE.replace(
        "struct {",
        "/// @smaple {\"interval\": 5}\n/// @sample {\"interval\": 5,\n///          \"type\" \"log2_hist\"}\nstruct {",
    );
    let dir = source(&text);
    let outcome = ecc(dir.path(), &["x.bpf.c"]).succeeded();
    let mut lines = outcome.stderr.lines();
    let mut next = || lines.next().unwrap_or_default();
    assert_eq!(
        next(),
        "warning: x.bpf.c:5:1: unknown `@smaple`; did you mean `@sample`? It is kept unchanged"
    );
    assert_eq!(next(), "    5 | /// @smaple {\"interval\": 5}");
    assert_eq!(next(), "      | ^");
    assert_eq!(next(), "warning: x.bpf.c:7:21: `@sample` is ignored: not valid JSON: expected `:`");
    assert_eq!(next(), "    7 | ///          \"type\" \"log2_hist\"}");
    assert_eq!(next(), "      |                     ^");
}

#[test]
fn the_reference_of_annotations_is_true() {
    let text = fs::read_to_string(root().join("schemas/ANNOTATIONS.md")).unwrap();
    let mut reader = BufReader::new(text.as_bytes());
    let (mut line, mut examples, mut inside) = (String::new(), Vec::new(), false);
    while reader.read_line(&mut line).unwrap() > 0 {
        match line.trim_end() {
            "```c" => (inside, _) = (true, examples.push(String::new())),
            "```" => inside = false,
            _ if inside => examples.last_mut().unwrap().push_str(&line),
            _ => {}
        }
        line.clear();
    }
    assert!(reader.bytes().next().is_none() && examples.len() >= 15, "{}", examples.len());
    let mut seen = String::new();
    for example in &examples {
        let dir = scratch();
        fs::write(dir.path().join("x.bpf.c"), prelude(example)).unwrap();
        let outcome = ecc(dir.path(), &["x.bpf.c"]).succeeded();
        assert_eq!(outcome.stderr, "", "{example}");
        let skeleton = fs::read_to_string(dir.path().join("x.skel.json")).unwrap();
        for word in example.split(|c: char| !(c.is_alphanumeric() || c == '@' || c == '_')) {
            let Some(name) = word.strip_prefix('@').filter(|name| !name.is_empty()) else {
                continue;
            };
            // The annotation is in the package under its own name, or under another.
            let key = match name {
                "interpreter" => "intepreter",
                "record_tags" => "tag",
                name => name,
            };
            assert!(skeleton.contains(&format!("\"{key}\":")), "@{name} left no trace: {example}");
            seen.push_str(&format!("@{name} "));
        }
    }
    for name in [
        "cmdarg",
        "description",
        "sample",
        "view",
        "hidden",
        "export_config",
        "interpreter",
        "records",
        "record_tag",
        "record_tags",
        "max_entries",
        "value_size",
        "ifindex",
        "flags",
        "xdpopts",
        "tchook",
        "tcopts",
        "autoload",
        "brief",
        "details",
        "version",
    ] {
        assert!(seen.contains(&format!("@{name} ")), "@{name} has no example");
    }
}

/// An example as a whole source: adds what it omits.
fn prelude(example: &str) -> String {
    let mut text = String::from(
        "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\n#include <bpf/bpf_endian.h>\n\
         #include <annotate.bpf.h>\n",
    );
    text.push_str(example);
    if !example.contains("SEC(\"license\")") {
        text.push_str("\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n");
    }
    text
}
