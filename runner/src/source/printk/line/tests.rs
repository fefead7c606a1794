// SPDX-License-Identifier: MIT
//! Tests with lines of trace pipes in all formats of kernels.

use super::*;

/// Comm, pid, CPU, microseconds and text.
type Found = (String, u32, u32, u128, String);

/// The printed lines, the number of lost events, and the remaining bytes.
fn read(text: &str) -> (Vec<Found>, u64, &str) {
    let (mut lines, mut lost) = (Vec::new(), 0);
    let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let done = pieces(text.as_bytes(), |piece| match piece {
        Piece::Printed(Line { comm, pid, cpu, time, text }) => {
            lines.push((string(comm), pid, cpu, time.as_micros(), string(text)));
        }
        Piece::Lost(count) => lost += count,
    });
    (lines, lost, &text[done..])
}

/// The only line in `text`.
#[track_caller]
fn one(text: &str) -> Found {
    let (mut lines, lost, rest) = read(text);
    assert_eq!((lines.len(), lost, rest), (1, 0, ""), "{lines:?}");
    lines.remove(0)
}

#[track_caller]
fn is(text: &str, comm: &str, pid: u32, cpu: u32, micros: u128, printed: &str) {
    assert_eq!(one(text), (comm.into(), pid, cpu, micros, printed.into()));
}

#[test]
fn with_and_without_flags_and_thread_groups() {
    for head in [
        "             cat-7282    [001]   828.809399: bpf_trace_printk: ",
        "             cat-7282    [001] ...2.   828.809399: bpf_trace_printk: ",
        "             cat-7282    [001] .N.2.   828.809399: bpf_trace_printk: ",
        "             cat-7282  [001] d..1   828.809399: bpf_trace_printk: ",
        "             cat-7282    (   7282) [001] dNh3.   828.809399: bpf_trace_printk: ",
        "             cat-7282    (-------) [001]   828.809399: bpf_trace_printk: ",
        "             cat-7282  ( 7282) [001] d..1   828.809399: 0x00000001: ",
        "             cat-7282  [001] d..1   828.809399: 0: ",
    ] {
        is(&format!("{head}a b\n"), "cat", 7282, 1, 828_809_399, "a b");
        is(&format!("{head}\n"), "cat", 7282, 1, 828_809_399, "");
    }
}

#[test]
fn small_and_large_numbers() {
    let idle = "          <idle>-0       [255] d.s2. 12345678.000001: bpf_trace_printk: x\n";
    is(idle, "<idle>", 0, 255, 12_345_678_000_001, "x");
    let forgotten = "           <...>-4194303 [1023]     0.000000: bpf_trace_printk: x\n";
    is(forgotten, "<...>", 4_194_303, 1023, 0, "x");
    let counted = "             cat-7282    [001]          1234: bpf_trace_printk: x\n";
    is(counted, "cat", 7282, 1, 0, "x");
}

#[test]
fn names_with_anything_in_them() {
    for name in [
        "a - b-12 [0]",
        "Web Content",
        "kworker/u8:2-ev",
        "x-1 [000]  1.0:",
        "(sd-pam)",
        "[x]",
        "-",
        "---------------",
        "Grüße",
        "0123456789abcde",
        "CPU:1 [LOST 5 E",
        // Names may become longer.
        "a-name-that-is-rather-long",
    ] {
        let pad = " ".repeat(16usize.saturating_sub(name.len()));
        let text = format!("{pad}{name}-12      [002]     3.000004: bpf_trace_printk: x\n");
        is(&text, name, 12, 2, 3_000_004, "x");
    }
}

