// SPDX-License-Identifier: MIT
use super::*;

fn fits(format: &str, line: &str) -> bool {
    Format::of(format.as_bytes()).fits(line.as_bytes())
}

#[test]
fn lines_fit_the_formats_that_made_them() {
    for (format, line) in [
        ("plain\n", "plain"),
        ("", ""),
        ("hello, %s, process %d\n", "hello, a, process b, process 7"),
        ("%d", "-12"),
        ("[%5d]", "[   12]"),
        ("[%-5d]", "[12   ]"),
        ("[%05u]", "[00012]"),
        ("%+i", "+3"),
        ("%x %lx %llu", "ff dead 18446744073709551615"),
        ("%#X", "0XFF"),
        ("%lld%%", "5%"),
        ("%s", ""),
        ("<%s>", "<(null)>"),
        ("%p", "00000000c0ffee00"),
        ("%px|%pK|%pI4|%pi6", "ffff888003a10000|0|10.0.0.1|fe80"),
        ("%pI4.", "10.0.0.1."),
        ("%pks!", "text!"),
        ("%c%c", "ab"),
        ("%c!", ""),
        ("%c!", "a!"),
        ("a\n%s", "a"),
        ("a\nb %d\n", "a\nb 5"),
        ("%", "%"),
        ("50 %q", "50 whatever"),
    ] {
        assert!(fits(format, line), "{format:?} {line:?}");
    }
}

#[test]
fn lines_of_others_do_not_fit() {
    for (format, line) in [
        ("plain", "plain "),
        ("plain", "plai"),
        ("plain", ""),
        ("", "x"),
        ("pid %d", "pid x"),
        ("pid %d", "pid "),
        ("pid %d.", "pid 7"),
        ("%x", "0xfg"),
        ("a %s b", "a x c"),
        ("%c!", "ab!?"),
        ("%d%%", "5"),
    ] {
        assert!(!fits(format, line), "{format:?} {line:?}");
    }
}

#[test]
fn long_lines_may_be_cut() {
    let long = "x".repeat(CUT);
    assert!(fits("%s and more", &long));
    assert!(fits(&format!("{long}yz %d"), &format!("{long}y")));
    assert!(!fits(&format!("{long}yz %d"), &format!("{long}z")));
    assert!(!fits("%s and more", &long[1..]));
}

const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
}

const PRINT: Insn = insn(CALL, 0, 0, 0, 6);
const EXIT: Insn = insn(0x95, 0, 0, 0, 0);

fn load(register: u8, offset: i32) -> [Insn; 2] {
    [insn(LOAD_64, register, PSEUDO_MAP_VALUE, 0, 9), insn(0, 0, 0, 0, offset)]
}

#[test]
fn formats_are_found_where_they_are_loaded() {
    let code = [
        &load(1, 16)[..],
        &[insn(0xb7, 2, 0, 0, 20), PRINT],
        // The value is kept in a register during a call.
        &load(6, 32),
        &[insn(CALL, 0, 0, 0, 14), insn(MOVE_REGISTER, 1, 6, 0, 0), insn(CALL, 0, 0, 0, 177), EXIT],
    ];
    assert_eq!(places(&code.concat()), Some(BTreeSet::from([(9, 16), (9, 32)])));
    assert_eq!(places(&[insn(CALL, 0, 0, 0, 14), EXIT]), Some(BTreeSet::new()));
    // A call of the object's own function may have any number.
    assert_eq!(places(&[insn(CALL, 0, 1, 0, 6), EXIT]), Some(BTreeSet::new()));
}

#[test]
fn what_cannot_be_told_is_not_guessed() {
    let on_stack = [insn(MOVE_REGISTER, 1, 10, 0, 0), insn(0x07, 1, 0, 0, -8), PRINT, EXIT];
    assert_eq!(places(&on_stack), None);
    assert_eq!(places(&[insn(MOVE_REGISTER, 1, 10, 0, 0), PRINT, EXIT]), None);
    assert_eq!(places(&[PRINT, EXIT]), None);
    // if r0 == 0 goto the call
    let joined = [&[insn(0x15, 0, 0, 2, 0)][..], &load(1, 16), &[PRINT, EXIT]].concat();
    assert_eq!(places(&joined), None, "one of two");
    let chosen = [&load(1, 16)[..], &[insn(0x15, 0, 0, 1, 0)], &load(1, 32), &[PRINT]].concat();
    assert_eq!(places(&chosen), None, "it begins in the middle of what was loaded");
    // The address of the map itself.
    assert_eq!(places(&[insn(LOAD_64, 1, 1, 0, 9), insn(0, 0, 0, 0, 0), PRINT]), None);
}

#[test]
fn texts_end_at_their_zero() {
    assert_eq!(text_at(b"ab\0cd\0e", 3), Some(&b"cd"[..]));
    assert_eq!(text_at(b"ab\0cd\0e", 6), None);
    assert_eq!((text_at(b"ab\0", 9), text_at(b"ab\0", -1)), (None, None));
}
