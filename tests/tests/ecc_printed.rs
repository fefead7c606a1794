// SPDX-License-Identifier: MIT
//! `ecc` prints no control sequences except colors of its own and of clang, whatever names, sources
//! and objects contain; on a terminal as in a pipe.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use bpfpack_schemas::printable::is_printable;
use bpfpack_tests::{ecc, ecc_command, scratch, sys, wait};

const SOURCE: &str = "
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
/// @description How many
const volatile int how_many = 3;
int counter_of_all;
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, u64);
} a_map_with_name SEC(\".maps\");
SEC(\"raw_tp/sched_switch\")
int handle_the_event(void *ctx)
{
	u32 key = how_many;
	u64 *value = bpf_map_lookup_elem(&a_map_with_name, &key);
	if (value)
		counter_of_all += *value;
	return 0;
}
char LICENSE[] SEC(\"license\") = \"GPL\";
";

/// Texts that no message may contain, and how each is shown.
const HOSTILE: [(&str, &str); 8] = [
    ("\x1b[2J", r"\x1b[2J"),
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("\x07", r"\x07"),
    ("\r", r"\x0d"),
    ("\u{9b}31m", r"\x9b31m"),
    ("\u{202e}", r"\u{202e}"),
    ("\u{2028}", r"\u{2028}"),
    ("\x1b[8m", r"\x1b[8m"),
];

/// The colors of ecc, clap and clang: bold, underlined, reverse, none, and a foreground.
fn is_color(parameters: &str) -> bool {
    let known = ["0", "1", "4", "7", ""];
    parameters.split(';').all(|number| {
        known.contains(&number) || number.parse().is_ok_and(|n: u32| (30..38).contains(&n))
    })
}

/// Fails if a text has a control character, except ends of lines, tabs and, on a terminal, colors.
#[track_caller]
fn is_harmless(bytes: &[u8], is_terminal: bool) -> String {
    let text = std::str::from_utf8(bytes).expect("it is no UTF-8").replace("\r\n", "\n");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("\x1b[").filter(|_| is_terminal) {
        let (before, after) = rest.split_at(at);
        let (parameters, behind) = after[2..].split_once('m').expect("no color");
        assert!(is_color(parameters), "{parameters:?} in {text:?}");
        plain.push_str(before);
        rest = behind;
    }
    plain.push_str(rest);
    let bad = plain.chars().find(|c| !(is_printable(*c) || matches!(c, '\n' | '\t')));
    assert_eq!(bad, None, "{text:?}");
    plain
}

/// The output of `ecc` in pipes and on a terminal. The text is the terminal's, without colors.
#[track_caller]
fn printed(dir: &Path, args: &[&OsStr]) -> (i32, String, Vec<u8>) {
    let output = wait::output(ecc_command(dir).args(args).env_remove("CLICOLOR_FORCE"));
    let text = is_harmless(&output.stdout, false) + &is_harmless(&output.stderr, false);
    let (ours, theirs) = sys::terminal().unwrap();
    let mut command = ecc_command(dir);
    command.args(args).env("TERM", "xterm").env_remove("NO_COLOR");
    command.stdout(theirs.try_clone().unwrap()).stderr(theirs);
    let mut child = command.spawn().unwrap();
    // The terminal ends when nobody has it open.
    drop(command);
    let shown = wait::in_background(ours);
    let code = wait::ended(&mut child).code().unwrap();
    let bytes = wait::taken(Some(shown));
    assert_eq!(Some(code), output.status.code());
    let on_terminal = is_harmless(&bytes, true);
    // With -v, clang's command lines have names of temporary files, and on a terminal one more
    // flag.
    for line in text.lines().filter(|line| !line.contains(" -idirafter ")) {
        assert!(on_terminal.contains(line), "`{line}` is missing on the terminal: {on_terminal}");
    }
    (code, on_terminal, bytes)
}

fn words<'a>(args: &'a [&'a str]) -> Vec<&'a OsStr> {
    args.iter().map(OsStr::new).collect()
}

#[test]
fn names_of_files_and_words_of_the_command_line() {
    for (hostile, shown) in HOSTILE.iter().step_by(2).chain(&[("\n", r"\x0a")]) {
        let dir = scratch();
        let name = format!("a{hostile}b.bpf.c");
        let missing = [
            (vec![name.as_str()], 3),
            (vec!["x.txt", &name], 2),
            (vec![&name[..name.len() - 2], &name], 2),
            (vec![&name, "--clang-bin", hostile], 3),
        ];
        for (args, code) in missing {
            let (found, text, _) = printed(dir.path(), &words(&args));
            assert_eq!(found, code, "{text}");
            assert!(code == 2 && args[0] == "x.txt" || text.contains(shown), "{text}");
        }
        for arg in
            [format!("--{hostile}"), format!("--target={hostile}"), "-X".to_owned() + hostile]
        {
            let (code, text, _) = printed(dir.path(), &words(&[&arg, "x.bpf.c"]));
            assert_eq!(code, 2, "{text}");
            assert!(arg.starts_with("-X") || text.contains(shown), "{text}");
        }
        // Missing, wrong, right; and one of several.
        fs::write(dir.path().join(&name), "int x(\n#warning so\n").unwrap();
        let (code, text, _) = printed(dir.path(), &words(&[&name, "-v"]));
        assert_eq!(code, 5, "{text}");
        // clang's line breaks differ.
        let is_shown = text.contains(&format!("a{shown}b.bpf.c:"));
        assert!(is_shown || *hostile == "\n", "{text}");
        fs::write(dir.path().join(&name), SOURCE).unwrap();
        fs::write(dir.path().join("y.bpf.c"), SOURCE).unwrap();
        let (code, text, _) = printed(dir.path(), &words(&[&name, "y.bpf.c", "-o", hostile]));
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(&format!("a{shown}b.package.json")), "{text}");
        let (code, text, _) = printed(dir.path(), &words(&["--check", &name]));
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(&format!("a{shown}b.bpf.c\n")), "{text}");
    }
    // Bytes that are not UTF-8.
    let odd = OsStr::from_bytes(b"d\xff\x9b.bpf.c");
    let (code, text, _) = printed(scratch().path(), &[odd]);
    assert_eq!(code, 2);
    assert!(text.contains(r"`d\xff\x9b.bpf.c`"), "{text}");
    let (code, text, _) = printed(scratch().path(), &words(&["\x1b[31mx"]));
    assert_eq!(code, 2);
    assert!(text.contains(r"\x1b[31mx"), "{text}");
}

#[test]
fn clangs_colors_stay_on_a_terminal() {
    let dir = scratch();
    fs::write(dir.path().join("x.bpf.c"), "int x = zq;\n").unwrap();
    let (code, text, bytes) = printed(dir.path(), &words(&["x.bpf.c"]));
    assert_eq!(code, 5);
    assert!(text.contains("x.bpf.c:1:9: error: use of undeclared identifier 'zq'"), "{text}");
    let bytes = String::from_utf8(bytes).unwrap();
    assert!(bytes.contains("\x1b[0;1;31merror: \x1b[0m"), "{bytes:?}");
}

#[test]
fn what_clang_says_of_sources() {
    for (hostile, _) in HOSTILE {
        let dir = scratch();
        let in_string: String = hostile.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        let header = format!("a{hostile}b.h");
        fs::write(dir.path().join(&header), "#warning in it\n").unwrap();
        let source = format!(
            "#include \"{header}\"\n#error e {hostile}\n#warning w {hostile}\n\
             void old(void) __attribute__((deprecated(\"{in_string}\")));\n\
             void f(void) {{ old(); }}\n\
             _Static_assert(0, \"{in_string}\");\nint x = zq{hostile};\n\
             #include \"none{hostile}.h\"\n"
        );
        fs::write(dir.path().join("x.bpf.c"), [source.as_bytes(), b"\xff\n"].concat()).unwrap();
        let (code, text, _) = printed(dir.path(), &words(&["x.bpf.c"]));
        assert_eq!(code, 5, "{text}");
        assert!(text.contains("error: "), "{text}");
        // clang's colors, on request.
        let args = ["x.bpf.c", "-a", "-fcolor-diagnostics"];
        let output = wait::output(ecc_command(dir.path()).args(args));
        let _ = is_harmless(&output.stderr, true);
    }
}

#[test]
fn annotations_and_descriptions() {
    let check = |text: &str, code: i32, words_shown: &[&str]| {
        let dir = scratch();
        let source = SOURCE.replace("/// @description How many", text);
        fs::write(dir.path().join("x.bpf.c"), source).unwrap();
        for args in [&["--check", "x.bpf.c"][..], &["x.bpf.c"]] {
            let (found, printed, _) = printed(dir.path(), &words(args));
            assert_eq!(found, code, "{text:?}: {printed}");
            let is_told = args.len() == 2 || code != 0;
            assert!(
                !is_told || words_shown.iter().all(|word| printed.contains(word)),
                "{text:?}: {printed}"
            );
        }
    };
    let all: String = HOSTILE.map(|(text, _)| text).join("x");
    let json = json_escaped(&all);
    let shown = HOSTILE.map(|(_, shown)| shown);
    // An end of a line ends the comment.
    let in_comment = all.replace('\r', "");
    let shown_in_comment: Vec<_> = shown.into_iter().filter(|shown| *shown != r"\x0d").collect();
    check(&format!("/// @description {in_comment}x"), 0, &shown_in_comment);
    check(&format!("// {in_comment}x"), 0, &shown_in_comment);
    check(&format!("/// @cmdarg {{\"help\": \"{json}\"}}"), 0, &shown);
    check(&format!("/// @cmdarg {{\"default\": \"{json}\"}}"), 6, &shown);
    // serde shows values in its own way.
    check(&format!("/// @cmdarg {{\"long\": \"{json}\"}}"), 6, &[]);
    check(&format!("/// @cmdarg {{\"help {json}\": 1}}"), 0, &[]);
    check(&format!("/// @cmdarg {in_comment}"), 0, &[]);
    check(&format!("/// @view {{\"kind\": \"{json}\"}}"), 6, &[]);
    // A name in a message does not start a new line.
    let dir = scratch();
    let text = "/// @cmdarg {\"hlep\\nerror: all is lost\": 1}";
    let source = SOURCE.replace("/// @description How many", text);
    fs::write(dir.path().join("x.bpf.c"), source).unwrap();
    let (_, text, _) = printed(dir.path(), &words(&["x.bpf.c"]));
    assert!(!text.lines().any(|line| line.starts_with("error")), "{text}");
}

/// A text as in a JSON string.
fn json_escaped(text: &str) -> String {
    let escape = |c: char| match c {
        ' '..='~' => c.to_string(),
        c => format!("\\u{:04x}", u32::from(c)),
    };
    text.chars().map(escape).collect()
}

#[test]
fn names_in_objects() {
    let dir = scratch();
    fs::write(dir.path().join("x.bpf.c"), SOURCE).unwrap();
    let _ = ecc(dir.path(), &["x.bpf.c", "-o", "out"]).succeeded();
    let good = fs::read(dir.path().join("out/x.bpf.o")).unwrap();
    let mut hostile: Vec<Vec<u8>> =
        HOSTILE.iter().map(|(text, _)| text.as_bytes().to_vec()).collect();
    hostile.extend([b"\xff\xfe".to_vec(), b"\n".to_vec()]);
    let names =
        ["how_many", "counter_of_all", "a_map_with_name", "handle_the_event", "raw_tp/sched"];
    for name in names {
        for hostile in &hostile {
            // With the same length, in the symbols and in BTF alike.
            let mut new = hostile.clone();
            new.resize(name.len().max(new.len()), b'x');
            new.truncate(name.len());
            let bad = replaced(&good, name.as_bytes(), &new);
            fs::write(dir.path().join("bad.bpf.o"), bad).unwrap();
            for args in [&["--check", "bad.bpf.o"][..], &["bad.bpf.o", "-o", "bad"]] {
                let (code, text, _) = printed(dir.path(), &words(args));
                assert!(code == 0 || code == 6, "{code}: {text}");
                assert!(text.lines().all(|line| !line.starts_with('x')), "{text}");
            }
        }
    }
}

/// Replaces each occurrence of a text by another of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for at in 0..bytes.len().saturating_sub(from.len()) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0);
    bytes
}