#[test]
fn texts_of_several_lines() {
    let head = "              sh-12      [000]     1.000002: bpf_trace_printk: ";
    let text = format!(
        "{head}plain\n{head}newline at the end\n\n{head}two\nlines\n{head}two ends\n\n\n{head}\n{head}\n\n\
         {head}a\n\nb\n\n{head}last\n"
    );
    let (lines, lost, rest) = read(&text);
    let texts: Vec<_> = lines.iter().map(|line| line.4.as_str()).collect();
    let all = ["plain", "newline at the end", "two\nlines", "two ends", "", "", "a\n\nb", "last"];
    assert_eq!(texts, all);
    assert_eq!((lost, rest), (0, ""));
}

#[test]
fn texts_that_look_like_lines() {
    let head = "              sh-12      [000]     1.000002: bpf_trace_printk: ";
    for text in [
        "sh-12 [000] 1.000002: bpf_trace_printk: x",
        "CPU:1 [LOST 1234 EVENTS]",
        "a\nsh-12      [000]     1.000002: bpf_trace_printk: short",
        "a\nCPU:x [LOST 1 EVENTS]\nCPU:1 [LOST many EVENTS]\nCPU:1 [LOST 1 EVENTS] ",
        "  leading and trailing  ",
        "a: b: c\td",
    ] {
        assert_eq!(one(&format!("{head}{text}\n")).4, text);
    }
}

#[test]
fn losses() {
    let head = "              sh-12      [000]     1.000002: bpf_trace_printk: ";
    let (lines, lost, _) = read(&format!(
        "CPU:0 [LOST 7 EVENTS]\n{head}a\nCPU:12 [LOST 1234567 EVENTS]\n{head}b\nc\n\
         CPU:1 [LOST EVENTS]\n"
    ));
    let texts: Vec<_> = lines.iter().map(|line| line.4.as_str()).collect();
    assert_eq!(texts, ["a", "b\nc"]);
    assert_eq!(lost, 7 + 1_234_567 + 1);
}

#[test]
fn events_of_other_kinds() {
    let head = "              sh-12      [000]     1.000002: ";
    let text = format!(
        "the end of something\n{head}bpf_trace_printk: a\n\
         {head}sched_waking: comm=x pid=1 prio=120 target_cpu=000\nwith more\n\
         {head}bpf_trace_printk: b\n##### CPU 1 buffer started ####\n\
         {head}0xffffffff81000000: a printk of the kernel's\n{head}bpf_trace_printk: c\n"
    );
    let (lines, _, rest) = read(&text);
    let texts: Vec<_> = lines.iter().map(|line| line.4.as_str()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(rest, "");
}

#[test]
fn what_is_not_all_there_is_kept() {
    let first = "              sh-12      [000]     1.000002: bpf_trace_printk: a\n";
    let second = "            bash-13      [001]     2.000002: bpf_trace_printk: b\nc\n";
    let text = format!("{first}{second}");
    // One byte before the end, the kernel's newline could be the end of the text.
    for cut in (0..text.len()).filter(|cut| *cut != text.len() - 2) {
        let (mut lines, _, rest) = read(&text[..cut]);
        let again = format!("{rest}{}", &text[cut..]);
        let (more, _, rest) = read(&again);
        lines.extend(more);
        let texts: Vec<_> = lines.iter().map(|line| line.4.as_str()).collect();
        assert_eq!((&texts[..], rest), (&["a", "b\nc"][..], ""), "cut after {cut} bytes");
    }
}

#[test]
fn anything() {
    for text in ["", "\n", "\n\n\n", "-", "CPU:", "CPU:1 [LOST ", "                -1"] {
        assert_eq!(read(text).0, []);
    }
    let line = "              sh-12      [000] ...2.     1.000002: bpf_trace_printk: a\n";
    for at in 0..line.len() - 1 {
        for byte in [b'\n', b' ', b'-', b':', b'9', 0] {
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] = byte;
            assert!(pieces(&bytes, |_| ()) <= bytes.len());
        }
    }
    // Invalid numbers.
    assert_eq!(read(&line.replace("12 ", "99999999999 ")).0, []);
    assert_eq!(read(&line.replace("1.000002", "1.1000000")).0, []);
}
