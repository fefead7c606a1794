// SPDX-License-Identifier: MIT
//! The memory that `ecc` takes for its inputs: less than four times their size, plus 20 MB; and its
//! errors for inputs that would take more.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use bpfpack_tests::{ecc, ecc_command, scratch, sys};

const MB: u64 = 1_000_000;

const SOURCE: &str = "
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
const volatile int how_many = 3;
SEC(\"raw_tp/sched_switch\")
int handle(void *ctx)
{
	return how_many;
}
char LICENSE[] SEC(\"license\") = \"GPL\";
";

/// Runs `ecc`, and fails if it takes too much memory for an input of this size. This process must
/// be small, because the kernel attributes its memory to its children until they execute.
#[track_caller]
fn is_small(dir: &Path, args: &[&str], size: u64) {
    let mut command = ecc_command(dir);
    let child = command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let peak = sys::wait_usage(child).unwrap().peak_memory;
    let most = 4 * size + 20 * MB;
    assert!(peak < most, "{args:?}: {peak} bytes for {size}; at most {most} are right");
}

/// A directory with an object, and a compiler that always returns this object.
fn project() -> tempfile::TempDir {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("made.bpf.c"), SOURCE).unwrap();
    let _ = ecc(dir.path(), &["made.bpf.c"]).succeeded();
    fs::write(at("clang"), "#!/bin/sh\nexec cat made.bpf.o\n").unwrap();
    fs::set_permissions(at("clang"), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Writes a file of about this size, a piece at a time.
fn fill(path: &Path, start: &str, piece: &str, len: u64) -> u64 {
    let mut file = std::io::BufWriter::new(File::create(path).unwrap());
    file.write_all(start.as_bytes()).unwrap();
    for _ in 0..len / piece.len() as u64 {
        file.write_all(piece.as_bytes()).unwrap();
    }
    file.write_all(b"\nint how_many;\n").unwrap();
    file.into_inner().unwrap().metadata().unwrap().len()
}

/// Writes random bytes, which cannot be compressed.
fn fill_random(path: &Path, start: &[u8], len: u64) {
    let mut file = File::create(path).unwrap();
    file.write_all(start).unwrap();
    std::io::copy(&mut File::open("/dev/urandom").unwrap().take(len), &mut file).unwrap();
}

#[test]
fn sources_of_any_kind() {
    let dir = project();
    let at = dir.path().join("x.bpf.c");
    for (start, piece) in [
        ("", "/// a\n"),
        ("", "///\n"),
        ("", "/// @a\n"),
        ("", "/// a\nx;\n"),
        ("", "// a\n"),
        ("/*", "a\n"),
        ("", "a "),
        ("/// @x [0", ",0"),
        ("/// @x ", "["),
        ("/// @description ", "abc "),
    ] {
        let size = fill(&at, start, piece, 4 * MB);
        is_small(dir.path(), &["x.bpf.c", "-c", "./clang", "-o", "out"], size);
        fs::copy(&at, dir.path().join("x.h")).unwrap();
        is_small(dir.path(), &["made.bpf.c", "x.h", "-c", "./clang", "-o", "out"], size);
    }
    fill_random(&at, b"", 4 * MB);
    is_small(dir.path(), &["x.bpf.c", "-c", "./clang", "-o", "out"], 4 * MB);
    for (start, piece, code, words) in [
        ("", "/// @a\n", 6, "more than 4096 annotations"),
        ("", "/* a */\nint x;\n", 6, "more than 4096 declarations with comments"),
        ("/// @x [0", ",0", 0, "`@x` is ignored: it has more than 32768 bytes"),
        ("/// @x ", "[[[[[[[[[[[[[[[[[[[[\n/// ", 0, "`@x` is ignored: it has more than 32768"),
    ] {
        let _ = fill(&at, start, piece, MB);
        let outcome = ecc(dir.path(), &["x.bpf.c", "-c", "./clang", "-o", "out"]);
        assert_eq!(outcome.code, code, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    // Deep but short: reported with its location.
    fs::write(&at, format!("/// @x {}\nint how_many;\n", "[".repeat(1000))).unwrap();
    let outcome = ecc(dir.path(), &["x.bpf.c", "-c", "./clang", "-o", "out"]).succeeded();
    assert!(outcome.stderr.contains("x.bpf.c:1:"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("recursion limit"), "{}", outcome.stderr);
    // Many small values.
    let one = format!("/// @x [0{}]\nint how_many;\n", ",0".repeat(15_000));
    fs::write(&at, one.repeat(20)).unwrap();
    let size = fs::metadata(&at).unwrap().len();
    is_small(dir.path(), &["x.bpf.c", "-c", "./clang", "-o", "out"], size);
    let outcome = ecc(dir.path(), &["x.bpf.c", "-c", "./clang", "-o", "out"]).succeeded();
    let words = "all annotations together have more than 131072 bytes";
    assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
}

#[test]
fn objects_and_modules_that_can_not_be_packed_any_smaller() {
    let dir = project();
    let len = 16 << 20;
    fill_random(&dir.path().join("random"), b"", len);
    let text = format!(
        "{SOURCE}\nasm(\".section .rodata.big,\\\"a\\\"\\n.incbin \\\"random\\\"\\n.text\\n\");\n"
    );
    fs::write(dir.path().join("big.bpf.c"), text).unwrap();
    let _ = ecc(dir.path(), &["big.bpf.c"]).succeeded();
    let size = fs::metadata(dir.path().join("big.bpf.o")).unwrap().len();
    assert!(size > len);
    fill_random(&dir.path().join("post.wasm"), b"\0asm\x01\0\0\0bpfpack_version", len);
    for more in [&[][..], &["-y"], &["--wasm-header"]] {
        let args = [&["big.bpf.o", "-o", "out"], more].concat();
        is_small(dir.path(), &args, size);
    }
    is_small(dir.path(), &["made.bpf.o", "-o", "out", "--wasm", "post.wasm"], len);
    // A package that ecli would not read is not written: the modules are too large in total, or
    // unpacked.
    for count in [3, 5] {
        let packed = ["--wasm", "post.wasm"].repeat(count);
        let outcome = ecc(dir.path(), &[&["made.bpf.o", "-o", "too-big"], &packed[..]].concat());
        outcome.failed(6, &["limit"]);
        assert!(!dir.path().join("too-big/package.json").exists());
    }
    let random = dir.path().join("random.bpf.o");
    fill_random(&random, b"\x7fELF\x02\x01\x01", len);
    is_small(dir.path(), &["random.bpf.o", "-o", "out"], len);
    ecc(dir.path(), &["random.bpf.o", "-o", "out"])
        .failed(6, &["random.bpf.o", "cannot be packed"]);
}

#[test]
fn what_clang_writes_without_an_end() {
    let dir = project();
    let script = "#!/bin/sh\ncase \"$*\" in *print-targets*) echo ' bpf - BPF';; *)\n\
        head -c 100000000 /dev/zero | tr '\\0' a >&2; exit 1;; esac\n";
    fs::write(dir.path().join("clang"), script).unwrap();
    is_small(dir.path(), &["made.bpf.c", "-c", "./clang", "-o", "out"], 0);
    let outcome = ecc(dir.path(), &["made.bpf.c", "-c", "./clang", "-o", "out"]);
    assert_eq!(outcome.code, 5);
    assert!(outcome.stderr.len() < 10_000, "{}", outcome.stderr.len());
    let script = "#!/bin/sh\nexec cat /dev/zero\n";
    fs::write(dir.path().join("clang"), script).unwrap();
    let outcome = ecc(dir.path(), &["made.bpf.c", "-c", "./clang", "-o", "out"]);
    outcome.failed(6, &["made.bpf.c", "larger than 256 MiB"]);
    ecc(dir.path(), &["made.bpf.c", "--vmlinux", "/dev/zero"]).failed(3, &["has no end", "64 MiB"]);
}
